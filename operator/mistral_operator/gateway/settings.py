"""What one gateway is told on its command line."""

from dataclasses import dataclass
from typing import Literal, get_args

TokenizerVersion = Literal["v1", "v2", "v3", "v7"]
TOKENIZER_VERSIONS: tuple[TokenizerVersion, ...] = get_args(TokenizerVersion)


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the engine samples, for all requests alike. Temperature 0 is greedy."""

    temperature: float = 0.0
    top_p: float = 1.0


@dataclass(frozen=True, slots=True)
class GatewaySettings:
    """One gateway in front of one engine."""

    served_model_name: str
    tokenizer: TokenizerVersion
    max_prefill_tokens: int
    """The engine's max_prefill_predict_length: the longest prompt, its BOS token included."""
    max_total_tokens: int
    """The engine's max_target_length: prompt and answer together. Above `max_prefill_tokens`."""
    max_concurrency: int
    """Requests that may be in the engine at once, running and waiting."""
    sampling: Sampling = Sampling()
    ignore_unsupported: bool = False
    """Ignore sampling parameters that the engine can't follow, instead of refusing them."""
    engine: str = "localhost:9000"
    host: str = "0.0.0.0"  # noqa: S104  a pod's other containers and its probes come from outside
    port: int = 8000
    drain_s: float = 30.0
    """How long open answers may go on after SIGTERM."""

    @property
    def max_output_tokens(self) -> int:
        """The longest answer: JetStream keeps the room for a whole prompt free, however short the prompt is."""
        return self.max_total_tokens - self.max_prefill_tokens
