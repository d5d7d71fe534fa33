"""Every engine that can be rendered, by its catalogue id. To add one: a module and a line here."""

from collections.abc import Mapping
from typing import Final

from mistral_operator.engines.jetstream_maxtext import JetStreamMaxText
from mistral_operator.engines.jetstream_pytorch import JetStreamPyTorch
from mistral_operator.engines.protocol import Engine
from mistral_operator.engines.vllm_gpu import VllmGpu
from mistral_operator.engines.vllm_tpu import VllmTpu

_ALL: Final[tuple[Engine, ...]] = (VllmGpu(), VllmTpu(), JetStreamPyTorch(), JetStreamMaxText())

ENGINES: Final[Mapping[str, Engine]] = {engine.id: engine for engine in _ALL}
