"""One container: pulled, configured, started, watched, started again; ended when its pod is."""

import asyncio
import signal
import time
import uuid

from mistral_operator.sandbox.dial import listening_address
from mistral_operator.sandbox.kube import KubeError

from .calls import Refused
from .containers import ContainerStatus
from .context import Object, PodContext
from .environment import ConfigError, Values, environment
from .events import timestamp
from .images import PullError
from .jetstream import count_devices
from .monitor import Monitor
from .probes import read_target
from .process import NoProcess, NotStarted, Running, StandInProcess
from .programs import recognise
from .settings import LEAST_KILL_DELAY_S, LEAST_RETRY_S


class ContainerRunner:
    """`run` returns when the container has ended for good. Cancelling it leaves the process to `terminate`."""

    def __init__(self, context: PodContext, container: Object, status: ContainerStatus, restart_policy: str) -> None:
        self._context = context
        self._settings = context.machinery.settings
        self._container = container
        self._restart_policy = restart_policy
        self._running: Running | None = None
        self._pull_failures = 0
        self.status = status
        self.started = asyncio.Event()
        """The startup probe has succeeded (or there is none): the next init container may begin."""

    async def run(self) -> int:
        """The last exit code."""
        backoff_s = 0.0
        while True:
            await self._prepare()
            begun = time.monotonic()
            code = await self._run_once()
            if self._restart_policy == "Never" or (code == 0 and self._restart_policy == "OnFailure"):
                return code
            if time.monotonic() - begun > self._settings.real_s(self._settings.backoff_reset_s):
                backoff_s = 0.0
            self.status.restart()
            if backoff_s:
                await self._back_off(backoff_s)
            backoff_s = min(max(2 * backoff_s, self._settings.first_backoff_s), self._settings.last_backoff_s)

    async def terminate(self, grace_s: float) -> None:
        """preStop, SIGTERM, and SIGKILL when the grace (simulated seconds) is over; 0 kills at once."""
        if self._running is None:
            return
        self._context.note("Normal", "Killing", f"Stopping container {self._container['name']}")
        await self._end(self._running, grace_s)

    async def destroy(self) -> None:
        """The pod is gone from the API: no grace, and nobody to tell."""
        if self._running:
            self._running.send(signal.SIGKILL)
            await self._running.wait()
            self._running = None

    async def _prepare(self) -> None:
        """Pull and configure, again and again until it works."""
        while True:
            try:
                await self._pull()
                self._values = await self._configured()
                return
            except PullError as error:
                await self._pull_failed(error)
            except ConfigError as error:
                self._waiting("CreateContainerConfigError", str(error))
                self._context.note("Warning", "Failed", f"Error: {error}")
                await asyncio.sleep(self._settings.real_s(self._settings.config_retry_s, LEAST_RETRY_S))
            except KubeError:
                # The API server is away: what it holds can't be known yet.
                await asyncio.sleep(LEAST_RETRY_S)

    async def _pull(self) -> None:
        images, image = self._context.machinery.images, self._container["image"]
        if not images.needs_pull(self._context.node, self._container):
            self._context.note("Normal", "Pulled", f'Container image "{image}" already present on machine')
            return
        self._context.note("Normal", "Pulling", f'Pulling image "{image}"')
        took_s = await images.pull(self._context.node, self._container)
        simulated = f"{took_s * self._settings.speed:.3f}s"
        text = f'Successfully pulled image "{image}" in {simulated} ({simulated} including waiting)'
        self._context.note("Normal", "Pulled", text)
        self._pull_failures = 0

    async def _pull_failed(self, error: PullError) -> None:
        image = self._container["image"]
        self._context.note("Warning", "Failed", f'Failed to pull image "{image}": {error}')
        self._context.note("Warning", "Failed", "Error: ErrImagePull")
        self._waiting("ErrImagePull", str(error))
        await asyncio.sleep(self._settings.real_s(1, LEAST_RETRY_S))
        self._context.note("Normal", "BackOff", f'Back-off pulling image "{image}"')
        self._waiting("ImagePullBackOff", f'Back-off pulling image "{image}": ErrImagePull: {error}')
        delay_s = min(self._settings.pull_retry_s * 2**self._pull_failures, self._settings.last_backoff_s)
        self._pull_failures += 1
        await asyncio.sleep(self._settings.real_s(delay_s, LEAST_RETRY_S))

    async def _configured(self) -> Values:
        context = self._context
        return await environment(context.machinery.kube, context.pod, self._container, context.pod_ip, context.host_ip)

    async def _run_once(self) -> int:
        name = self._container["name"]
        if "waiting" in self.status.state and not self.status.last_state:
            self._waiting("ContainerCreating")
        await asyncio.sleep(self._settings.real_s(self._settings.create_s))
        running = await self._start()
        self._running = running
        self._context.note("Normal", "Created", f"Created container: {name}")
        self._context.note("Normal", "Started", f"Started container {name}")
        self.status.run(timestamp(), f"containerd://{uuid.uuid4().hex}{uuid.uuid4().hex}")
        self._context.changed()
        exited = asyncio.create_task(running.wait())
        monitor = Monitor(self._context, self._container, self.status, self.started)
        watched = asyncio.create_task(monitor.watch(running))
        try:
            await asyncio.wait({exited, watched}, return_when=asyncio.FIRST_COMPLETED)
            if not exited.done():
                await self._fail_probe(running, watched.result())
            code = await exited
        finally:
            exited.cancel()
            watched.cancel()
        self._ended(running, code)
        return code

    async def _start(self) -> Running:
        settings, log = self._settings, self._context.log_file(self._container["name"])
        program = recognise(self._container, self._values, listening_address(self._context.pod_ip))
        if isinstance(program, Refused):
            return NotStarted(program, log)
        if program is None:
            # The program of this container isn't here. What is expected to end ends, with the code asked for.
            ends = None if self._restart_policy == "Always" else settings.real_s(settings.job_s)
            return NoProcess(0.0, ends, int(self._values.get("STAND_IN_EXIT_CODE") or 0))
        load_s = float(self._values.get("STAND_IN_LOAD_SECONDS") or settings.engine_load_s)
        if not settings.engine_processes:
            return NoProcess(settings.real_s(load_s) if program.loads else 0.0)
        values = {**count_devices(self._container), **self._values}
        return await StandInProcess.start(program, values, self._own(load_s), log)

    def _own(self, load_s: float) -> Values:
        """What every stand-in is told: where to listen, how fast time goes, where pods' names are looked up."""
        context = self._context
        return {
            "STAND_IN_HOST": listening_address(context.pod_ip),
            "STAND_IN_SPEED": f"{self._settings.speed:g}",
            "STAND_IN_LOAD_SECONDS": f"{load_s:g}",
            "STAND_IN_NAMESPACE": context.namespace,
            "STAND_IN_HOSTS": str(context.machinery.dial.hosts or ""),
        }

    async def _fail_probe(self, running: Running, kind: str) -> None:
        text = f"Container {self._container['name']} failed {kind.lower()} probe, will be restarted"
        self._context.note("Normal", "Killing", text)
        await self._end(running, float(self._context.pod["spec"].get("terminationGracePeriodSeconds", 30)))

    async def _end(self, running: Running, grace_s: float) -> None:
        deadline = time.monotonic() + self._settings.real_s(grace_s)
        if grace_s > 0:
            await self._pre_stop(deadline)
            running.send(signal.SIGTERM)
            left_s = max(deadline - time.monotonic(), LEAST_KILL_DELAY_S)
            try:
                code = await asyncio.wait_for(running.wait(), left_s)
            except TimeoutError:
                running.send(signal.SIGKILL)
                code = await running.wait()
        else:
            running.send(signal.SIGKILL)
            code = await running.wait()
        self._ended(running, code)

    async def _pre_stop(self, deadline: float) -> None:
        hook = (self._container.get("lifecycle") or {}).get("preStop") or {}
        left_s = max(deadline - time.monotonic(), 0)
        if sleep := hook.get("sleep"):
            await asyncio.sleep(min(self._settings.real_s(sleep["seconds"]), left_s))
        target = read_target(hook, self._container, self._context.pod_ip)
        if target and (failure := await self._context.machinery.dialler.ask(target, max(left_s, 1))):
            self._context.note("Warning", "FailedPreStopHook", f"PreStopHook failed: {failure}")

    def _ended(self, running: Running, code: int) -> None:
        if self._running is not running:
            return
        self._running = None
        from_log = self._container.get("terminationMessagePolicy") == "FallbackToLogsOnError" and code != 0
        self.status.end(code, timestamp(), running.last_words() if from_log else "")
        self._context.changed()

    async def _back_off(self, backoff_s: float) -> None:
        name = self._container["name"]
        pod = f"{self._context.name}_{self._context.namespace}({self._context.uid})"
        text = f"restarting failed container={name} pod={pod}"
        self._context.note("Warning", "BackOff", f"Back-off {text}")
        self._waiting("CrashLoopBackOff", f"back-off {_duration(backoff_s)} {text}")
        await asyncio.sleep(self._settings.real_s(backoff_s))

    def _waiting(self, reason: str, message: str = "") -> None:
        self.status.wait(reason, message)
        self._context.changed()


def _duration(seconds: float) -> str:
    """As Go prints it: 40s, 2m40s."""
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"
