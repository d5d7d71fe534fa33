"""vLLM on NVIDIA GPUs."""

from mistral_operator.api.engine import RESERVED_ENV
from mistral_operator.api.model import MistralModelSpec
from mistral_operator.engines import vllm
from mistral_operator.engines.budget import startup_budget_s, wanted_drain_s
from mistral_operator.engines.drain import choose_drain
from mistral_operator.engines.protocol import HTTP_PORT_NAME, ContainerLaunch, Conversion, EngineLaunch
from mistral_operator.planning.types import Plan, PlannedOption


class VllmGpu:
    """The engine `vllm-gpu`."""

    id = "vllm-gpu"
    container = vllm.CONTAINER
    queue_metric = vllm.QUEUE_METRIC
    owned_flags = vllm.OWN_FLAGS
    owned_env = frozenset(RESERVED_ENV)

    def launch(self, spec: MistralModelSpec, plan: Plan, option: PlannedOption) -> EngineLaunch:
        """Say how to run one replica of `plan` as `option`."""
        drain = choose_drain(wanted_drain_s(spec), option.consumption)
        budget_s = startup_budget_s(option)
        engine = ContainerLaunch(
            name=vllm.CONTAINER,
            image=option.image,
            command=("vllm", "serve"),
            args=vllm.serve_arguments(spec, plan, option, drain_s=drain.drain_s),
            env=vllm.base_environment(plan, budget_s),
            ports={HTTP_PORT_NAME: vllm.PORT},
            ready=vllm.HEALTH,
            alive=vllm.HEALTH,
        )
        return EngineLaunch(
            engine=engine,
            startup_budget_s=budget_s,
            drain_s=drain.drain_s,
            endpoint_removal_s=drain.endpoint_removal_s,
            run_as_user=vllm.USER_ID,
            run_as_group=vllm.GROUP_ID,
        )

    def convert(self, plan: Plan, option: PlannedOption) -> Conversion | None:
        """VLLM loads the published files."""
        return None
