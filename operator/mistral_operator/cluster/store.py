"""What is known of the cluster's objects: a read-through copy that reflectors and our own writes keep fresh.

Objects are kept as compressed JSON and parsed on use: a thousand models with their children stay within tens of MiB.
Versions decide, never the order of arrival: an object older than what is there, or than its deletion, is ignored, so
that watches, relists and answers to our own writes may come in any order.
"""

import json
import zlib
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from mistral_operator.cluster.kinds import Kind

Json = dict[str, Any]
Listener = Callable[["Meta | None", "Meta | None"], None]
"""Called with an object's Meta before and after a change; None before it was there, and after it went."""

_COMPRESS_ABOVE_BYTES: Final = 1024
_TOMBSTONES: Final = 4096
_NOISE: Final = "kubectl.kubernetes.io/last-applied-configuration"


class Key(NamedTuple):
    """An object within its kind."""

    namespace: str
    """Empty for cluster-scoped kinds."""
    name: str


@dataclass(frozen=True, slots=True)
class Meta:
    """What can be known of an object without parsing it."""

    key: Key
    uid: str
    version: int
    """resourceVersion: grows with every write to the cluster."""
    generation: int
    deleting: bool
    digest: int
    """Differs between two versions of an object when something differs that reconcilers care about."""
    indexed: Mapping[str, tuple[str, ...]]
    """Index → the values under which the object is found."""
    own: bool = False
    """True when this version is the answer to a write of our own."""

    def first(self, index: str) -> str:
        """The object's first value in an index, or an empty string."""
        return next(iter(self.indexed.get(index, ())), "")


@dataclass(frozen=True, slots=True)
class Rules:
    """How objects of one kind are kept."""

    indexes: Mapping[str, Callable[[Json], Iterable[str]]] = field(default_factory=dict)
    slim: Callable[[Json], Json] = lambda body: body
    """Drops what nobody reads, before the object is kept."""
    digest: Callable[[Json], object] = lambda body: body
    """The part that reconcilers care about, anything that JSON can hold."""


class Shelf:
    """The objects of one kind."""

    def __init__(self, kind: Kind, rules: Rules) -> None:
        self.kind = kind
        self._rules = rules
        self._metas: dict[Key, Meta] = {}
        self._bodies: dict[Key, bytes] = {}
        self._index: dict[tuple[str, str], set[Key]] = defaultdict(set)
        self._gone: OrderedDict[Key, int] = OrderedDict()
        self._listeners: list[Listener] = []

    def __len__(self) -> int:
        return len(self._metas)

    def listen(self, listener: Listener) -> None:
        """Has `listener` called on every change from now on. It must be quick and must not raise."""
        self._listeners.append(listener)

    def keys(self) -> tuple[Key, ...]:
        """The keys of all objects."""
        return tuple(self._metas)

    def meta(self, key: Key) -> Meta | None:
        """What is known of an object without parsing it."""
        return self._metas.get(key)

    def get(self, key: Key) -> Json | None:
        """The object without its managedFields; a copy that the caller may keep."""
        packed = self._bodies.get(key)
        return _unpack(packed) if packed is not None else None

    def find_metas(self, index: str, value: str) -> list[Meta]:
        """The metas of the objects that are indexed under that value, in the order of their keys."""
        return [self._metas[key] for key in sorted(self._index.get((index, value), ()))]

    def find(self, index: str, value: str) -> list[Json]:
        """The objects that are indexed under that value, in the order of their keys."""
        return [_unpack(self._bodies[meta.key]) for meta in self.find_metas(index, value)]

    def put(self, body: Json, *, own: bool = False) -> bool:
        """Takes in a version of an object; answers False if it isn't newer than what is known."""
        metadata = body["metadata"]
        key = Key(metadata.get("namespace", ""), metadata["name"])
        version = int(metadata["resourceVersion"])
        old = self._metas.get(key)
        if version <= (old.version if old else self._gone.get(key, 0)):
            return False
        kept = self._rules.slim(_without_noise(body))
        new = self._describe(key, version, kept, own)
        self._unindex(old)
        self._gone.pop(key, None)
        self._metas[key] = new
        self._bodies[key] = _pack(kept)
        for index, values in new.indexed.items():
            for value in values:
                self._index[index, value].add(key)
        self._tell(old, new)
        return True

    def remove(self, key: Key, version: int) -> bool:
        """Takes in that the object was gone at that version; answers False if a newer one is known or none at all."""
        old = self._metas.get(key)
        if old is not None and old.version > version:
            return False
        self._gone[key] = max(version, self._gone.pop(key, 0))
        if len(self._gone) > _TOMBSTONES:
            self._gone.popitem(last=False)
        if old is None:
            return False
        self._unindex(old)
        del self._metas[key], self._bodies[key]
        self._tell(old, None)
        return True

    def absent_from(self, present: Iterable[Key], version: int) -> Iterator[Key]:
        """The objects that a complete list at that version should have had and didn't: they went unnoticed."""
        missing = self._metas.keys() - set(present)
        return (key for key in sorted(missing) if self._metas[key].version <= version)

    def _describe(self, key: Key, version: int, body: Json, own: bool) -> Meta:
        metadata = body["metadata"]
        return Meta(
            key=key,
            uid=metadata.get("uid", ""),
            version=version,
            generation=int(metadata.get("generation", 0)),
            deleting="deletionTimestamp" in metadata,
            digest=hash(_encode(self._rules.digest(body))),
            indexed={index: tuple(values(body)) for index, values in self._rules.indexes.items()},
            own=own,
        )

    def _unindex(self, meta: Meta | None) -> None:
        if meta is None:
            return
        for index, values in meta.indexed.items():
            for value in values:
                keys = self._index[index, value]
                keys.discard(meta.key)
                if not keys:
                    del self._index[index, value]

    def _tell(self, old: Meta | None, new: Meta | None) -> None:
        for listener in self._listeners:
            listener(old, new)


class Store:
    """A shelf for each kind that the operator reads."""

    def __init__(self, rules: Mapping[Kind, Rules]) -> None:
        self._shelves = {kind: Shelf(kind, kept) for kind, kept in rules.items()}

    def __getitem__(self, kind: Kind) -> Shelf:
        return self._shelves[kind]

    def __iter__(self) -> Iterator[Shelf]:
        return iter(self._shelves.values())


def _without_noise(body: Json) -> Json:
    metadata = {name: value for name, value in body["metadata"].items() if name != "managedFields"}
    if _NOISE in (metadata.get("annotations") or {}):
        metadata["annotations"] = {k: v for k, v in metadata["annotations"].items() if k != _NOISE}
    return {**body, "metadata": metadata}


def _encode(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def _pack(body: Json) -> bytes:
    encoded = _encode(body)
    return zlib.compress(encoded, 1) if len(encoded) > _COMPRESS_ABOVE_BYTES else encoded


def _unpack(packed: bytes) -> Json:
    # JSON of an object begins with a brace, a zlib stream never does.
    body: Json = json.loads(packed if packed[:1] == b"{" else zlib.decompress(packed))
    return body
