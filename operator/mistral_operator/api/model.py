"""MistralModel: one object in, a served model out."""

import re
from enum import StrEnum
from typing import Annotated, Any, Final, Literal

from pydantic import Field

from mistral_operator.api.capacity import Capacity
from mistral_operator.api.common import (
    RESOURCE_LABEL_KEYS,
    ApiType,
    Count,
    DnsSubdomain,
    Flag,
    Identifier,
    Metadata,
    ResourceLabels,
    Rule,
    SchemaOf,
)
from mistral_operator.api.custom import CustomModel
from mistral_operator.api.endpoint import Endpoint, Monitoring
from mistral_operator.api.engine import Engine
from mistral_operator.api.pod import Pod
from mistral_operator.api.rollout import Rollout
from mistral_operator.api.scaling import Scaling
from mistral_operator.api.status import ModelStatus
from mistral_operator.api.weights import Weights

MAX_MODEL_NAME_LENGTH = 40
"""Leaves room for what the operator appends to names of children, within 63 characters."""
_NAME_PATTERN: Final = "^[a-z]([-a-z0-9]*[a-z0-9])?$"
"""What a Service may be called: the model's name becomes one."""


class OptimizeFor(StrEnum):
    """What the planner weighs most."""

    COST = "Cost"
    LATENCY = "Latency"
    AVAILABILITY = "Availability"


class UpgradePolicy(StrEnum):
    """When a newer operator, catalogue or price list may change a running plan."""

    MANUAL = "Manual"
    WINDOW = "Window"
    AUTO = "Auto"


class License(ApiType):
    """Acceptance of the weights' license by its id. A model under another license asks again."""

    accept: Identifier = Field(
        description="Id of the license that is accepted, as `Accepted` asks for it, such as `mrl-0.1`."
    )


class MistralModelSpec(ApiType):
    """What is wanted. `model` alone is enough: the rest is planned, and stated in the status with its reasons."""

    rules = (
        Rule(
            "has(self.model) != has(self.customModel)",
            "write exactly one of spec.model (a catalogue id, an alias or a Hugging Face repository) and"
            " spec.customModel (for a fine-tune that the catalogue does not have)",
            lambda spec: (spec.model is None) != (spec.custom_model is None),
        ),
        RESOURCE_LABEL_KEYS,
    )

    model: (
        Annotated[
            str,
            Field(min_length=1, max_length=200, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)?$"),
        ]
        | None
    ) = Field(
        None,
        description="The model: a catalogue id such as `mistral-small-3.2-24b-2506`, an alias, or a repository.",
    )
    custom_model: CustomModel | None = Field(
        None, description="A model that the catalogue does not have, instead of `model`."
    )
    variant: Identifier | None = Field(None, description="Variant of the model, such as `instruct` or `base`.")
    license: License | None = Field(None, description="Acceptance of the weights' license, for models that ask for it.")
    serving_class_name: DnsSubdomain | None = Field(
        None, description="MistralServingClass with limits and defaults. The cluster's default one when left out."
    )
    service_account_name: DnsSubdomain | None = Field(
        None, description="ServiceAccount of the pods. The namespace's default, without a token, when left out."
    )
    resource_labels: ResourceLabels = Field(
        default_factory=dict, description="Labels of the cloud resources, for billing, such as `team: search`."
    )
    allow_experimental: Flag = Field(
        False, description="Whether pairs of model and hardware without evidence may be used."
    )
    suspend: Flag = Field(
        False, description="Whether everything is stopped and all capacity given back, while the object stays."
    )
    replicas: Annotated[Count, Field(ge=0, le=1000)] = Field(
        1,
        description="Replicas that are wanted. It belongs to you or to the autoscaler; the operator never writes it.",
        json_schema_extra={"x-schema-default": True},
    )
    optimize_for: OptimizeFor | None = Field(None, description="What the planner weighs most. `Cost` when left out.")
    upgrade_policy: UpgradePolicy | None = Field(
        None,
        description="When a newer operator, catalogue or price list may change a running plan. `Manual` when left out.",
    )
    weights: Weights | None = Field(None, description="Where the model's files come from.")
    engine: Engine | None = Field(None, description="What runs the model, and how.")
    capacity: Capacity | None = Field(None, description="On which hardware, bought how, and for how much.")
    scaling: Scaling | None = Field(None, description="How many replicas, and who decides.")
    rollout: Rollout | None = Field(None, description="How a change reaches running replicas.")
    endpoint: Endpoint | None = Field(None, description="How the model is reached.")
    monitoring: Monitoring | None = Field(None, description="How the engine's metrics are read.")
    pod: Pod | None = Field(None, description="Additions to the engine's pods.")


class MistralModel(ApiType):
    """A Mistral model that is to be served on this cluster: hardware, engine, autoscaling and endpoint included."""

    rules = (
        Rule(
            f"self.metadata.name.size() <= {MAX_MODEL_NAME_LENGTH}",
            f"metadata.name must be at most {MAX_MODEL_NAME_LENGTH} characters, because other names are made from it;"
            " write a shorter one",
            lambda model: len(model.metadata.name) <= MAX_MODEL_NAME_LENGTH,
        ),
        Rule(
            f"self.metadata.name.matches('{_NAME_PATTERN}')",
            "metadata.name becomes the name of a Service: write lowercase letters, digits and - only, with a letter"
            " first and no - at the end, such as mistral-7b",
            lambda model: not model.metadata.name or re.fullmatch(_NAME_PATTERN, model.metadata.name) is not None,
        ),
    )

    api_version: Literal["serving.mistral-operator.dev/v1alpha1"] = "serving.mistral-operator.dev/v1alpha1"
    kind: Literal["MistralModel"] = "MistralModel"
    metadata: Metadata
    spec: MistralModelSpec = Field(description="What is wanted.")
    status: Annotated[dict[str, Any], SchemaOf(ModelStatus)] = Field(
        default_factory=dict, description="What is, why, and what it costs; written by the operator."
    )
