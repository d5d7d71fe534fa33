"""What requests are assumed to be like, from `spec.scaling.target`."""

from mistral_operator.api.common import latency_ms
from mistral_operator.api.model import MistralModelSpec
from mistral_operator.planning.speed import USUAL, Workload


def read_workload(spec: MistralModelSpec) -> Workload:
    """The usual lengths of prompt and answer, with the concurrency and latencies that the autoscaler aims at."""
    target = spec.scaling.target if spec.scaling else None
    if target is None:
        return USUAL
    return Workload(
        concurrency=target.running_requests,
        time_to_first_token_ms=latency_ms(target.time_to_first_token) if target.time_to_first_token else None,
        inter_token_latency_ms=latency_ms(target.time_per_output_token) if target.time_per_output_token else None,
    )
