"""`spec.scaling`: how many replicas, and who decides."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from mistral_operator.api.common import LIST_MAP_BY_NAME, ApiType, Count, DnsLabel, Duration, Latency, Rule


class Autoscaler(StrEnum):
    """What changes `spec.replicas`."""

    HPA = "HPA"
    KEDA = "KEDA"
    NONE = "None"


class ScalingTarget(ApiType):
    """What the autoscaler aims at, per replica; the target that asks for most replicas wins."""

    queued_requests: Annotated[Count, Field(ge=1, le=10_000)] | None = Field(
        None, description="Requests that wait in the engine's queue, on average per replica."
    )
    running_requests: Annotated[Count, Field(ge=1, le=10_000)] | None = Field(
        None, description="Requests that the engine works on, on average per replica."
    )
    kv_cache_utilization: Annotated[Count, Field(ge=1, le=100)] | None = Field(
        None, description="Share of the KV cache that is in use, in percent, on average."
    )
    time_to_first_token: Latency | None = Field(
        None, description="95th percentile of the time to the first token, such as `800ms`."
    )
    time_per_output_token: Latency | None = Field(
        None, description="95th percentile of the time between tokens, such as `50ms`."
    )


class ScaleToZero(ApiType):
    """Gives all capacity back while nobody asks."""

    idle_after: Duration = Field(description="Time without a request after which the last replica goes, such as `30m`.")


class ScalingSchedule(ApiType):
    """Other bounds for recurring times."""

    rules = (
        Rule(
            "!has(self.minReplicas) || !has(self.maxReplicas) || self.maxReplicas >= self.minReplicas",
            "a schedule's maxReplicas must not be below its minReplicas; raise maxReplicas or lower minReplicas",
            lambda item: (
                item.min_replicas is None or item.max_replicas is None or item.max_replicas >= item.min_replicas
            ),
        ),
    )

    name: DnsLabel = Field(description="Name of the schedule, used in conditions.")
    start: Annotated[str, Field(min_length=9, max_length=64, pattern=r"^[0-9A-Za-z*,/-]+( [0-9A-Za-z*,/-]+){4}$")] = (
        Field(description="When it begins, as a cron expression of five fields, such as `0 8 * * 1-5`.")
    )
    duration: Duration = Field(description="How long it holds, such as `10h`.")
    time_zone: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9+_/-]+$")] = Field(
        "UTC", description="IANA time zone of `start`, such as `Europe/Paris`. `UTC` when left out."
    )
    min_replicas: Annotated[Count, Field(ge=0, le=1000)] | None = Field(None, description="Fewest replicas meanwhile.")
    max_replicas: Annotated[Count, Field(ge=1, le=1000)] | None = Field(None, description="Most replicas meanwhile.")


class Scaling(ApiType):
    """How many replicas, between which bounds, by which autoscaler."""

    rules = (
        Rule(
            "!has(self.minReplicas) || !has(self.maxReplicas) || self.maxReplicas >= self.minReplicas",
            "scaling.maxReplicas must not be below scaling.minReplicas; raise maxReplicas or lower minReplicas",
            lambda item: (
                item.min_replicas is None or item.max_replicas is None or item.max_replicas >= item.min_replicas
            ),
        ),
        Rule(
            "!has(self.minReplicas) || self.minReplicas >= 1",
            "scaling.minReplicas must be 1 or more; to give all capacity back while idle, write"
            " scaling.scaleToZero.idleAfter, and to stop now write spec.suspend: true",
            lambda item: item.min_replicas is None or item.min_replicas >= 1,
        ),
        Rule(
            "!has(self.autoscaler) || self.autoscaler == 'None' || has(self.maxReplicas)",
            "an autoscaler needs an upper bound; write scaling.maxReplicas, or scaling.autoscaler: None",
            lambda item: item.autoscaler in (None, Autoscaler.NONE) or item.max_replicas is not None,
        ),
    )

    autoscaler: Autoscaler | None = Field(
        None,
        description="What changes `spec.replicas`. Left out: `HPA` when `maxReplicas` is set, otherwise `None`.",
    )
    min_replicas: Annotated[Count, Field(ge=0, le=1000)] | None = Field(
        None, description="Fewest replicas. 1 when left out."
    )
    max_replicas: Annotated[Count, Field(ge=1, le=1000)] | None = Field(
        None,
        description="Most replicas; also the size that the node pool may grow to, as far as spend limits pay for it.",
    )
    target: ScalingTarget | None = Field(None, description="What the autoscaler aims at.")
    scale_to_zero: ScaleToZero | None = Field(
        None, description="Give all capacity back while nobody asks. Off when left out."
    )
    schedules: Annotated[tuple[ScalingSchedule, ...], Field(max_length=16, json_schema_extra=LIST_MAP_BY_NAME)] = Field(
        (), description="Other bounds for recurring times; a later schedule wins over an earlier one."
    )
