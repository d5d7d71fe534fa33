"""`verify`: what it asks an endpoint, what it makes of wrong answers, and that the catalogue reads its record."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from mistral_operator.catalogue.compile import read_sources
from mistral_operator.catalogue.evidence import parse_evidence
from mistral_operator.catalogue.load import load_catalogue
from mistral_operator.catalogue.parse import parse_catalogue
from mistral_operator.catalogue.reader import CatalogueError, Reader
from mistral_operator.cli.verification.checks import Results, Workload, run_checks
from mistral_operator.cli.verification.client import Endpoint
from mistral_operator.cli.verification.record import Subject, read_subject, write_record
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


@dataclass
class Server:
    """An endpoint that answers as a test wants."""

    says: str = "Paris"
    calls_tool: bool = True
    status: int = 200
    tokens_a_word: float = 1.0
    hangs: bool = False
    breaks_stream: bool = False

    async def models(self, _: web.Request) -> web.Response:
        return web.json_response({"data": [{"id": "mistral-7b-v0.3"}]})

    async def chat(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        if self.hangs:
            await asyncio.Event().wait()
        if self.status != 200:
            return web.json_response({"error": "broken"}, status=self.status)
        if body.get("stream"):
            return await self._stream(request, body["max_tokens"])
        words = len(body["messages"][0]["content"].split())
        message: dict[str, Any] = {"role": "assistant", "content": self.says}
        if body.get("tools") and self.calls_tool:
            message = {"content": None, "tool_calls": [{"function": {"name": "get_weather", "arguments": "{}"}}]}
        usage = {"prompt_tokens": int(words * self.tokens_a_word)}
        return web.json_response({"choices": [{"message": message}], "usage": usage})

    async def _stream(self, request: web.Request, tokens: int) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(0 if self.breaks_stream else tokens):
            piece = {"choices": [{"delta": {"content": "word "}}]}
            await response.write(f"data: {json.dumps(piece)}\n\n".encode())
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
        (Server(breaks_stream=True), "load", "a stream without a token"),
    ],
)
async def test_what_is_wrong_fails_its_check(server: Server, name: str, words: str) -> None:
    results = await check(server)
    assert words in failed(results)[name]
    assert record(results)["passed"] is False


async def test_a_server_that_hangs_fails_within_its_time() -> None:
    results = await check(Server(hangs=True), 0.2)
    assert "no answer within 0 s" in failed(results)["answer"]


async def test_the_long_prompt_is_as_long_as_the_tokenizer_makes_it() -> None:
    results = await check(Server(tokens_a_word=2.5))
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
    written = record(await check(Server()))
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


def test_evidence_of_something_unknown_is_refused() -> None:
    written = {
        "stand_in": False, "passed": True, "summary": "all", "date": "2026-11-26", "by": "Acme",
        "run": {**subject().run, "accelerator": "l5"},
    }  # fmt: skip
    with pytest.raises(CatalogueError, match="l5 is not in the catalogue"):
        parse_catalogue({**read_sources(), "evidence/acme.yaml": written})


def test_a_model_without_a_plan_has_nothing_to_verify() -> None:
    assert read_subject({"metadata": {"name": "x"}}, 1) == "its status has no plan and endpoint yet"


def test_no_record_ships_with_the_catalogue() -> None:
    assert load_catalogue().evidence == {}
