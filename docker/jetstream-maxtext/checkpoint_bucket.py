"""Where convert_checkpoint.py keeps what it makes: objects in a bucket, replaced only as they were read."""

from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True)
class Stored:
    """An object as it was read."""

    text: str
    generation: int
    """Another one after each write."""


class ChangedError(Exception):
    """The object is no longer of the generation that was to be replaced."""


class Store(Protocol):
    """Objects in a bucket."""

    def read(self, name: str) -> Stored | None:
        """The object, or None if there is none."""
        ...

    def write(self, name: str, text: str, generation: int) -> int:
        """Replace an object of this generation, 0 for one that isn't there; its new one. Raises ChangedError."""
        ...

    def delete_below(self, name: str) -> None:
        """Delete all objects under NAME/."""
        ...

    def has_any(self, name: str) -> bool:
        """Whether there is an object under NAME/."""
        ...


class Bucket:
    """Objects under a prefix of a Google Cloud Storage bucket, by the identity of the pod."""

    def __init__(self, destination: str) -> None:
        from google.api_core.exceptions import NotFound, PreconditionFailed
        from google.cloud import storage

        self._gone, self._changed = NotFound, PreconditionFailed
        name, _, self._prefix = destination.removeprefix("gs://").partition("/")
        self._client: Any = storage.Client()
        self._bucket = self._client.bucket(name)

    def read(self, name: str) -> Stored | None:
        while (blob := self._bucket.get_blob(f"{self._prefix}/{name}")) is not None:
            # The download writes what the answer's headers say over it.
            generation = int(blob.generation)
            try:
                text = blob.download_as_text(if_generation_match=generation)
            except (self._gone, self._changed):
                continue
            return Stored(str(text), generation)
        return None

    def write(self, name: str, text: str, generation: int) -> int:
        blob = self._bucket.blob(f"{self._prefix}/{name}")
        try:
            blob.upload_from_string(text, content_type="application/json", if_generation_match=generation)
        except self._changed as error:
            raise ChangedError(name) from error
        return int(blob.generation)

    def delete_below(self, name: str) -> None:
        for blob in self._client.list_blobs(self._bucket, prefix=f"{self._prefix}/{name}/"):
            blob.delete()

    def has_any(self, name: str) -> bool:
        found = self._client.list_blobs(self._bucket, prefix=f"{self._prefix}/{name}/", max_results=1)
        return any(True for _ in found)
