"""`spec.pod`: the short list of what may be added to the engine's pods."""

from enum import StrEnum
from typing import Annotated, Final

from pydantic import Field

from mistral_operator.api.common import ApiType, DnsSubdomain, LabelValue, Quantity, Rule
from mistral_operator.api.names import GROUP

_RESERVED_MESSAGE: Final = (
    f"keys of {GROUP} belong to the operator; remove them, or choose a key of your own domain, such as example.com/team"
)


def _free_of_our_keys(field: str, attribute: str) -> Rule:
    return Rule(
        f"!has(self.{field}) || self.{field}.all(key, !key.startsWith('{GROUP}/'))",
        f"pod.{field}: {_RESERVED_MESSAGE}",
        lambda pod: not any(key.startswith(f"{GROUP}/") for key in getattr(pod, attribute)),
    )


class TolerationOperator(StrEnum):
    """How a toleration's value is compared."""

    EXISTS = "Exists"
    EQUAL = "Equal"


class TaintEffect(StrEnum):
    """What a taint does."""

    NO_SCHEDULE = "NoSchedule"
    PREFER_NO_SCHEDULE = "PreferNoSchedule"
    NO_EXECUTE = "NoExecute"


class Toleration(ApiType):
    """A toleration as in Kubernetes."""

    key: Annotated[str, Field(max_length=316)] | None = Field(
        None, description="Key of the taint. All keys when left out."
    )
    operator: TolerationOperator | None = Field(None, description="How the value is compared. `Equal` when left out.")
    value: LabelValue | None = Field(None, description="Value of the taint, for operator `Equal`.")
    effect: TaintEffect | None = Field(None, description="Effect of the taint. All effects when left out.")
    toleration_seconds: Annotated[int, Field(ge=0)] | None = Field(
        None, description="How long a `NoExecute` taint is tolerated. For ever when left out."
    )


ResourceMap = Annotated[dict[str, Quantity], Field(max_length=16)]


class PodResources(ApiType):
    """CPU and memory of the engine's container, instead of what the plan asks for. Devices stay the planner's."""

    rules = (
        Rule(
            "(!has(self.requests) || self.requests.all(key, key in ['cpu', 'memory', 'ephemeral-storage'])) &&"
            " (!has(self.limits) || self.limits.all(key, key in ['cpu', 'memory', 'ephemeral-storage']))",
            "pod.resources holds cpu, memory and ephemeral-storage; for accelerators write capacity.options[].devices",
            lambda item: {*item.requests, *item.limits} <= {"cpu", "memory", "ephemeral-storage"},
        ),
    )

    requests: ResourceMap = Field(
        default_factory=dict, description="What is reserved: `cpu`, `memory`, `ephemeral-storage`."
    )
    limits: ResourceMap = Field(default_factory=dict, description="What may be used at most: the same keys.")


class Pod(ApiType):
    """Additions to the engine's pods, merged last; what the operator sets itself always wins."""

    rules = (
        _free_of_our_keys("labels", "labels"),
        _free_of_our_keys("annotations", "annotations"),
        _free_of_our_keys("nodeSelector", "node_selector"),
    )

    labels: Annotated[dict[str, LabelValue], Field(max_length=32)] = Field(
        default_factory=dict, description="Labels that are added to the pods."
    )
    annotations: Annotated[dict[str, Annotated[str, Field(max_length=4096)]], Field(max_length=32)] = Field(
        default_factory=dict, description="Annotations that are added to the pods."
    )
    tolerations: Annotated[
        tuple[Toleration, ...], Field(max_length=32, json_schema_extra={"x-kubernetes-list-type": "atomic"})
    ] = Field((), description="Tolerations that are added to the pods.")
    node_selector: Annotated[dict[str, LabelValue], Field(max_length=16)] = Field(
        default_factory=dict, description="Node labels that are asked for beside the operator's own."
    )
    priority_class_name: DnsSubdomain | None = Field(None, description="PriorityClass of the pods.")
    resources: PodResources | None = Field(
        None, description="CPU and memory of the engine's container, instead of what the plan asks for."
    )
