"""What every engine on TPUs shares."""

from typing import Final

from mistral_operator.engines.protocol import CACHE_DIRECTORY

METRICS_PORT_NAME: Final = "tpu-metrics"
METRICS_PORT: Final = 8431
"""Where the TPU runtime shows its metrics to GKE's collector, if the pod names the port."""
COMPILE_CACHE: Final = "/compile-cache"
SCRATCH: Final = {"cache": CACHE_DIRECTORY, "compile-cache": COMPILE_CACHE}
"""Compiled programs have a volume of their own on every host: ranks that share one get in each other's way."""
