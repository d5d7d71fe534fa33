"""What both kinds of JetStream share: a gRPC server without OpenAI's API, the gateway in front, a fixed sampling."""

from collections.abc import Mapping
from typing import Final

from mistral_operator.api.engine import RESERVED_ENV
from mistral_operator.api.model import MistralModelSpec
from mistral_operator.engines import tpu
from mistral_operator.engines.budget import startup_budget_s, wanted_drain_s
from mistral_operator.engines.drain import choose_drain, find_shortest_notice
from mistral_operator.engines.protocol import CACHE_DIRECTORY, HTTP_PORT_NAME, Check, ContainerLaunch, EngineLaunch
from mistral_operator.planning.types import Plan, PlannedOption

CONTAINER: Final = "jetstream"
GATEWAY_CONTAINER: Final = "gateway"
QUEUE_METRIC: Final = "jetstream_prefill_backlog_size"
GRPC_PORT_NAME: Final = "grpc"
GRPC_PORT: Final = 9000
METRICS_PORT_NAME: Final = "metrics"
METRICS_PORT: Final = 9100
HTTP_PORT: Final = 8000
PORTS: Final = {
    GRPC_PORT_NAME: GRPC_PORT,
    METRICS_PORT_NAME: METRICS_PORT,
    tpu.METRICS_PORT_NAME: tpu.METRICS_PORT,
}
# The images are built by this project's own recipes, for this user.
USER_ID: Final = 65532
GROUP_ID: Final = 65532
OWN_ENV: Final = frozenset(RESERVED_ENV)
# The server's stop waits so long for running requests, whatever is asked (jetstream/core/server_lib.py).
LONGEST_DRAIN_S: Final = 10
# Requests that may wait for a slot. Without them the queue that autoscaling goes by would always be empty; with more of
# them the last waits for longer than the answers of three others take.
QUEUED_PER_SLOT: Final = 3
# Few slots still need a queue that reaches the autoscaler's target: 5 on average if nothing else is asked, 10 to double
# the replicas at once, and some that wait elsewhere, as the server has up to three prefilled requests without a slot.
LEAST_QUEUED: Final = 16


def launch(
    spec: MistralModelSpec,
    plan: Plan,
    option: PlannedOption,
    *,
    command: tuple[str, ...],
    args: tuple[str, ...],
    env: Mapping[str, str],
) -> EngineLaunch:
    """One replica: a server that is started so, behind the gateway."""
    engine = ContainerLaunch(
        name=CONTAINER,
        image=option.image,
        command=command,
        args=args,
        env={"HOME": CACHE_DIRECTORY, "PJRT_DEVICE": "TPU", **env},
        ports=PORTS,
        ready=Check(GRPC_PORT_NAME),
        alive=Check(GRPC_PORT_NAME),
    )
    wanted_s = wanted_drain_s(spec)
    most_s = LONGEST_DRAIN_S if wanted_s is None else min(wanted_s, LONGEST_DRAIN_S)
    drain = choose_drain(most_s, find_shortest_notice(option))
    return EngineLaunch(
        engine=engine,
        startup_budget_s=startup_budget_s(option),
        drain_s=drain.drain_s,
        endpoint_removal_s=drain.endpoint_removal_s,
        run_as_user=USER_ID,
        run_as_group=GROUP_ID,
        scratch=tpu.SCRATCH,
        gateway=_gateway(plan, option, drain_s=drain.drain_s),
    )


def admitted_requests(slots: int) -> int:
    """How many requests a replica takes, running and waiting: 4 for each slot, and 16 more than slots at least.

    It can't follow `scaling.target`: whether a replica is replaced doesn't depend on that.
    """
    return slots + max(QUEUED_PER_SLOT * slots, LEAST_QUEUED)


def _gateway(plan: Plan, option: PlannedOption, *, drain_s: int) -> ContainerLaunch:
    return ContainerLaunch(
        name=GATEWAY_CONTAINER,
        image=plan.gateway_image,
        command=("mistral-operator", "gateway"),
        args=(
            *("--host", "0.0.0.0"),  # noqa: S104  a pod's own network
            *("--port", str(HTTP_PORT)),
            *("--engine", f"localhost:{GRPC_PORT}"),
            *("--served-model-name", plan.served_name),
            *("--tokenizer", plan.tokenizer),
            *("--max-prefill-tokens", str(option.max_prompt_tokens)),
            *("--max-total-tokens", str(option.context_length)),
            *("--max-concurrency", str(admitted_requests(option.max_concurrency))),
            # Neither server takes sampling parameters with a request, and greedy is what both do by default.
            *("--temperature", "0"),
            *("--top-p", "1"),
            *("--drain-s", str(drain_s)),
        ),
        env={},
        ports={HTTP_PORT_NAME: HTTP_PORT},
        ready=Check(HTTP_PORT_NAME, "/health"),
        alive=Check(HTTP_PORT_NAME),
    )
