"""Ready, Degraded, Reconciling and Stalled: what the other conditions come to."""

from collections.abc import Mapping
from typing import Final

from mistral_operator.capacity.arbitration import Place
from mistral_operator.status.ends import NO_SUCCESSOR
from mistral_operator.status.findings import Finding, met, unmet
from mistral_operator.status.rungs import check_rung
from mistral_operator.status.situation import Situation

# In this order the first condition that doesn't hold explains why a model isn't ready.
_EXPLAINING: Final = ("Accepted", "WeightsReady", "CapacityReady", "WorkloadReady", "EndpointReady")
# A replica that waits for its turn explains nothing; the condition after it does.
_WAITING_REASONS: Final = frozenset({"WaitingForReplica", "WaitingForConverter", "Loading", "NotPlanned"})
# Only somebody's action changes these: waiting for them is of no use.
_STALLING_REASONS: Final = frozenset({
    "TokenSecretMissing", "AccessRefused", "PoolNameTaken", "PoolDiffers", "PermissionDenied", "InvalidRequest",
    "PodsRefused", "OutOfMemory", "ImagePullFailed", "ContainerConfigError", "ConversionFailed",
    "PolicyNameTaken",
})  # fmt: skip


def check_ready(situation: Situation, parts: Mapping[str, Finding]) -> Finding:
    """A model is ready when it answers, or when nothing is wanted of it."""
    if situation.model.spec.suspend:
        return unmet("Suspended", "spec.suspend is set: no replica runs. Set it to false to serve again.")
    if situation.ready_pods:
        endpoint = parts["EndpointReady"]
        return _serving(situation) if endpoint.holds else unmet(endpoint.reason, endpoint.message)
    if situation.plan is not None and situation.wanted_replicas == 0:
        return _wanting_nothing(situation, parts)
    explaining = explain(parts)
    return unmet(explaining.reason, explaining.message)


def _serving(situation: Situation) -> Finding:
    ready, wanted = len(situation.ready_pods), situation.wanted_replicas
    if ready >= wanted:
        return met("Serving", f"{ready} of {wanted} replicas answer.")
    return met("ServingPartially", f"{ready} of {wanted} replicas answer.")


def _wanting_nothing(situation: Situation, parts: Mapping[str, Finding]) -> Finding:
    accepted = parts["Accepted"]
    if situation.model.spec.replicas == 0:
        return met("ScaledToZero", "spec.replicas is 0; scale up to serve again.")
    if situation.serving_class.breach:
        reason = "OutsideServingClass" if accepted.holds else accepted.reason
        message = f"No replica comes: {situation.serving_class.breach}." if accepted.holds else accepted.message
        return unmet(reason, message)
    if situation.place:
        return unmet("WaitsInLine", _tell_place(situation, situation.place))
    limit = situation.serving_class.spend_limit
    return unmet("HourlyCostLimit", f"{limit} is too low for a single replica; raise it.")


def explain(parts: Mapping[str, Finding]) -> Finding:
    """The one finding that a person should read first."""
    failing = [parts[name] for name in _EXPLAINING if not parts[name].holds]
    telling = [finding for finding in failing if finding.reason not in _WAITING_REASONS]
    return (telling or failing or [met("Serving", "Everything is as wanted.")])[0]


def check_degraded(situation: Situation, parts: Mapping[str, Finding]) -> Finding:
    """Something is served, but less than was asked for."""
    if not parts["Accepted"].holds and situation.plan is not None:
        return met(parts["Accepted"].reason, "The last accepted plan stays in place: " + parts["Accepted"].message)
    wanted = 0 if situation.model.spec.suspend else situation.model.spec.replicas
    if situation.wanted_replicas < wanted and situation.serving_class.breach:
        return met("OutsideServingClass", f"No more replicas come, though {wanted} are wanted: "
                   f"{situation.serving_class.breach}.")  # fmt: skip
    if situation.place:
        return met("WaitsInLine", _tell_place(situation, situation.place))
    if situation.wanted_replicas < wanted:
        return met("HourlyCostLimit", f"{situation.serving_class.spend_limit} pays for {situation.wanted_replicas} of "
                   f"{wanted} replicas; raise it or ask for fewer.")  # fmt: skip
    if situation.ready_pods and len(situation.ready_pods) < situation.wanted_replicas:
        explaining = explain(parts)
        return met("ReplicasMissing", f"{explaining.reason}: {explaining.message}")
    if situation.serving_class.breach:
        return met("OutsideServingClass", f"What runs stays as it is, but {situation.serving_class.breach}.")
    if situation.succession.lacks_successor and situation.ready_pods:
        return met(NO_SUCCESSOR, situation.succession.describe())
    lower = check_rung(situation)
    if lower:
        return lower
    return unmet("AsWanted", "Nothing is missing of what is served.")


def _tell_place(situation: Situation, place: Place) -> str:
    told = place.tell(situation.model.metadata.namespace)
    kept = ", and what runs goes on until then" if situation.stays else ""
    return (
        f"{situation.wanted_replicas} of {situation.model.spec.replicas} replicas for now: {told}{kept}. Others come"
        " first by spec.capacity.priority, then by age."
    )


def check_reconciling(situation: Situation, parts: Mapping[str, Finding]) -> Finding:
    """Is the operator or the cluster still on its way to what was asked for?"""
    if not parts["Accepted"].holds:
        return unmet("NotAccepted", "The spec is not accepted, so nothing moves.")
    if situation.rolled_out and not situation.cut_off:
        return unmet("Settled", "What was asked for is what runs.")
    explaining = explain(parts)
    if explaining.holds and situation.succession.ends:
        explaining = parts["WorkloadReady"]
    return met("Progressing", f"{explaining.reason}: {explaining.message}")


def check_stalled(parts: Mapping[str, Finding]) -> Finding:
    """Does it wait for a person?"""
    if not parts["Accepted"].holds:
        return met(parts["Accepted"].reason, parts["Accepted"].message)
    stalled = next((parts[n] for n in _EXPLAINING if parts[n].reason in _STALLING_REASONS), None)
    if stalled:
        return met(stalled.reason, stalled.message)
    return unmet("NotStalled", "Nothing waits for a person.")
