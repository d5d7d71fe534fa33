"""`spec.pod`: the short list of what may be added to the engine's pods."""

from enum import StrEnum
from typing import Annotated, Final

from pydantic import Field

from mistral_operator.api.common import ApiType, DnsSubdomain, LabelValue, Quantity, Rule, quantity_amount
from mistral_operator.api.label_keys import DOMAIN, NAME, free_of_our_keys, well_formed_keys

_SECURITY_ANNOTATIONS: Final = (
    "container.apparmor.security.beta.kubernetes.io",
    "container.seccomp.security.alpha.kubernetes.io",
    "seccomp.security.alpha.kubernetes.io",
)
"""They undo the pod's security context, or contradict it, and then no pod can be made."""
RESOURCES: Final = ("cpu", "memory", "ephemeral-storage")


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

    rules = (
        Rule(
            "!has(self.operator) || self.operator != 'Exists' || !has(self.value) || self.value == ''",
            "a toleration with operator: Exists compares no value; remove value, or write operator: Equal",
            lambda item: item.operator is not TolerationOperator.EXISTS or not item.value,
        ),
        Rule(
            "(has(self.key) && self.key != '') || (has(self.operator) && self.operator == 'Exists')",
            "a toleration without a key tolerates all taints, and needs operator: Exists; write that, or a key",
            lambda item: bool(item.key) or item.operator is TolerationOperator.EXISTS,
        ),
        Rule(
            "!has(self.tolerationSeconds) || (has(self.effect) && self.effect == 'NoExecute')",
            "tolerationSeconds is used only with effect: NoExecute; write that, or remove tolerationSeconds",
            lambda item: item.toleration_seconds is None or item.effect is TaintEffect.NO_EXECUTE,
        ),
    )

    key: Annotated[str, Field(max_length=317, pattern=f"^(({DOMAIN}/)?{NAME})?$")] | None = Field(
        None, description="Key of the taint, such as `example.com/gpu`. All keys when left out."
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
            f"(!has(self.requests) || self.requests.all(key, key in {list(RESOURCES)})) &&"
            f" (!has(self.limits) || self.limits.all(key, key in {list(RESOURCES)}))",
            "pod.resources holds cpu, memory and ephemeral-storage; for accelerators write capacity.options[].devices",
            lambda item: {*item.requests, *item.limits} <= set(RESOURCES),
        ),
        Rule(
            "!has(self.requests) || !has(self.limits) || self.requests.all(key, !(key in self.limits) ||"
            " quantity(string(self.requests[key])).compareTo(quantity(string(self.limits[key]))) <= 0)",
            "pod.resources: a request must not be above the limit of its name; lower the request or raise the limit",
            lambda item: all(
                quantity_amount(amount) <= quantity_amount(item.limits[key])
                for key, amount in item.requests.items()
                if key in item.limits
            ),
        ),
    )

    requests: ResourceMap = Field(
        default_factory=dict, description="What is reserved: `cpu`, `memory`, `ephemeral-storage`."
    )
    limits: ResourceMap = Field(default_factory=dict, description="What may be used at most: the same keys.")


class Pod(ApiType):
    """Additions to the engine's pods, merged last; what the operator sets itself always wins."""

    rules = (
        free_of_our_keys("pod", "labels", "labels"),
        free_of_our_keys("pod", "annotations", "annotations"),
        free_of_our_keys("pod", "nodeSelector", "node_selector"),
        well_formed_keys("pod", "labels", "labels"),
        well_formed_keys("pod", "annotations", "annotations"),
        well_formed_keys("pod", "nodeSelector", "node_selector"),
        Rule(
            "!has(self.annotations) || self.annotations.all(key, "
            + " && ".join(f"!key.startsWith('{name}/')" for name in _SECURITY_ANNOTATIONS)
            + ")",
            "pod.annotations: AppArmor and seccomp profiles belong to the operator, which runs the engine under the"
            " runtime's default ones; remove the annotation",
            lambda pod: not any(key.partition("/")[0] in _SECURITY_ANNOTATIONS for key in pod.annotations),
        ),
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
