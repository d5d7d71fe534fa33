"""Bad input: refused by the schema, or by `Accepted=False`, in words that say what to write; nothing is made of it."""

import re
from typing import Any

import pytest
from tests.support.stack import CHILDREN, READY_S, Stack

from mistral_operator.sandbox.kube import KubeError

Json = dict[str, Any]
SECRETS = "/api/v1/namespaces/{namespace}/secrets"
MODEL = "mistral-7b-v0.3"
ONE_L4 = {"options": [{"accelerator": "l4", "devices": 1}]}

REFUSED: dict[str, tuple[Json, str, tuple[str, ...]]] = {
    "an unknown model": (
        {"model": "mistral-7b-v0.4"},
        "UnknownModel",
        (r"mistral-7b-v0\.4 is not in the catalogue", r"the nearest are .*mistral-7b-v0\.3", "write one of them"),
    ),
    "hardware that can't hold it": (
        {"model": "mistral-small-3.2-24b-2506", "capacity": ONE_L4},
        "NothingFits",
        (r"1 × l4 \(g2-standard-4", r"weights \d+\.\d GiB", r"may use \d+\.\d GiB", r"write spec\.capacity\.options"),
    ),
    "a license that isn't accepted": (
        {"model": "codestral-22b-v0.1"},
        "LicenseNotAccepted",
        (r"read it, then write spec\.license\.accept: \S+$",),
    ),
    "another model's license": (
        {"model": "codestral-22b-v0.1", "license": {"accept": "apache-2.0"}},
        "LicenseNotAccepted",
        (r"but apache-2\.0 is accepted", r"write spec\.license\.accept: \S+$"),
    ),
    "a field that isn't built yet": (
        {"model": MODEL, "weights": {"gcs": {"uri": "gs://models/mistral"}}},
        "NotYetSupported",
        (r"spec\.weights\.gcs is not supported yet", r"use spec\.weights\.huggingFace"),
    ),
}
REFUSED_BY_SCHEMA: dict[str, tuple[str, Json, str]] = {
    "a malformed quantity": (
        "chat",
        {"pod": {"resources": {"requests": {"memory": "40 GB"}}}},
        r"spec\.pod\.resources\.requests.*should match",
    ),
    "a name that is too long": ("a" * 41, {}, "must be at most 40 characters.*write a shorter one"),
    "an unknown field": ("chat", {"gpuCount": 2}, r"spec\.gpuCount: field not declared in schema"),
}


async def created(stack: Stack) -> list[str]:
    """Everything that the operator makes for models, by kind and name; also what it has asked of the cloud."""
    found = [f"{kind} {child['metadata']['name']}" for kind in CHILDREN for child in await stack.children(kind)]
    found += [f"claim {claim['metadata']['name']}" for claim in await stack.claims()]
    return found + [f"pool {pool['name']}" for pool in await stack.pools()]


@pytest.mark.parametrize(("spec", "reason", "words"), REFUSED.values(), ids=REFUSED)
async def test_what_can_not_be_served_is_refused(stack: Stack, spec: Json, reason: str, words: tuple[str, ...]) -> None:
    await stack.apply("chat", **spec)
    accepted = await stack.expect("chat", "Accepted", "False", reason)
    for expected in words:
        assert re.search(expected, accepted["message"]), accepted["message"]
    for summing_up, status in (("Ready", "False"), ("Stalled", "True")):
        condition = await stack.condition("chat", summing_up)
        assert (condition["status"], condition["reason"]) == (status, reason)
    # The status is the last thing that a reconcile writes: what it makes would be there by now.
    assert await created(stack) == []


async def test_what_the_refusal_says_to_write_is_accepted(stack: Stack) -> None:
    spec: Json = {"model": "codestral-22b-v0.1", "replicas": 0}
    await stack.apply("chat", **spec)
    message = (await stack.expect("chat", "Accepted", "False", "LicenseNotAccepted"))["message"]
    (license_id,) = re.findall(r"write spec\.license\.accept: (\S+)$", message)
    await stack.apply("chat", **spec, license={"accept": license_id})
    await stack.expect("chat", "Accepted", "True")
    await stack.expect("chat", "Stalled", "False")


async def test_a_spec_that_turns_bad_leaves_what_is_served(stack: Stack) -> None:
    await stack.apply("chat", model=MODEL)
    await stack.expect("chat", "Accepted", "True")
    before = await created(stack)
    await stack.apply("chat", model="mistral-7b-v0.4")
    await stack.expect("chat", "Accepted", "False", "UnknownModel")
    assert set(before) <= set(await created(stack))
    await stack.expect_ready("chat")
    assert (await stack.condition("chat", "Degraded"))["reason"] == "UnknownModel"


@pytest.mark.parametrize(("name", "spec", "words"), REFUSED_BY_SCHEMA.values(), ids=REFUSED_BY_SCHEMA)
async def test_the_schema_refuses(stack: Stack, name: str, spec: Json, words: str) -> None:
    with pytest.raises(KubeError, match=words):
        await stack.apply(name, model=MODEL, **spec)
    with pytest.raises(KubeError, match="not found"):
        await stack.get(name)


async def test_the_longest_name_is_served(stack: Stack) -> None:
    name = "a" * 40
    await stack.apply(name, model=MODEL, scaling={"maxReplicas": 2})
    await stack.expect_ready(name)


async def test_a_missing_token_secret_is_told_and_healed(stack: Stack) -> None:
    token = {"huggingFace": {"tokenSecretRef": {"name": "hugging-face", "key": "token"}}}
    await stack.apply("chat", model=MODEL, weights=token)
    told = await stack.expect("chat", "WeightsReady", "False", "TokenSecretMissing", timeout_s=READY_S)
    assert 'secret "hugging-face" not found' in told["message"]
    assert f"kubectl -n {stack.namespace} create secret generic hugging-face --from-file=token=" in told["message"]
    assert (await stack.condition("chat", "Ready"))["reason"] == "TokenSecretMissing"
    assert (await stack.condition("chat", "Stalled"))["status"] == "True"
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "hugging-face"},
        "stringData": {"token": "not-a-token"},
    }
    await stack.kube.create(SECRETS.format(namespace=stack.namespace), secret)
    await stack.expect_ready("chat")
    await stack.expect("chat", "WeightsReady", "True", "Loaded")
    assert "not-a-token" not in stack.operator.log(10_000)
