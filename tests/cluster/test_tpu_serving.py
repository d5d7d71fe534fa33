"""Models on single TPU machines: vLLM, and both JetStreams behind the gateway, from nothing to an answer and back."""

import openai
import pytest
from tests.support.polling import eventually
from tests.support.stack import Stack


async def test_vllm_serves_on_the_chips_of_one_machine(stack: Stack) -> None:
    name = await stack.apply_example("mistral-7b-tpu")
    await stack.expect_ready(name)
    chosen = (await stack.get(name))["status"]["plan"]["chosen"]
    assert (chosen["devices"], chosen["accelerator"], chosen["tier"]) == (4, "v5e", "experimental")
    async with stack.client(name) as client:
        answer = await client.chat.completions.create(
            model="mistral-7b-v0.3", messages=[{"role": "user", "content": "Who are you?"}], max_tokens=64
        )
    assert "stand-in" in str(answer.choices[0].message.content)
    (pool,) = await stack.pools()
    assert pool["message"]["config"]["machine_type"] == "ct5lp-hightpu-4t"
    await stack.scale(name, 2)
    await stack.expect_ready(name, replicas=2)
    await stack.expect_one_pool_per_claim()
    await stack.delete(name)
    await stack.expect_no_trace()


async def test_mixtral_serves_on_jetstream_through_the_openai_api(stack: Stack) -> None:
    name = await stack.apply_example("mixtral-jetstream")
    await stack.expect_ready(name)
    assert (await stack.get(name))["status"]["summary"]["hardware"] == "8 × v5e (ct5lp-hightpu-8t, OnDemand)"
    async with stack.client(name) as client:
        answer = await client.chat.completions.create(
            model="mixtral-8x7b", messages=[{"role": "user", "content": "Who are you?"}], max_tokens=64
        )
        assert "stand-in" in str(answer.choices[0].message.content)
        assert answer.usage is not None
        assert answer.usage.completion_tokens > 0
        stream = await client.chat.completions.create(
            model="mixtral-8x7b",
            messages=[{"role": "user", "content": "Who are you?"}],
            max_tokens=64,
            temperature=0,
            stream=True,
        )
        pieces = [chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices]
        assert "".join(pieces) == answer.choices[0].message.content
        with pytest.raises(openai.BadRequestError, match="temperature"):
            await client.chat.completions.create(
                model="mixtral-8x7b", messages=[{"role": "user", "content": "Hi"}], temperature=0.7
            )
    await stack.delete(name)
    await stack.expect_no_trace()


async def test_maxtext_serves_what_a_job_has_converted(stack: Stack) -> None:
    name = await stack.apply_example("mistral-7b-maxtext")
    told = await stack.expect(name, "WeightsReady", "False", "ConversionPending")
    assert "ServiceAccount" in told["message"]
    await stack.kube.create(
        f"/api/v1/namespaces/{stack.namespace}/serviceaccounts",
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "converter"}},
    )
    await stack.expect(name, "WeightsReady", "False", "WaitingForConverter")
    await stack.expect_ready(name)
    (job,) = await stack.children("Job")
    assert job["status"]["succeeded"] == 1
    async with stack.client(name) as client:
        answer = await client.completions.create(model="mistral-7b-v0.1", prompt="Once", max_tokens=16)
    assert answer.choices[0].text
    await stack.apply(name, **{**(await stack.get(name))["spec"], "replicas": 2})
    await stack.expect_ready(name, replicas=2)
    assert [each["metadata"]["uid"] for each in await stack.children("Job")] == [job["metadata"]["uid"]]
    await stack.delete(name)
    await stack.expect_no_trace()


async def test_an_engine_that_nobody_publishes_is_refused_with_its_recipe(stack: Stack) -> None:
    engine = {"type": "JetStreamPyTorch"}
    await stack.apply("jet", model="mixtral-8x7b", allowExperimental=True, engine=engine)
    accepted = await stack.expect("jet", "Accepted", "False", "ImageRequired")
    assert "docker build -f docker/jetstream-pytorch.Dockerfile" in accepted["message"]

    async def nothing_made() -> bool:
        return not await stack.children("Deployment") and not await stack.claims()

    await eventually(nothing_made, 5, "nothing is made")
