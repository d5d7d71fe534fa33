"""What is known to stand in the way of a claim's pool before GKE is asked for it. Pure.

Only what would certainly be refused counts. A quota that others use up now, or a full reservation, may be free in a
minute. Missing rights aren't looked at: GKE refuses those at once and in its own words, and a right that is granted
under a condition would look as if it were missing.
"""

from typing import Final

from mistral_operator.api.capacity import Consumption
from mistral_operator.api.claim import NodePoolClaim
from mistral_operator.capacity.errors import (
    CloudFinding,
    InvalidRequestError,
    QuotaExceededError,
    ReservationIncompatibleError,
    ReservationNotFoundError,
)
from mistral_operator.capacity.port import PoolSpec
from mistral_operator.capacity.preflight.facts import AskedRung, LiveFacts, first_version
from mistral_operator.capacity.preflight.judge import LiveFinding, Verdict, check_rungs
from mistral_operator.catalogue.types import Catalogue

_CERTAIN: Final = {
    "ClusterTooOld": InvalidRequestError.reason,
    "NoZoneOffers": InvalidRequestError.reason,
    "SomeZonesLack": InvalidRequestError.reason,
    "QuotaTooSmall": QuotaExceededError.reason,
    "ReservationNotFound": ReservationNotFoundError.reason,
    "ReservationElsewhere": ReservationNotFoundError.reason,
    "ReservationOfOtherMachines": ReservationIncompatibleError.reason,
}
"""Finding of the preflight → the reason that GKE's own refusal would have had."""


def describe_claim(claim: NodePoolClaim, spec: PoolSpec, catalogue: Catalogue) -> AskedRung | None:
    """What is asked about a pool that the operator makes; None for a machine type that isn't in the catalogue."""
    known = catalogue.machine(spec.machine_type)
    if known is None:
        return None
    accelerator, shape, consumption = known[0], claim.spec.shape, Consumption(claim.spec.consumption.value)
    hosts = spec.slice_hosts or 1
    return AskedRung(
        name=claim.metadata.name,
        machine_type=spec.machine_type,
        gpu=spec.gpu.type if spec.gpu else "",
        devices=shape.accelerator.count * hosts,
        hosts=hosts,
        replicas=1,
        zones=spec.locations,
        consumption=consumption,
        quota=accelerator.quota_of(consumption.value),
        hardware=accelerator.name,
        min_gke_version=first_version(accelerator, consumption),
        reservation=spec.reservation,
    )


def find_refusal(rung: AskedRung, facts: LiveFacts) -> CloudFinding | None:
    """The first thing that GKE would certainly refuse the pool for, with figures and the command that mends it."""
    for finding in check_rungs((rung,), facts):
        reason = _CERTAIN.get(finding.reason)
        if reason and finding.verdict is Verdict.BLOCKED and not _may_be_elsewhere(finding, rung):
            text = f"GKE isn't asked for the pool, because it would refuse it: {finding.message}"
            advice = f"`{finding.command}`" if finding.command else ""
            return CloudFinding(reason, text, retryable=False, verbatim=False, advice=advice)
    return None


def _may_be_elsewhere(finding: LiveFinding, rung: AskedRung) -> bool:
    """Whether another quota may count: spot machines take that on demand where no preemptible one was ever given."""
    return finding.check == "quota" and rung.consumption is not Consumption.ON_DEMAND
