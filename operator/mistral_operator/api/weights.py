"""`spec.weights`: where the model's files come from, and where they are kept."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from mistral_operator.api.common import (
    ApiType,
    DnsSubdomain,
    Identifier,
    ImageReference,
    Quantity,
    Repository,
    Rule,
    SecretKeyRef,
)

_SubPath = Annotated[str, Field(min_length=1, max_length=512, pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]*$")]
_BucketUri = Annotated[
    str, Field(min_length=6, max_length=1024, pattern=r"^gs://[a-z0-9][a-z0-9._-]+(/[A-Za-z0-9._/-]*)?$")
]


class HuggingFaceWeights(ApiType):
    """Weights from a Hugging Face repository."""

    repository: Repository | None = Field(
        None,
        description="Repository with the files, such as `mistralai/Mistral-7B-v0.3`. The catalogue's when left out.",
    )
    revision: Identifier | None = Field(
        None, description="Commit, tag or branch of the repository. A commit keeps what is served from changing."
    )
    token_secret_ref: SecretKeyRef | None = Field(
        None,
        description="Access token for a private or gated repository, mounted by the pods; the operator never reads it.",
    )


class GcsWeights(ApiType):
    """Weights from a Cloud Storage bucket."""

    uri: _BucketUri = Field(description="Folder with the files, such as `gs://models/mistral-7b`.")


class VolumeWeights(ApiType):
    """Weights on a volume of the model's namespace."""

    claim_name: DnsSubdomain = Field(description="Name of the PersistentVolumeClaim; it must be readable by many pods.")
    path: _SubPath | None = Field(
        None, description="Folder inside the volume, such as `models/7b`. Its root when left out."
    )


class ImageWeights(ApiType):
    """Weights inside an OCI image that is mounted as a volume."""

    reference: ImageReference = Field(description="The image, best pinned by digest.")
    path: _SubPath | None = Field(
        None, description="Folder inside the image, such as `models/7b`. Its root when left out."
    )


class CacheMode(StrEnum):
    """Where downloaded weights are kept for the next start."""

    NONE = "None"
    NODE = "Node"
    BUCKET = "Bucket"


class WeightsCache(ApiType):
    """Keeps downloaded weights, so that the next replica starts sooner."""

    rules = (
        Rule(
            "has(self.uri) == (self.mode == 'Bucket')",
            "a cache has a uri exactly when its mode is Bucket; write mode: Bucket with uri: gs://…, or remove uri",
            lambda cache: (cache.uri is not None) == (cache.mode is CacheMode.BUCKET),
        ),
    )

    mode: CacheMode = Field(description="Where the weights are kept.")
    uri: _BucketUri | None = Field(
        None, description="Folder of a bucket, such as `gs://models/cache`, for mode `Bucket`."
    )
    size: Quantity | None = Field(None, description="Space for the cache, for mode `Node`.")


class Weights(ApiType):
    """Where the model's files come from. Left out: the catalogue's Hugging Face repository."""

    rules = (
        Rule(
            "[has(self.huggingFace), has(self.gcs), has(self.persistentVolumeClaim), has(self.image)]"
            ".filter(given, given).size() <= 1",
            "weights come from one place; keep one of huggingFace, gcs, persistentVolumeClaim and image,"
            " and remove the others",
            lambda item: (
                sum(
                    source is not None
                    for source in (item.hugging_face, item.gcs, item.persistent_volume_claim, item.image)
                )
                <= 1
            ),
        ),
    )

    hugging_face: HuggingFaceWeights | None = Field(None, description="Weights from a Hugging Face repository.")
    gcs: GcsWeights | None = Field(None, description="Weights from a Cloud Storage bucket.")
    persistent_volume_claim: VolumeWeights | None = Field(
        None, description="Weights on a volume of the model's namespace."
    )
    image: ImageWeights | None = Field(None, description="Weights inside an OCI image that is mounted as a volume.")
    cache: WeightsCache | None = Field(None, description="Where downloaded weights are kept for the next start.")
