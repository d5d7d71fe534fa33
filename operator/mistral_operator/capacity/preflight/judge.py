"""Google's answers → what stands in the way of each rung of a ladder, and the command that fixes it. Pure.

Nothing here foretells stock: Google tells no one what a zone has left.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from math import ceil
from typing import Final

from mistral_operator.api.capacity import Consumption
from mistral_operator.capacity.errors import CloudFinding
from mistral_operator.capacity.preflight import commands as advice
from mistral_operator.capacity.preflight.facts import (
    READ_PERMISSION,
    AskedRung,
    LiveFacts,
    Quota,
    ReservationView,
    list_permissions,
    split_reservation,
)
from mistral_operator.planning.hardware import read_version
from mistral_operator.planning.types import Provisioner


class Verdict(StrEnum):
    """Whether a rung can work now."""

    OK = "ok"
    WARNING = "warning"
    BLOCKED = "blocked"


_ORDER: Final = (Verdict.OK, Verdict.WARNING, Verdict.BLOCKED)
_ALL_GPUS: Final = "GPUS_ALL_REGIONS"


@dataclass(frozen=True, slots=True)
class LiveFinding:
    """One thing that was asked, and what the answer means."""

    check: str
    """What was looked at: `cluster`, `version`, `permissions`, `quota`, `zones` or `reservation`."""
    verdict: Verdict
    reason: str
    message: str
    rungs: tuple[str, ...] = ()
    """Whom it is about; empty: all of them."""
    quote: str = ""
    """The cloud's own words, where it refused."""
    command: str = ""
    """What fixes it, or shows more."""


def check_rungs(rungs: Sequence[AskedRung], facts: LiveFacts) -> tuple[LiveFinding, ...]:
    """All findings: those about every rung, then those about some, each said once. `facts` answer their questions."""
    common = (*_check_cluster(facts), _check_permissions(list_permissions(rungs), facts))
    own = [
        replace(finding, rungs=(rung.name,))
        for check in (_check_maker, _check_version, _check_zones, _check_quota, _check_all_gpus, _check_reservation)
        for rung in rungs
        for finding in check(rung, facts)
    ]
    return (*common, *_merge(own))


def judge(findings: Iterable[LiveFinding], rung: str) -> Verdict:
    """The worst of what was found about a rung."""
    about = (finding.verdict for finding in findings if not finding.rungs or rung in finding.rungs)
    return max(about, key=_ORDER.index, default=Verdict.OK)


def _merge(findings: Iterable[LiveFinding]) -> list[LiveFinding]:
    """What is the same for several rungs becomes one finding about all of them."""
    merged: dict[LiveFinding, tuple[str, ...]] = {}
    for finding in findings:
        same = replace(finding, rungs=())
        merged[same] = (*merged.get(same, ()), *finding.rungs)
    return [replace(finding, rungs=rungs) for finding, rungs in merged.items()]


def _unanswered(check: str, what: str, permission: str, refusal: CloudFinding, facts: LiveFacts) -> LiveFinding:
    """Not knowing is a warning: the operator's own identity may be allowed to do what this one may not ask."""
    needs = f"; that needs the permission {permission}" if refusal.reason == "PermissionDenied" else ""
    why = "" if refusal.verbatim else f": {refusal.text}"
    return LiveFinding(
        check,
        Verdict.WARNING,
        "NotAnswered",
        f"{what} can't be read{needs}{why}",
        quote=refusal.text if refusal.verbatim else "",
        command=advice.let_ask(refusal, permission, facts.place),
    )


def _check_cluster(facts: LiveFacts) -> Iterator[LiveFinding]:
    cluster, place = facts.cluster, facts.place
    if isinstance(cluster, CloudFinding):
        if cluster.reason != "NotFound":
            yield _unanswered("cluster", f"cluster {place.cluster}", "container.clusters.get", cluster, facts)
            return
        words = f"there is no cluster {place.cluster} in {place.location} of project {place.project}"
        command = f"gcloud container clusters list --project {place.project}"
        yield LiveFinding("cluster", Verdict.BLOCKED, "ClusterNotFound", words, quote=cluster.text, command=command)
    else:
        yield LiveFinding("cluster", Verdict.OK, "ClusterFound", f"{cluster.name} runs GKE {cluster.version}")


def _check_maker(rung: AskedRung, facts: LiveFacts) -> Iterator[LiveFinding]:
    """On Autopilot a ComputeClass gets its nodes from Google; whoever makes node pools is refused."""
    if isinstance(facts.cluster, CloudFinding) or not facts.cluster.autopilot:
        return
    if rung.provisioner in (Provisioner.CONTAINER_API, Provisioner.CONFIG_CONNECTOR):
        words = (
            f"{facts.cluster.name} is an Autopilot cluster, where {rung.provisioner.value} can't make node pools;"
            " write spec.capacity.provisioner: ComputeClass, or use a Standard cluster"
        )
        yield LiveFinding("cluster", Verdict.BLOCKED, "AutopilotCluster", words)


def _check_permissions(needed: Sequence[str], facts: LiveFacts) -> LiveFinding:
    granted, who = facts.granted, facts.identity or "the identity that asked"
    if isinstance(granted, CloudFinding):
        return _unanswered("permissions", "the permissions", "resourcemanager.projects.get", granted, facts)
    missing = [name for name in needed if name not in granted]
    if not missing:
        words = f"{who} has what the operator needs in the project: {', '.join(needed)}"
        if needed != (READ_PERMISSION,):
            words += "; iam.serviceAccounts.actAs on the nodes' account isn't asked"
        return LiveFinding("permissions", Verdict.OK, "PermissionsGranted", words)
    words = f"{who} lacks {', '.join(missing)} in project {facts.place.project}"
    if not facts.identity:
        words += "; ask as the operator's service account to know what that one may"
    # The operator never is a person, so what a person lacks says little of it.
    verdict = Verdict.BLOCKED if facts.identity else Verdict.WARNING
    command = advice.grant_role(facts.identity, facts.place, reads_only=needed == (READ_PERMISSION,))
    return LiveFinding("permissions", verdict, "PermissionsMissing", words, command=command)


def _check_version(rung: AskedRung, facts: LiveFacts) -> Iterator[LiveFinding]:
    if isinstance(facts.cluster, CloudFinding) or not rung.min_gke_version:
        return
    needed, has = read_version(rung.min_gke_version), read_version(facts.cluster.version)
    words = f"{rung.hardware} needs GKE {rung.min_gke_version}, and the cluster has {facts.cluster.version}"
    if has >= needed:
        yield LiveFinding("version", Verdict.OK, "ClusterNewEnough", words)
    elif not has:
        yield LiveFinding("version", Verdict.WARNING, "VersionUnreadable", words)
    else:
        command = advice.upgrade(rung.min_gke_version, facts.place)
        yield LiveFinding("version", Verdict.BLOCKED, "ClusterTooOld", words, command=command)


def _check_zones(rung: AskedRung, facts: LiveFacts) -> Iterator[LiveFinding]:
    offers = [(rung.machine_type, facts.machine_zones, "machine")]
    offers += [(rung.gpu, facts.gpu_zones, "accelerator")] if rung.attaches_gpus else []
    for name, answer, kind in offers:
        if isinstance(answer, CloudFinding):
            yield _unanswered("zones", f"the zones of {name}", f"compute.{kind}Types.list", answer, facts)
        else:
            yield _compare_zones(rung, name, answer.get(name, frozenset()), advice.list_types(kind, name, facts.place))


def _compare_zones(rung: AskedRung, name: str, offered: frozenset[str], command: str) -> LiveFinding:
    have = [zone for zone in rung.zones if zone in offered]
    if len(have) == len(rung.zones):
        return LiveFinding("zones", Verdict.OK, "ZonesOffer", f"{name} is offered in {', '.join(have)}")
    lack = ", ".join(zone for zone in rung.zones if zone not in offered)
    words = f"{name} is not offered in {lack}"
    if not have:
        return LiveFinding("zones", Verdict.BLOCKED, "NoZoneOffers", words, command=command)
    words += f"; write zones: [{', '.join(have)}] in spec.capacity.options"
    # A slice is made in one zone after the other; a pool in all of its zones is refused when one lacks the machine.
    verdict = Verdict.WARNING if rung.hosts > 1 else Verdict.BLOCKED
    return LiveFinding("zones", verdict, "SomeZonesLack", words, command=command)


def _check_quota(rung: AskedRung, facts: LiveFacts) -> Iterator[LiveFinding]:
    if rung.consumption is Consumption.RESERVATION:
        return  # Its machines were counted when the reservation was made: see docs/capacity.md.
    if not rung.quota:
        words = f"which quota {rung.hardware} counts against isn't known here; it isn't checked"
        yield LiveFinding("quota", Verdict.WARNING, "QuotaUnknown", words, command=advice.list_quotas(facts.place))
        return
    for region in rung.regions:
        yield _check_region(rung, region, facts)


def _check_region(rung: AskedRung, region: str, facts: LiveFacts) -> LiveFinding:
    answer = facts.quotas[region]
    if isinstance(answer, CloudFinding):
        return _unanswered("quota", f"the quotas of {region}", "compute.regions.get", answer, facts)
    quota = answer.get(rung.quota)
    if quota is None:
        words = (
            f"Compute Engine doesn't tell {rung.quota} among the quotas of {region}, as is so for newer hardware,"
            " whose quota is kept by family; it isn't checked"
        )
        command = advice.show_family_quota(rung.gpu, facts.place)
        return LiveFinding("quota", Verdict.WARNING, "QuotaNotTold", words, command=command)
    return _compare_quota(rung, rung.quota, region, quota, facts)


def _check_all_gpus(rung: AskedRung, facts: LiveFacts) -> Iterator[LiveFinding]:
    """GPUs on demand also count against a quota of the whole project."""
    if not rung.gpu or rung.consumption is not Consumption.ON_DEMAND:
        return
    answer = facts.project_quotas
    if isinstance(answer, CloudFinding):
        yield _unanswered("quota", "the project's quotas", "compute.projects.get", answer, facts)
    elif _ALL_GPUS in answer:
        yield _compare_quota(rung, _ALL_GPUS, "", answer[_ALL_GPUS], facts)


def _compare_quota(rung: AskedRung, metric: str, region: str, quota: Quota, facts: LiveFacts) -> LiveFinding:
    one, all_ = rung.devices, rung.devices * rung.replicas
    command = advice.raise_quota(metric, ceil(quota.usage) + all_, region, facts.place)
    told = f"{metric} in {region or 'all regions together'} allows {quota.limit:,.0f}, {quota.usage:,.0f} in use"
    if quota.limit < one:
        words = f"{told}; one replica needs {one}"
        return LiveFinding("quota", Verdict.BLOCKED, "QuotaTooSmall", words, command=command)
    if quota.free < one:
        words = f"{told}; another replica needs {one}, unless it is this model that uses them"
        return LiveFinding("quota", Verdict.BLOCKED, "QuotaUsedUp", words, command=command)
    if quota.free < all_:
        words = f"{told}; that is enough for {int(quota.free // one)} of {rung.replicas} replicas of {one}"
        return LiveFinding("quota", Verdict.WARNING, "QuotaForFewer", words, command=command)
    return LiveFinding("quota", Verdict.OK, "QuotaSuffices", f"{told}; {all_} are needed")


def _check_reservation(rung: AskedRung, facts: LiveFacts) -> Iterator[LiveFinding]:
    if not rung.reservation:
        return
    project, name = split_reservation(rung.reservation, facts.place.project)
    answer = facts.reservations[rung.reservation]
    if isinstance(answer, CloudFinding):
        yield _unanswered("reservation", f"reservation {name}", "compute.reservations.list", answer, facts)
        return
    command = advice.list_reservations(name, project)
    for reason, words, fits in _NARROW:
        left = tuple(found for found in answer if fits(rung, found))
        if not left:
            told = f"{words.format(name=name, project=project, rung=rung, zones=', '.join(rung.zones))}"
            has = "; ".join(f"{view.machine_type or view.family} in {view.zone}, {view.status}" for view in answer)
            yield LiveFinding("reservation", Verdict.BLOCKED, reason, f"{told}{has and f' ({has})'}", command=command)
            return
        answer = left
    yield _compare_reservation(rung, name, project, answer)


_NARROW: Final[tuple[tuple[str, str, Callable[[AskedRung, ReservationView], bool]], ...]] = (
    ("ReservationNotFound", "project {project} has no reservation {name}", lambda _rung, _found: True),
    (
        "ReservationOfOtherMachines",
        "reservation {name} isn't of {rung.machine_type}",
        # An aggregate has no machine type, and which families serve which types isn't told by the API.
        lambda rung, found: found.count is None or found.machine_type == rung.machine_type,
    ),
    ("ReservationElsewhere", "reservation {name} isn't in {zones}", lambda rung, found: found.zone in rung.zones),
    ("ReservationNotReady", "reservation {name} isn't ready", lambda _rung, found: found.status == "READY"),
)
"""What a reservation must be, one after the other: whatever lacks it can't be used."""


def _compare_reservation(rung: AskedRung, name: str, project: str, found: Sequence[ReservationView]) -> LiveFinding:
    """A replica's machines come from one zone's reservation."""
    aggregates = [view for view in found if view.count is None]
    if aggregates:
        kept = "; ".join(f"{view.family or 'unknown family'} in {view.zone}" for view in aggregates)
        words = f"{name} is kept as an aggregate reservation; its free count isn't checked ({kept})"
        command = advice.describe_reservation(name, aggregates[0].zone, project)
        return LiveFinding("reservation", Verdict.WARNING, "ReservationNotCounted", words, command=command)
    fits = sum(view.free // rung.hosts for view in found)
    told = "; ".join(f"{view.free} of {view.count} machines free in {view.zone}" for view in found)
    words = f"reservation {name} has {told}; a replica takes {rung.hosts}"
    first = found[0]
    wanted = (first.count or 0) + rung.hosts * max(0, rung.replicas - fits)
    command = advice.grow_reservation(name, first.zone, project, wanted)
    if not fits:
        return LiveFinding("reservation", Verdict.BLOCKED, "ReservationFull", words, command=command)
    if fits < rung.replicas:
        words += f", and {rung.replicas} may run"
        return LiveFinding("reservation", Verdict.WARNING, "ReservationForFewer", words, command=command)
    return LiveFinding("reservation", Verdict.OK, "ReservationSuffices", words)
