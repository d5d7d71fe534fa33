"""How the stand-in behaves. All times are simulated seconds: real time is the time divided by `speed`."""

from dataclasses import dataclass

# An unloaded process answers a local probe within milliseconds; a busy machine must not look like a dead engine.
LEAST_PROBE_TIMEOUT_S = 3.0
LEAST_STARTUP_PERIOD_S = 0.1
LEAST_PROBE_PERIOD_S = 0.25
# What a Python process may need to end after SIGTERM on a busy machine.
LEAST_KILL_DELAY_S = 3.0
LEAST_RETRY_S = 0.2


@dataclass(frozen=True, slots=True)
class KubeletSettings:
    """One for all nodes of a sandbox."""

    speed: float = 1.0
    engine_processes: bool = True
    """False: no process runs, and an engine's probes succeed once its load time is over (for very many pods)."""
    events: bool = True
    """False: no Kubernetes Events are written (for benchmarks)."""
    pull_s: float = 8.0
    engine_pull_s: float = 75.0
    """Images whose name contains `vllm` hold CUDA and torch: about 10 GB."""
    failing_images: frozenset[str] = frozenset()
    """Images whose name contains one of these can't be pulled."""
    sandbox_s: float = 1.0
    """Network and volumes of a pod."""
    create_s: float = 0.5
    job_s: float = 5.0
    """How long a container runs that is expected to end (init containers, Jobs) and has no process."""
    engine_load_s: float = 60.0
    """Weights, compilation and warm-up, where the container doesn't say STAND_IN_LOAD_SECONDS."""
    config_retry_s: float = 5.0
    pull_retry_s: float = 10.0
    first_backoff_s: float = 10.0
    last_backoff_s: float = 300.0
    backoff_reset_s: float = 600.0

    def real_s(self, simulated_s: float, least_s: float = 0.0) -> float:
        """Real seconds for simulated ones, and no fewer than `least_s`."""
        return max(simulated_s / self.speed, least_s)
