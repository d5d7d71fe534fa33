"""Server-side apply of what the operator renders, and only of what differs from what is there."""

from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from functools import partial
from typing import Any, Final

from mistral_operator.api.names import APPLIED_HASH_ANNOTATION
from mistral_operator.cluster.client import ApiClient
from mistral_operator.cluster.errors import Conflict, Invalid
from mistral_operator.cluster.kinds import CLAIM, SERVICE, Kind, kind_of
from mistral_operator.cluster.store import Key, Meta, Store
from mistral_operator.manifests.identity import hash_content

_MERGE_KEYS: Final[Mapping[str, tuple[tuple[str, ...], ...]]] = {
    "containers": (("name",),),
    "initContainers": (("name",),),
    "env": (("name",),),
    "ports": (("containerPort", "protocol"), ("containerPort",), ("port", "protocol"), ("port",)),
    "volumes": (("name",),),
    "volumeMounts": (("mountPath",),),
    "imagePullSecrets": (("name",),),
    "topologySpreadConstraints": (("topologyKey", "whenUnsatisfiable"),),
    "ownerReferences": (("uid",),),
    "conditions": (("type",),),
}
"""Lists that server-side apply merges by these keys: others may add elements. All other lists are whole."""

_UNCONTESTED: Final = frozenset({SERVICE, CLAIM})
"""Kinds of which another's object is overwritten without a conflict: a Service may lack all that ours set, such as a
selector, and a claim of another tenant has the operator itself as the manager of its fields.
"""

_SETS: Final = frozenset({"finalizers"})
_QUANTITIES: Final = frozenset({"limits", "requests", "sizeLimit", "averageValue", "divisor"})
_SUFFIXES: Final[Mapping[str, Decimal]] = {
    **{suffix: Decimal(1024) ** power for power, suffix in enumerate(("Ki", "Mi", "Gi", "Ti", "Pi", "Ei"), start=1)},
    **{suffix: Decimal(1000) ** power for power, suffix in enumerate(("k", "M", "G", "T", "P", "E"), start=1)},
    "m": Decimal("0.001"),
}


class NameTaken(Invalid):
    """An object of that name is there and isn't ours."""


class OwnedByNamesake(Conflict):
    """The object belongs to an earlier model of the same name, and goes once the garbage collector finds it."""


class Applier:
    """Applies manifests, and remembers what the server made of them, so that an unchanged one costs no request."""

    def __init__(self, client: ApiClient, store: Store) -> None:
        self._client = client
        self._store = store
        self._settled: dict[tuple[Kind, Key], tuple[int, str]] = {}
        """Version and hash of the last answer: a server that stores a manifest in other words isn't asked again."""
        for shelf in store:
            shelf.listen(partial(self._forget_gone, shelf.kind))

    async def apply_if_needed(self, manifest: Mapping[str, Any]) -> bool:
        """Makes the object what the manifest says; answers whether that took a write. Raises ApiError.

        The answer goes into the store, so that the next look at it sees this write. An object that somebody else
        controls is never taken over (NameTaken), and neither is a claim for other needs; one of an earlier model of
        that name is waited for (OwnedByNamesake), whether the store has it or not. One in the store that nobody
        controls is ours by its labels.
        """
        kind = kind_of(manifest)
        shelf = self._store[kind]
        key = _key(manifest)
        wanted = _seal_of(manifest) or hash_content(manifest, 16)
        meta = shelf.meta(key)
        if meta is not None:
            if self._settled.get((kind, key)) == (meta.version, wanted):
                return False
            there = shelf.get(key) or {}
            if is_in_sync(manifest, there):
                self._settled[kind, key] = (meta.version, wanted)
                return False
            if kind == CLAIM or controller_of(there):
                _check_owner(manifest, there)
        answer = await (self._create(manifest) if meta is None else self._client.apply(manifest))
        shelf.put(answer, own=True)
        self._settled[kind, key] = (int(answer["metadata"]["resourceVersion"]), wanted)
        return True

    def _forget_gone(self, kind: Kind, old: Meta | None, new: Meta | None) -> None:
        if old is not None and new is None:
            self._settled.pop((kind, old.key), None)

    async def _create(self, manifest: Mapping[str, Any]) -> dict[str, Any]:
        """Applies an object that isn't known to exist: without force a stranger's fields stand in the way.

        A POST would be no better: an object made by POST refuses later changes of immutable kinds by another manager.
        """
        if kind_of(manifest) in _UNCONTESTED:
            await self._find_own(manifest)
        try:
            return await self._client.apply(manifest, force=False)
        except (Conflict, Invalid) as error:
            # Lists that are merged can make a stranger's object invalid before any field conflicts.
            if await self._find_own(manifest) is None and isinstance(error, Invalid):
                raise
        return await self._client.apply(manifest)

    async def _find_own(self, manifest: Mapping[str, Any]) -> dict[str, Any] | None:
        """The live object, or None if there is none. Raises NameTaken or OwnedByNamesake if it isn't ours."""
        key = _key(manifest)
        there = await self._client.get(kind_of(manifest), key.name, key.namespace)
        if there is not None:
            _check_owner(manifest, there)
        return there


def is_in_sync(manifest: Mapping[str, Any], live: Mapping[str, Any]) -> bool:
    """Whether the live object has every field as the manifest says.

    A sealed manifest has its hash in an annotation, and by that a field which an earlier manifest had shows too.
    """
    return covers(live, manifest)


def covers(live: Any, wanted: Any, field: str = "") -> bool:
    """Whether `live` has all that `wanted` has; what the server has defaulted or others have added doesn't matter.

    `field` is the name of the field that holds both, on which the meaning of lists and quantities depends.
    """
    if live == wanted:
        return True  # Long parts mostly are, and Python compares them quickly.
    if isinstance(wanted, dict):
        if live is None:
            return not wanted  # The server drops empty objects.
        if not isinstance(live, dict):
            return False
        below = field if field in _QUANTITIES else ""
        return all(covers(live.get(name), value, below or name) for name, value in wanted.items())
    if isinstance(wanted, list):
        return _covers_list(live, wanted, field)
    return field in _QUANTITIES and _same_quantity(live, wanted)


def _covers_list(live: Any, wanted: Sequence[Any], field: str) -> bool:
    if live is None:
        return not wanted
    if not isinstance(live, list):
        return False
    if field in _SETS:
        return all(item in live for item in wanted)
    for keys in _MERGE_KEYS.get(field, ()):
        if all(isinstance(item, Mapping) and all(_is_key(item.get(key)) for key in keys) for item in wanted):
            by_key = {tuple(item.get(key) for key in keys): item for item in live}
            return all(covers(by_key.get(tuple(item[key] for key in keys)), item) for item in wanted)
    return len(live) == len(wanted) and all(map(covers, live, wanted))


def _is_key(value: Any) -> bool:
    """A pod template comes from a revision, which somebody may have filled with anything."""
    return isinstance(value, str | int)


def _same_quantity(live: Any, wanted: Any) -> bool:
    """Quantities are stored in a canonical form: `1000m` comes back as `1`, `1024Mi` as `1Gi`."""
    try:
        return parse_quantity(str(live)) == parse_quantity(str(wanted))
    except InvalidOperation:
        return False


def parse_quantity(text: str) -> Decimal:
    """A Kubernetes quantity as a number; raises InvalidOperation for what isn't one."""
    for suffix, factor in _SUFFIXES.items():
        if text.endswith(suffix):
            return Decimal(text[: -len(suffix)]) * factor
    return Decimal(text)


def _seal_of(manifest: Mapping[str, Any]) -> str:
    return str((manifest["metadata"].get("annotations") or {}).get(APPLIED_HASH_ANNOTATION, ""))


def _key(manifest: Mapping[str, Any]) -> Key:
    metadata = manifest["metadata"]
    return Key(str(metadata.get("namespace", "")), str(metadata["name"]))


def controller_of(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """The owner reference of the object's controller, or an empty mapping."""
    owners = body.get("metadata", {}).get("ownerReferences") or ()
    return next((owner for owner in owners if owner.get("controller")), {})


def _check_owner(manifest: Mapping[str, Any], there: Mapping[str, Any]) -> None:
    """Claims have no owner: one is ours if it asks for the same. Everything else is, if the same model controls it."""
    if kind_of(manifest) == CLAIM:
        _check_needs(manifest, there)
        return
    wanted, found = controller_of(manifest), controller_of(there)
    if not wanted or found.get("uid") == wanted["uid"]:
        return
    what = f"{manifest['kind']} {manifest['metadata']['name']}"
    if all(found.get(field) == wanted[field] for field in ("apiVersion", "kind", "name")):
        raise OwnedByNamesake(
            409,
            "OwnedByNamesake",
            f"{what} still belongs to an earlier {wanted['kind']} {wanted['name']} with uid {found.get('uid')}; "
            "Kubernetes' garbage collector removes it, and then it is made anew",
        )
    raise NameTaken(
        409,
        "NameTaken",
        f"{what} is already there and belongs to {_owner_name(there)}; remove it, or choose another name for the model",
    )


def _check_needs(claim: Mapping[str, Any], there: Mapping[str, Any]) -> None:
    """A claim's name is a short hash of its spec, and a tenant chooses parts of that: he could try words until his name
    is that of another tenant's claim. Whose that is, he isn't told.
    """
    if covers(there.get("spec"), claim["spec"]):
        return
    raise NameTaken(
        409,
        "NameTaken",
        f"NodePoolClaim {claim['metadata']['name']} is already there and asks for something else, so it is left alone; "
        "change a word of spec.resourceLabels, which gives this model's claim another name",
    )


def _owner_name(body: Mapping[str, Any]) -> str:
    owner = controller_of(body)
    return f"{owner['kind']} {owner['name']}" if owner else "nobody that the operator knows"
