"""When a live object already is what the manifest says, and when it is somebody else's."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, cast

import pytest

from mistral_operator.cluster.apply import Applier, NameTaken, OwnedByNamesake, covers, is_in_sync, parse_quantity
from mistral_operator.cluster.client import ApiClient
from mistral_operator.cluster.errors import Invalid
from mistral_operator.cluster.kinds import CLAIM, DEPLOYMENT, Kind
from mistral_operator.cluster.store import Key, Rules, Store
from mistral_operator.manifests.identity import seal

MANIFEST = seal(
    {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "chat", "namespace": "team", "labels": {"a": "b"}},
        "spec": {"replicas": 1, "template": {"spec": {"containers": [{"name": "vllm", "args": ["x", "--y"]}]}}},
    }
)


def live(**changes: Any) -> dict[str, Any]:
    metadata = {**MANIFEST["metadata"], "uid": "u", "resourceVersion": "5", "generation": 3}
    container = {"name": "vllm", "args": ["x", "--y"], "terminationMessagePath": "/dev/log", **changes}
    spec = {
        "replicas": 1,
        "paused": False,
        "template": {"spec": {"containers": [container], "dnsPolicy": "ClusterFirst"}},
    }
    return {**MANIFEST, "metadata": metadata, "spec": spec, "status": {"readyReplicas": 1}}


def test_defaults_and_status_do_not_matter() -> None:
    assert is_in_sync(MANIFEST, live())


def test_changed_field_matters() -> None:
    assert not is_in_sync(MANIFEST, live(args=["x"]))


def test_field_that_is_no_longer_rendered_shows_by_the_hash() -> None:
    fewer = {**MANIFEST, "metadata": {"name": "chat", "namespace": "team"}, "spec": {"replicas": 1}}
    assert not is_in_sync(seal(fewer), live())


@pytest.mark.parametrize(
    ("there", "wanted", "field", "expected"),
    [
        ([{"name": "a", "x": 1}, {"name": "injected"}], [{"name": "a"}], "containers", True),
        ([{"name": "a"}], [{"name": "a"}, {"name": "b"}], "containers", False),
        ([{"key": "a"}, {"key": "b"}], [{"key": "a"}], "tolerations", False),
        (["a", "b"], ["a"], "args", False),
        (["b", "a"], ["a"], "finalizers", True),
        (["a"], [["a"]], "finalizers", False),
        ([{"name": "a"}], [{"name": ["a"]}], "containers", False),
        ([{"port": 80, "protocol": "TCP"}], [{"port": 80}], "ports", True),
        ([{"containerPort": 80, "protocol": "UDP"}], [{"containerPort": 80, "protocol": "TCP"}], "ports", False),
        ({"cpu": "1", "memory": "1Gi"}, {"cpu": "1000m", "memory": "1024Mi"}, "limits", True),
        ({"cpu": "2"}, {"cpu": "1"}, "requests", False),
        ("1", "1000m", "name", False),
        (None, {}, "emptyDir", True),
        (None, [], "env", True),
        (None, "x", "name", False),
        ({}, {"a": {}}, "spec", True),
        ("text", {"a": 1}, "spec", False),
        ("text", ["a"], "args", False),
        (1, 1.0, "x", True),
    ],
)
def test_covers(there: Any, wanted: Any, field: str, expected: bool) -> None:
    assert covers(there, wanted, field) is expected


@pytest.mark.parametrize(
    ("text", "number"), [("100m", "0.1"), ("1Gi", "1073741824"), ("2k", "2000"), ("7.5", "7.5"), ("1e3", "1000")]
)
def test_parse_quantity(text: str, number: str) -> None:
    assert parse_quantity(text) == Decimal(number)


class OneDeployment:
    """Stands in for an API server with room for one Deployment, which refuses a second controller as the real one."""

    def __init__(self, there: dict[str, Any] | None) -> None:
        self.there = there
        self.applied = 0

    async def get(self, _kind: Kind, _name: str, _namespace: str = "") -> dict[str, Any] | None:
        return self.there

    async def apply(self, manifest: Mapping[str, Any], *, force: bool = True) -> dict[str, Any]:
        owners = (self.there or {}).get("metadata", {}).get("ownerReferences", [])
        if any(owner not in manifest["metadata"]["ownerReferences"] for owner in owners):
            raise Invalid(422, "Invalid", "Only one reference can have Controller set to true")
        self.applied += 1
        metadata = {**manifest["metadata"], "uid": "u", "resourceVersion": str(10 + self.applied)}
        self.there = {**manifest, "metadata": metadata}
        return self.there


def owned(*owners: dict[str, Any], replicas: int = 1) -> dict[str, Any]:
    metadata = {**MANIFEST["metadata"], "annotations": {}, "ownerReferences": list(owners)}
    return seal({**MANIFEST, "metadata": metadata, "spec": {"replicas": replicas}})


def owner(uid: str, name: str = "chat") -> dict[str, Any]:
    api_version = "serving.mistral-operator.dev/v1alpha1"
    return {"apiVersion": api_version, "kind": "MistralModel", "name": name, "uid": uid, "controller": True}


def an_applier(there: dict[str, Any] | None, *, known: bool) -> tuple[Applier, OneDeployment, Store]:
    """`known`: the store has the object, because it has our labels."""
    store = Store({DEPLOYMENT: Rules()})
    if there is not None:
        there = {**there, "metadata": {**there["metadata"], "uid": "u", "resourceVersion": "5"}}
        if known:
            store[DEPLOYMENT].put(there)
    api = OneDeployment(there)
    return Applier(cast("ApiClient", api), store), api, store


@pytest.mark.parametrize("known", [False, True])
async def test_an_object_of_another_owner_is_left_alone(known: bool) -> None:
    applier, api, _ = an_applier(owned(owner("uid-other", "other"), replicas=7), known=known)
    with pytest.raises(NameTaken, match="belongs to MistralModel other") as caught:
        await applier.apply_if_needed(owned(owner("uid-chat")))
    assert caught.value.permanent
    assert api.applied == 0


@pytest.mark.parametrize("known", [False, True])
async def test_what_an_earlier_model_of_that_name_left_is_waited_for(known: bool) -> None:
    applier, api, store = an_applier(owned(owner("uid-former")), known=known)
    with pytest.raises(OwnedByNamesake, match="garbage collector") as caught:
        await applier.apply_if_needed(owned(owner("uid-chat")))
    assert not caught.value.permanent
    assert api.applied == 0
    api.there = None
    store[DEPLOYMENT].remove(Key("team", "chat"), 6)
    assert await applier.apply_if_needed(owned(owner("uid-chat")))


async def test_what_an_earlier_model_of_that_name_left_is_not_taken_for_settled() -> None:
    applier, _, store = an_applier(None, known=False)
    assert await applier.apply_if_needed(owned(owner("uid-former")))
    assert store[DEPLOYMENT].meta(Key("team", "chat"))
    with pytest.raises(OwnedByNamesake):
        await applier.apply_if_needed(owned(owner("uid-chat")))


async def test_an_object_with_our_labels_that_lost_its_owner_is_ours() -> None:
    applier, api, _ = an_applier(owned(), known=True)
    assert await applier.apply_if_needed(owned(owner("uid-chat")))
    assert api.applied == 1


def claim(tenant: str = "team-a", **labels: str) -> dict[str, Any]:
    shape = {"machineType": "g2-standard-8", "accelerator": {"type": "nvidia-l4", "count": 1}}
    spec = {
        "shape": shape,
        "tenant": tenant,
        "zones": ["us-central1-a"],
        **({"resourceLabels": labels} if labels else {}),
    }
    metadata = {"name": "g2-standard-8-od-0123456789", "labels": {"app.kubernetes.io/managed-by": "mistral-operator"}}
    return {"apiVersion": CLAIM.api_version, "kind": CLAIM.kind, "metadata": metadata, "spec": spec}


def a_claim_applier(there: dict[str, Any], *, known: bool) -> tuple[Applier, OneDeployment]:
    """The stand-in lets any claim be overwritten, as the real server does for the manager that wrote it."""
    stored = {**there, "metadata": {**there["metadata"], "uid": "u", "resourceVersion": "5"}}
    store, api = Store({CLAIM: Rules()}), OneDeployment(stored)
    if known:
        store[CLAIM].put(stored)
    return Applier(cast("ApiClient", api), store), api


@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize("there", [claim("team-b", cost="more"), claim()], ids=["tenant", "labels"])
async def test_a_claim_of_that_name_for_other_needs_is_left_alone(there: dict[str, Any], known: bool) -> None:
    applier, api = a_claim_applier(there, known=known)
    with pytest.raises(NameTaken, match="asks for something else") as caught:
        await applier.apply_if_needed(claim(cost="more"))
    assert caught.value.permanent
    assert "team-b" not in str(caught.value)
    assert api.applied == 0


@pytest.mark.parametrize("known", [False, True])
async def test_a_claim_for_the_same_needs_is_put_right(known: bool) -> None:
    there = claim()
    applier, api = a_claim_applier({**there, "metadata": {**there["metadata"], "labels": {}}}, known=known)
    assert await applier.apply_if_needed(claim())
    assert api.applied == 1
