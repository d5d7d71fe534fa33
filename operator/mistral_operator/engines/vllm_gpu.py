"""vLLM on NVIDIA GPUs."""

from mistral_operator.api.engine import RESERVED_ENV
from mistral_operator.api.model import MistralModelSpec
from mistral_operator.engines import vllm
from mistral_operator.engines.protocol import Conversion, EngineLaunch
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
        return vllm.launch(spec, plan, option)

    def convert(self, plan: Plan, option: PlannedOption) -> Conversion | None:
        """VLLM loads the published files."""
        return None
