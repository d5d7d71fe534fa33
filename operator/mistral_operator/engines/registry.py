"""Every engine that can be rendered, by its catalogue id. To add one: a module and a line here."""

from collections.abc import Mapping
from typing import Final

from mistral_operator.engines.protocol import Engine
from mistral_operator.engines.vllm_gpu import VllmGpu

ENGINES: Final[Mapping[str, Engine]] = {engine.id: engine for engine in (VllmGpu(),)}
