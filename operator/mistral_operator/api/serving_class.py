"""MistralServingClass: what a platform team allows models to use, and what they get when they don't say."""

from enum import StrEnum
from typing import Annotated, Final, Literal

from pydantic import Field

from mistral_operator.api.capacity import Accelerator, Consumption, DiskImage, Provisioner
from mistral_operator.api.common import (
    LIST_SET,
    RESOURCE_LABEL_KEYS,
    ApiType,
    ImageReference,
    Metadata,
    Money,
    ResourceLabels,
    Rule,
    Zone,
)
from mistral_operator.api.names import DEFAULT_CLASS_ANNOTATION

NamespacePattern = Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[a-z0-9*]([-a-z0-9*]*[a-z0-9*])?$")]
_LONGEST_BUCKET: Final = 800
"""Characters; the folder of a namespace and a model follows."""


class ModelField(StrEnum):
    """A part of a model's spec that reaches past what the planner decides."""

    ENGINE_IMAGE = "EngineImage"
    ENGINE_EXTRA_ARGS = "EngineExtraArgs"
    ENGINE_ENV = "EngineEnv"
    POD = "Pod"
    SERVICE_ACCOUNT_NAME = "ServiceAccountName"


class EngineName(StrEnum):
    """An engine of the catalogue, one for each kind of hardware."""

    VLLM_GPU = "vllm-gpu"
    VLLM_TPU = "vllm-tpu"
    JETSTREAM_MAXTEXT = "jetstream-maxtext"
    JETSTREAM_PYTORCH = "jetstream-pytorch"


class ServingClassLimits(ApiType):
    """What models of the class may use. A model can ask for less, never for more."""

    rules = (
        Rule(
            "!has(self.provisioners) || !('Auto' in self.provisioners)",
            "limits.provisioners names what Auto may come to; write ContainerAPI, for instance, or leave it out",
            lambda limits: Provisioner.AUTO not in limits.provisioners,
        ),
    )

    accelerators: Annotated[tuple[Accelerator, ...], Field(min_length=1, max_length=32, json_schema_extra=LIST_SET)] = (
        Field((), description="Accelerators by catalogue id or by GKE's name, such as `l4`. All when left out.")
    )
    consumption: Annotated[tuple[Consumption, ...], Field(min_length=1, max_length=4, json_schema_extra=LIST_SET)] = (
        Field(
            (),
            description=(
                "Ways to buy capacity. A model that names none gets `OnDemand` where it is among them, else the first"
                " one. All when left out."
            ),
        )
    )
    zones: Annotated[tuple[Zone, ...], Field(min_length=1, max_length=16, json_schema_extra=LIST_SET)] = Field(
        (), description="Zones in which nodes may be made. All of the cluster's when left out."
    )
    provisioners: Annotated[tuple[Provisioner, ...], Field(min_length=1, max_length=4, json_schema_extra=LIST_SET)] = (
        Field((), description="What may make the node pools, and so what `Auto` comes to. All when left out.")
    )
    max_hourly_cost: Money | None = Field(
        None,
        description=(
            'Most that all replicas of one model together may cost, in US dollars an hour, such as `"12.50"`. The lower'
            " one of this and the model's own holds."
        ),
    )
    max_total_hourly_cost: Money | None = Field(
        None,
        description=(
            'Most that all models of the class together may cost, in US dollars an hour, such as `"120.00"`. Who gets'
            " what is left goes by `spec.capacity.priority` and age."
        ),
    )
    forbidden_fields: Annotated[
        tuple[ModelField, ...], Field(min_length=1, max_length=5, json_schema_extra=LIST_SET)
    ] = Field(
        (),
        description=(
            "Parts of the spec that a model must leave out: `spec.engine.image`, `spec.engine.extraArgs`,"
            " `spec.engine.env`, `spec.pod` (and with it `spec.capacity.nodes`), `spec.serviceAccountName`. None when"
            " left out."
        ),
    )


class DefaultImage(ApiType):
    """The image of one engine, for models that name none."""

    engine: EngineName = Field(description="The engine.")
    image: ImageReference = Field(
        description="Container image of the engine, instead of the catalogue's and the operator's; best by digest."
    )


class DefaultImageCache(ApiType):
    """A disk image with the image of one engine on it, for models that run the engine's usual image."""

    engine: EngineName = Field(description="The engine.")
    disk_image: DiskImage = Field(
        description=(
            "Disk image of Compute Engine that holds the engine's container image, such as"
            " `projects/images-of-ours/global/images/vllm-gpu-1`: new nodes get a second disk of it, and don't pull."
        )
    )


class DefaultWeightsCache(ApiType):
    """Where converted checkpoints are kept, for models whose engine needs one and that name no bucket."""

    uri: Annotated[
        str,
        Field(min_length=6, max_length=_LONGEST_BUCKET, pattern=r"^gs://[a-z0-9][a-z0-9._-]+(/[A-Za-z0-9._-]+)*$"),
    ] = Field(
        description="Bucket or folder, such as `gs://models/cache`; each model gets a folder NAMESPACE/NAME below it."
    )


class ServingClassDefaults(ApiType):
    """What models of the class get where their spec says nothing. They may say something else, within the limits."""

    rules = (RESOURCE_LABEL_KEYS,)

    images: Annotated[
        tuple[DefaultImage, ...],
        Field(
            max_length=4,
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["engine"]},
        ),
    ] = Field((), description="Images of engines.")
    image_caches: Annotated[
        tuple[DefaultImageCache, ...],
        Field(
            max_length=4,
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["engine"]},
        ),
    ] = Field(
        (),
        description=(
            "Disk images with the images of engines on them, for new nodes of `provisioner: ContainerAPI`. Nodes that"
            " can't have one go without, and the plan says why."
        ),
    )
    weights_cache: DefaultWeightsCache | None = Field(None, description="Where converted checkpoints are kept.")
    resource_labels: ResourceLabels = Field(
        default_factory=dict, description="Labels of the cloud resources, for billing. A model's own win, key by key."
    )


class MistralServingClassSpec(ApiType):
    """Limits and defaults. What is left out limits nothing."""

    allowed_namespaces: Annotated[
        tuple[NamespacePattern, ...], Field(min_length=1, max_length=64, json_schema_extra=LIST_SET)
    ] = Field(
        (),
        description="Namespaces whose models may use the class, such as `team-*`, where `*` stands for any characters."
        " All when left out.",
    )
    limits: ServingClassLimits | None = Field(None, description="What models may use at most.")
    defaults: ServingClassDefaults | None = Field(None, description="What models get where their spec says nothing.")


class MistralServingClass(ApiType):
    """Limits and defaults for models, by a platform team. A model names one, or gets the one marked as the default."""

    api_version: Literal["serving.mistral-operator.dev/v1alpha1"] = "serving.mistral-operator.dev/v1alpha1"
    kind: Literal["MistralServingClass"] = "MistralServingClass"
    metadata: Metadata
    spec: MistralServingClassSpec = Field(description="Limits and defaults.")

    @property
    def is_default(self) -> bool:
        """Whether models that name no class get this one."""
        return self.metadata.annotations.get(DEFAULT_CLASS_ANNOTATION) == "true"
