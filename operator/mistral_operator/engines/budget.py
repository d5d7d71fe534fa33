"""How long a replica's start may take, and what the user wishes for its end."""

from mistral_operator.api.common import duration_seconds
from mistral_operator.api.model import MistralModelSpec
from mistral_operator.planning.types import PlannedOption

# Start-up estimates are rough: a container is restarted only when it takes three times as long, and never before.
STARTUP_MARGIN = 3
SHORTEST_STARTUP_BUDGET_S = 600


def startup_budget_s(option: PlannedOption) -> int:
    """Seconds from the container's start to its first answer, with room to spare."""
    return max(SHORTEST_STARTUP_BUDGET_S, STARTUP_MARGIN * (option.startup.weights_s + option.startup.compile_s))


def wanted_drain_s(spec: MistralModelSpec) -> int | None:
    """Seconds that `spec.rollout` gives running requests; None where it says nothing."""
    wanted = spec.rollout.drain_timeout if spec.rollout else None
    return None if wanted is None else duration_seconds(wanted)
