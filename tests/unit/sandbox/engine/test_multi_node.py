"""A group of hosts as processes: nobody serves alone, and nobody outlives a lost member."""

import asyncio
import signal
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import aiohttp
import pytest
from tests.support.engine_process import Start, stand_ins
from tests.support.polling import eventually

from mistral_operator.sandbox.engine import multi_node
from mistral_operator.sandbox.engine.multi_node import Options, UsageError, read_options
from mistral_operator.sandbox.names import write_hosts

FAST = {"STAND_IN_SPEED": "50"}
ANSWER = {"messages": [{"role": "user", "content": "Hi"}], "ignore_eos": True, "max_tokens": 2000}


class Group:
    """A leader and workers of one test, on ports that nobody uses."""

    def __init__(self, start: Start, hosts: Path, ports: tuple[int, int]) -> None:
        self.hosts = hosts
        self.ray_port, self.port = ports
        self._run = start

    async def leader(self, size: int = 2, *flags: str, **environment: str) -> Process:
        serve = ["serve", "mistralai/Chat", "--port", str(self.port), *flags]
        words = [f"--ray_cluster_size={size}", f"--ray_port={self.ray_port}", "--", *serve]
        return await self._start("leader", *words, **environment)

    async def worker(self) -> Process:
        words = ["--ray_address=chat-0.chat", f"--ray_port={self.ray_port}"]
        return await self._start("worker", *words, STAND_IN_SPEED="50")

    async def health(self) -> int:
        """The status of /health; 0 while nobody listens."""
        async with aiohttp.ClientSession() as session:
            try:
                async with session.get(f"http://127.0.0.1:{self.port}/health") as response:
                    return response.status
            except aiohttp.ClientConnectionError:
                return 0

    async def serves(self) -> bool:
        return await self.health() == 200

    async def _start(self, *words: str, **environment: str) -> Process:
        own = {"STAND_IN_HOSTS": str(self.hosts), "STAND_IN_NAMESPACE": "team", "STAND_IN_LOAD_SECONDS": "0"}
        return await self._run(*words, **own | environment)


@pytest.fixture
async def group(tmp_path: Path, free_ports: Callable[[], int]) -> AsyncIterator[Group]:
    """A group whose leader is called chat-0.chat in namespace team."""
    write_hosts(tmp_path / "hosts", {"chat-0.chat.team.svc.cluster.local": "127.0.0.1"})
    async with stand_ins("multi_node") as start:
        yield Group(start, tmp_path / "hosts", (free_ports(), free_ports()))


async def until_said(process: Process, text: bytes) -> None:
    """Read the process's log up to a line with this text."""
    assert process.stderr
    said = b""
    async with asyncio.timeout(30):
        while line := await process.stderr.readline():
            said += line
            if text in line:
                return
    raise AssertionError(f"it ended without saying {text!r}:\n{said.decode()}")


async def rest(process: Process) -> bytes:
    assert process.stderr
    return await asyncio.wait_for(process.stderr.read(), 30)


async def test_it_serves_when_all_workers_have_joined(group: Group) -> None:
    leader = await group.leader(3)
    await until_said(leader, b"1/3 is active")
    await group.worker()
    await until_said(leader, b"2/3 is active")
    assert await group.health() == 0
    second = await group.worker()
    await until_said(second, b"joined the head at chat-0.chat")
    await eventually(group.serves, message="the leader serves")


async def test_a_worker_waits_for_its_leader(group: Group) -> None:
    worker = await group.worker()
    await until_said(worker, b"Waiting until the ray worker is active...")
    await group.leader()
    await eventually(group.serves, message="the leader serves")


async def test_a_worker_finds_a_leader_that_gets_its_name_later(group: Group) -> None:
    group.hosts.unlink()
    worker = await group.worker()
    await until_said(worker, b"Waiting until the ray worker is active...")
    await group.leader()
    write_hosts(group.hosts, {"chat-0.chat.team.svc.cluster.local": "127.0.0.1"})
    await eventually(group.serves, message="the leader serves")


async def test_a_lost_worker_kills_the_engine(group: Group) -> None:
    # Slow, so that the process is still there when it is asked.
    await group.leader(STAND_IN_SPEED="0.1", STAND_IN_TOKENS_PER_SECOND="100")
    worker = await group.worker()
    await eventually(group.serves, message="the leader serves")
    url = f"http://127.0.0.1:{group.port}/v1/chat/completions"
    async with aiohttp.ClientSession() as session:
        whole = asyncio.create_task(session.post(url, json=ANSWER))
        async with session.post(url, json=ANSWER | {"stream": True}) as stream:
            assert (await stream.content.readline()).startswith(b"data: ")
            worker.kill()
            assert b'"code": 500' in await stream.content.read()
        async with await whole as response:
            assert response.status == 500
        async with session.post(url, json=ANSWER) as response:
            assert response.status == 500
            assert "EngineCore encountered an issue" in (await response.json())["error"]["message"]
    assert await group.health() == 503


async def test_a_leader_ends_with_an_error_when_its_engine_is_dead(group: Group) -> None:
    leader = await group.leader(STAND_IN_SPEED="10")
    worker = await group.worker()
    await eventually(group.serves, message="the leader serves")
    worker.kill()
    assert b"a Ray worker died unexpectedly" in await rest(leader)
    assert await leader.wait() == 1


async def test_a_worker_that_is_lost_while_loading_ends_the_leader(group: Group) -> None:
    leader = await group.leader(STAND_IN_LOAD_SECONDS="1000")
    worker = await group.worker()
    await until_said(leader, b"loading for 1000 simulated seconds")
    worker.kill()
    assert b"a Ray worker died unexpectedly" in await rest(leader)
    assert await leader.wait() == 1


async def test_workers_end_with_their_leader(group: Group) -> None:
    leader = await group.leader()
    worker = await group.worker()
    await eventually(group.serves, message="the leader serves")
    leader.kill()
    assert (await rest(worker)).endswith(b"the head is gone\n")
    assert await worker.wait() == 1


async def test_sigterm_drains_the_leader_and_leaves_workers_alone(group: Group) -> None:
    leader = await group.leader(2, "--shutdown-timeout", "60", STAND_IN_TOKENS_PER_SECOND="100")
    worker = await group.worker()
    await eventually(group.serves, message="the leader serves")
    url = f"http://127.0.0.1:{group.port}/v1/chat/completions"
    question = ANSWER | {"stream": True, "max_tokens": 100}
    async with aiohttp.ClientSession() as session, session.post(url, json=question) as stream:
        assert (await stream.content.readline()).startswith(b"data: ")
        for process in (leader, worker):
            process.send_signal(signal.SIGTERM)
        assert (await stream.content.read()).rstrip().endswith(b"[DONE]")
    assert await leader.wait() == 0
    # Not by the signal: by its leader's end.
    assert await worker.wait() == 1


async def test_flags_are_parsed_after_the_group_is_complete(group: Group) -> None:
    leader = await group.leader(2, "--foo", "1")
    await until_said(leader, b"1/2 is active")
    await group.worker()
    assert b"vllm: error: unrecognized arguments: --foo 1" in await rest(leader)
    assert await leader.wait() == 2


async def test_it_ends_when_its_parent_is_gone(group: Group) -> None:
    leader = await group.leader(STAND_IN_PARENT="stdin")
    await until_said(leader, b"1/2 is active")
    assert leader.stdin
    leader.stdin.close()
    assert await asyncio.wait_for(leader.wait(), 30) == 1


@pytest.mark.parametrize("role", ["leader", "worker"])
async def test_waiting_ends(
    role: str, free_ports: Callable[[], int], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(multi_node, "LEAST_TIMEOUT_S", 0.1)
    options = Options(address="127.0.0.1", cluster_size=2, port=free_ports(), timeout_s=0)
    work = multi_node._lead(options, [], FAST) if role == "leader" else multi_node._work(options, FAST)
    assert await work == 1
    assert ("timed out." if role == "leader" else "Ray worker starts timeout") in capsys.readouterr().err


async def test_what_listens_but_is_no_head_is_not_joined(
    free_ports: Callable[[], int], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.close()

    monkeypatch.setattr(multi_node, "LEAST_TIMEOUT_S", 0.1)
    port = free_ports()
    async with await asyncio.start_server(hang_up, "127.0.0.1", port):
        assert await multi_node._work(Options("127.0.0.1", port=port, timeout_s=0), FAST) == 1
    said = capsys.readouterr().err
    assert "what listens there is no head" in said
    assert "joined" not in said


@pytest.mark.parametrize(
    ("role", "words", "text"),
    [
        ("leader", ["--ray_cluster_size="], "Error: Missing argument --ray_cluster_size"),
        ("leader", ["--ray_cluster_size=many"], "many: integer expression expected"),
        ("worker", [], "Error: Missing argument --ray_address"),
        ("worker", ["--ray_address=a", "--num-gpus=1"], "Error: No such option: --num-gpus"),
        ("worker", ["--ray_address=a", "--ray_cluster_size=2"], "Error: No such option: --ray_cluster_size"),
        ("head", [], "unknown subcommand: head"),
    ],
)
def test_what_the_script_refuses(role: str, words: list[str], text: str) -> None:
    with pytest.raises(UsageError, match=text):
        read_options(role, words)


def test_the_scripts_defaults() -> None:
    assert read_options("leader", ["--ray_cluster_size=4"]) == Options(cluster_size=4, port=6379, timeout_s=300)
    assert read_options("worker", ["--ray_address=a"]) == Options(address="a", port=6379, timeout_s=300)
