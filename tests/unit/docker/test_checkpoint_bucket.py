"""What the converter asks of Google's client, with a stand-in for its module, which isn't one of the project's."""

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import google.cloud
import pytest
from google.api_core.exceptions import NotFound, PreconditionFailed

FOLDER = Path(__file__).parents[3] / "docker" / "jetstream-maxtext"


class Objects:
    """The objects of one bucket, as client, bucket and list at once."""

    def __init__(self) -> None:
        self.found: dict[str, tuple[str, int]] = {}
        self.before_download: list[Callable[[], None]] = []

    def bucket(self, name: str) -> "Objects":
        assert name == "weights"
        return self

    def blob(self, path: str) -> "Blob":
        return Blob(self, path)

    def get_blob(self, path: str) -> "Blob | None":
        return Blob(self, path, self.found[path][1]) if path in self.found else None

    def list_blobs(self, _bucket: Any, prefix: str, max_results: int | None = None) -> list["Blob"]:
        return [Blob(self, path) for path in self.found if path.startswith(prefix)][:max_results]


class Blob:
    """One object, with the conditions that Cloud Storage checks."""

    def __init__(self, objects: Objects, path: str, generation: int | None = None) -> None:
        self.objects, self.path, self.generation = objects, path, generation

    def download_as_text(self, *, if_generation_match: int) -> str:
        if self.objects.before_download:
            self.objects.before_download.pop()()
        if self.path not in self.objects.found:
            raise NotFound(self.path)
        text, generation = self.objects.found[self.path]
        if generation != if_generation_match:
            raise PreconditionFailed(self.path)
        self.generation = None
        return text

    def upload_from_string(self, text: str, *, content_type: str, if_generation_match: int) -> None:
        assert content_type == "application/json"
        generation = self.objects.found.get(self.path, ("", 0))[1]
        if generation != if_generation_match:
            raise PreconditionFailed(self.path)
        self.generation = generation + 1
        self.objects.found[self.path] = (text, self.generation)

    def delete(self) -> None:
        del self.objects.found[self.path]


@pytest.fixture
def objects() -> Objects:
    return Objects()


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch, objects: Objects) -> Any:
    storage: Any = ModuleType("google.cloud.storage")
    storage.Client = lambda: objects
    monkeypatch.setitem(sys.modules, "google.cloud.storage", storage)
    monkeypatch.setattr(google.cloud, "storage", storage, raising=False)
    monkeypatch.syspath_prepend(str(FOLDER))
    import checkpoint_bucket

    return checkpoint_bucket


def test_an_object_is_replaced_only_as_it_was_read(program: Any, objects: Objects) -> None:
    bucket = program.Bucket("gs://weights/jetstream/mixtral")
    assert bucket.read("begun.json") is None
    assert bucket.write("begun.json", "one", 0) == 1
    assert bucket.read("begun.json") == program.Stored("one", 1)
    assert bucket.write("begun.json", "two", 1) == 2
    for late in (0, 1):
        with pytest.raises(program.ChangedError):
            bucket.write("begun.json", "three", late)
    assert objects.found == {"jetstream/mixtral/begun.json": ("two", 2)}


def test_text_and_generation_are_of_the_same_moment(program: Any, objects: Objects) -> None:
    bucket = program.Bucket("gs://weights/mixtral")
    bucket.write("begun.json", "one", 0)
    objects.before_download.append(lambda: bucket.write("begun.json", "two", 1))
    assert bucket.read("begun.json") == program.Stored("two", 2)
    objects.before_download.append(objects.found.clear)
    assert bucket.read("begun.json") is None


def test_only_what_is_below_a_name_is_deleted(program: Any, objects: Objects) -> None:
    bucket = program.Bucket("gs://weights/mixtral")
    for name in ("scanned/0/items/a", "scanned/b", "scanned-by-hand/c"):
        bucket.write(name, "", 0)
    assert bucket.has_any("scanned")
    bucket.delete_below("scanned")
    assert not bucket.has_any("scanned")
    assert list(objects.found) == ["mixtral/scanned-by-hand/c"]
