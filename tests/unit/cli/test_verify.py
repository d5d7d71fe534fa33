"""`verify`: what it asks an endpoint, what it makes of wrong answers, and that the catalogue reads its record."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import aiohttp
import pytest
import yaml
from aiohttp import web
from aiohttp.test_utils import TestServer, unused_port

from mistral_operator.catalogue.compile import read_sources
from mistral_operator.catalogue.evidence import parse_evidence
from mistral_operator.catalogue.load import load_catalogue
from mistral_operator.catalogue.parse import parse_catalogue
from mistral_operator.catalogue.reader import CatalogueError, Reader
from mistral_operator.cli.verification.checks import Results, run_checks
from mistral_operator.cli.verification.client import Endpoint
from mistral_operator.cli.verification.load import Measured, Workload, measure
from mistral_operator.cli.verification.reading import LONGEST_LINE_BYTES
from mistral_operator.cli.verification.record import Subject, read_subject, write_record
from mistral_operator.cli.verify import calls_tools
from mistral_operator.planning.layout import Layout
from mistral_operator.planning.support import judge
from mistral_operator.planning.types import Tier

MODEL: dict[str, Any] = {
    "metadata": {"name": "chat"},
    "status": {
        "endpoint": {"url": "http://chat.demo.svc/v1", "servedName": "mistral-7b-v0.3"},
        "plan": {
            "model": "mistral-7b-v0.3",
            "repository": "mistralai/Mistral-7B-Instruct-v0.3",
            "repositoryRevision": "c170c708",
            "plannerVersion": "0.2.0",
            "chosen": {
                "engine": "vllm-gpu 0.33.0", "image": "vllm/vllm-openai:v0.33.0", "accelerator": "l4",
                "machineType": "g2-standard-8", "devices": 1, "tensorParallel": 1, "pipelineParallel": 1,
                "precision": "bf16", "kvCachePrecision": "bf16", "contextLength": 4096,
                "estimatedSpeed": {
                    "inputTokens": 64, "outputTokens": 8, "concurrency": 4, "outputTokensPerSecond": 200,
                },
            },
        },
    },
}  # fmt: skip


DONE = "[DONE]"
PIECE = {"choices": [{"delta": {"content": "word "}}]}


@dataclass
class Server:
    """An endpoint that answers as a test wants."""

    says: str = "Paris"
    calls_tool: bool = True
    arguments: str = '{"city": "Paris"}'
    status: int = 200
    tokens_a_word: float = 1.0
    template_tokens: int = 0
    hangs: bool = False
    in_pieces: bool = False
    stream: tuple[object, ...] | None = None
    """Lines of every stream, instead of as many tokens as are asked for."""
    prompts: list[str] = field(default_factory=list)

    async def models(self, _: web.Request) -> web.Response:
        return web.json_response({"data": [{"id": "mistral-7b-v0.3"}]})

    async def chat(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.prompts.append(body["messages"][0]["content"])
        if self.hangs:
            await asyncio.Event().wait()
        if self.status != 200:
            return web.json_response({"error": "broken"}, status=self.status)
        if body.get("stream"):
            return await self._stream(request, body["max_tokens"])
        words = len(body["messages"][0]["content"].split())
        message: dict[str, Any] = {"role": "assistant", "content": self.says}
        if body.get("tools") and self.calls_tool:
            message = {
                "content": None,
                "tool_calls": [{"function": {"name": "get_weather", "arguments": self.arguments}}],
            }
        usage = {"prompt_tokens": self.template_tokens + int(words * self.tokens_a_word)}
        answer = {"choices": [{"message": message}], "usage": usage}
        return await self._send_in_pieces(request, answer) if self.in_pieces else web.json_response(answer)

    async def _send_in_pieces(self, request: web.Request, answer: object) -> web.StreamResponse:
        """The second piece once the first is on its way, so that a reader sees them apart."""
        response, text = web.StreamResponse(), json.dumps(answer).encode()
        await response.prepare(request)
        for part in (text[:20], text[20:]):
            await response.write(part)
            for _ in range(20):
                await asyncio.sleep(0)
        return response

    async def _stream(self, request: web.Request, tokens: int) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        events = [PIECE] * tokens if self.stream is None else self.stream
        for event in events:
            await response.write(f"data: {json.dumps(event)}\n\n".encode() if event != DONE else b"data: [DONE]\n\n")
        if self.stream is None:
            await response.write(b"data: [DONE]\n\n")
        return response


@asynccontextmanager
async def endpoint(server: Server, timeout_s: float = 10) -> AsyncIterator[Endpoint]:
    app = web.Application()
    app.router.add_get("/v1/models", server.models)
    app.router.add_post("/v1/chat/completions", server.chat)
    async with TestServer(app) as running, aiohttp.ClientSession() as session:
        yield Endpoint(session, str(running.make_url("/v1")), "mistral-7b-v0.3", timeout_s)


async def check(server: Server, timeout_s: float = 10, *, tools: bool = True) -> Results:
    async with endpoint(server, timeout_s) as served:
        return await run_checks(served, "mistral-7b-v0.3", 4096, Workload(64, 8, 4), tools=tools)


def subject() -> Subject:
    found = read_subject(MODEL, 32)
    assert isinstance(found, Subject)
    return found


RUN = subject().run


def record(results: Results) -> dict[str, Any]:
    return write_record(subject(), results, by="Acme", date="2026-11-26", cluster_version="v1.36.3")


def failed(results: Results) -> dict[str, str]:
    return {item.name: item.detail for item in results.checks if not item.passed}


async def test_a_model_that_works_passes_and_is_measured() -> None:
    results = await check(Server())
    assert failed(results) == {}
    assert [item.name for item in results.checks] == ["models", "answer", "tools", "long prompt", "load"]
    assert results.measured is not None
    assert results.measured.output_tokens_per_s > 0
    assert not results.stand_in


@pytest.mark.parametrize(
    ("server", "name", "words"),
    [
        (Server(says="Rome"), "answer", "it says: Rome"),
        (Server(calls_tool=False), "tools", "it calls no tool"),
        (Server(status=500), "answer", "status 500"),
        (Server(arguments="{"), "tools", "it calls no get_weather for Paris"),
        (Server(arguments='{"city": "Rome"}'), "tools", "it calls no get_weather for Paris"),
        (Server(stream=(DONE,)), "load", "a stream without a token"),
        (Server(stream=(PIECE, PIECE)), "load", "a stream that ends before its answer does"),
        (Server(stream=(PIECE, {"error": {"message": "out of memory"}}, DONE)), "load", "out of memory"),
        (Server(stream=(PIECE, "x" * 2 * LONGEST_LINE_BYTES, DONE)), "load", "longer than any answer"),
    ],
)
async def test_what_is_wrong_fails_its_check(server: Server, name: str, words: str) -> None:
    results = await check(server)
    assert words in failed(results)[name]
    assert record(results)["passed"] is False


async def test_a_server_that_hangs_fails_within_its_time() -> None:
    results = await check(Server(hangs=True), 0.2)
    assert "no answer within 0 s" in failed(results)["answer"]


async def test_an_endpoint_that_is_gone_fails_without_its_address() -> None:
    async with aiohttp.ClientSession() as session:
        gone = Endpoint(session, f"http://user:word@127.0.0.1:{unused_port()}/v1", "mistral-7b-v0.3", 10)
        results = await run_checks(gone, "mistral-7b-v0.3", 4096, Workload(64, 8, 4), tools=True)
    assert failed(results)["models"] == "ClientConnectorError (ECONNREFUSED)"
    assert "127.0.0.1" not in yaml.safe_dump(record(results))


async def test_an_answer_in_pieces_is_read_whole() -> None:
    assert failed(await check(Server(in_pieces=True))) == {}


async def test_tokens_are_the_engines_count_where_an_event_brings_several() -> None:
    events = ({"choices": [{"delta": None}]}, PIECE, PIECE, {"choices": [], "usage": {"completion_tokens": 8}}, DONE)
    async with endpoint(Server(stream=events)) as served:
        assert (await served.stream("x", 8)).tokens == 8


async def test_no_prompt_of_the_load_begins_as_another_does() -> None:
    """An engine's prefix cache would spare the prefill that is to be measured."""
    server = Server()
    async with endpoint(server) as served:
        await measure(served, Workload(64, 8, 4))
    assert len({prompt.split()[0] for prompt in server.prompts}) == len(server.prompts)


@pytest.mark.parametrize("template_tokens", [0, 600])
async def test_the_long_prompt_is_as_long_as_tokenizer_and_template_make_it(template_tokens: int) -> None:
    results = await check(Server(tokens_a_word=2.5, template_tokens=template_tokens))
    detail = next(item.detail for item in results.checks if item.name == "long prompt")
    tokens = int(detail.split()[3].replace(",", ""))
    assert 0.85 * 4096 <= tokens <= 4096


async def test_a_stand_in_is_found_out_and_its_record_refused() -> None:
    results = await check(Server(says="This is a stand-in for vLLM: no model is loaded."))
    assert results.stand_in
    written = record(results)
    assert written["stand_in"] is True
    with pytest.raises(CatalogueError, match="a stand-in proves nothing"):
        parse_evidence(Reader(written, "evidence/x.yaml"))


async def test_a_failed_record_is_no_evidence() -> None:
    written = record(await check(Server(says="Rome")))
    with pytest.raises(CatalogueError, match="only a run that passed"):
        parse_evidence(Reader(written, "evidence/x.yaml"))


async def test_the_record_makes_just_its_pair_verified() -> None:
    written = yaml.safe_load(yaml.safe_dump(record(await check(Server()))))
    catalogue = parse_catalogue({**read_sources(), "evidence/acme.yaml": written})
    model, engine = catalogue.models["mistral-7b-v0.3"], catalogue.engines["vllm-gpu"]
    l4, a100 = catalogue.accelerators["l4"], catalogue.accelerators["a100-80"]
    verdict = judge(catalogue, model, engine, l4, 1, "bf16")
    assert verdict.tier is Tier.VERIFIED
    assert "Acme ran it on 2026-11-26 (g2-standard-8): all checks passed" in verdict.evidence
    others = [(engine, l4, 2, "bf16"), (engine, a100, 1, "bf16"), (engine, l4, 1, "fp8")]
    others.append((replace(engine, version="0.34.0"), l4, 1, "bf16"))
    for other, accelerator, devices, precision in others:
        assert judge(catalogue, model, other, accelerator, devices, precision).tier is not Tier.VERIFIED


async def test_copies_that_share_experts_count_as_the_planner_counts_them() -> None:
    written = record(await check(Server()))
    run = {**written["run"], "tensor_parallel": 2, "data_parallel": 4, "devices": 8}
    apart = parse_evidence(Reader({**written, "run": run}, "x"))
    shared = parse_evidence(Reader({**written, "run": {**run, "expert_parallel": True}}, "x"))
    assert apart.coupled_devices == Layout(2, 1, 4).coupled_devices == 2
    assert shared.coupled_devices == Layout(2, 1, 4, expert_parallel=True).coupled_devices == 8


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"run": {**RUN, "accelerator": "l5"}}, "l5 is not in the catalogue"),
        ({"date": "26 November 2026"}, "a day such as"),
    ],
)
def test_evidence_of_something_unknown_is_refused(changes: dict[str, Any], words: str) -> None:
    written = {"stand_in": False, "passed": True, "summary": "all", "date": "2026-11-26", "by": "Acme", "run": RUN}
    with pytest.raises(CatalogueError, match=words):
        parse_catalogue({**read_sources(), "evidence/acme.yaml": {**written, **changes}})


def test_speed_is_compared_only_at_what_the_estimate_is_stated_for() -> None:
    measured = Measured(4, 150.0, 100.0, 10.0)
    results = Results((), stand_in=False, measured=measured)
    assert record(results)["measured_to_estimated"] == 0.75
    more = replace(subject(), replicas=2)
    fewer = replace(subject(), workload=Workload(64, 8, 2))
    for other in (more, fewer):
        written = write_record(other, results, by="Acme", date="2026-11-26", cluster_version="v1.36.3")
        assert written["measured_to_estimated"] is None


def test_tools_are_asked_of_an_engine_that_has_them() -> None:
    """Mixtral 8x22B calls tools on vLLM; JetStream's gateway refuses them."""
    assert calls_tools("mixtral-8x22b", "vllm-gpu")
    assert not calls_tools("mixtral-8x22b", "jetstream-maxtext")
    assert not calls_tools("a-model-of-ones-own", "vllm-gpu")


def test_a_model_without_a_plan_has_nothing_to_verify() -> None:
    assert read_subject({"metadata": {"name": "x"}}, 1) == "its status has no plan and endpoint yet"


def test_a_part_of_a_gpu_proves_nothing_of_a_whole_one() -> None:
    chosen = {**MODEL["status"]["plan"]["chosen"], "part": "1/2 of l4"}
    shared = {**MODEL, "status": {**MODEL["status"], "plan": {**MODEL["status"]["plan"], "chosen": chosen}}}
    told = read_subject(shared, 32)
    assert told == "it runs on 1/2 of l4, and a record is of whole devices: remove sharing to verify them"


def test_no_record_ships_with_the_catalogue() -> None:
    assert load_catalogue().evidence == {}
