"""What to do about a refusal of the cloud, in one or two sentences: the command that shows or fixes it. Pure."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from mistral_operator.capacity.errors import CloudFinding, parse_quota


@dataclass(frozen=True, slots=True)
class ClusterPlace:
    """Where the cluster is, for commands that people can copy."""

    project: str
    location: str
    cluster: str
    uid: str = ""
    """Of the namespace kube-system, which lives as long as the Kubernetes cluster; empty when it isn't known."""

    @property
    def region(self) -> str:
        """`us-central1` for the region itself and for its zone `us-central1-a`."""
        parts = self.location.split("-")
        return "-".join(parts[:2])


def quote(text: str) -> str:
    """The cloud's own words, marked as such, short enough for a condition."""
    words = " ".join(text.splitlines()).strip()
    return f'GKE says: "{words[:1500]}"'


def advise(finding: CloudFinding, place: ClusterPlace) -> str:
    """What somebody can do about it; empty when it goes by itself."""
    advice = _ADVICE.get(finding.reason)
    return advice(finding, place) if advice else ""


def _raise_quota(finding: CloudFinding, place: ClusterPlace) -> str:
    quota = parse_quota(finding.text)
    region = quota.region or place.region
    what = f"the quota {quota.metric}" if quota.metric else "the quota that it names"
    limit = f" (now {quota.limit})" if quota.limit else ""
    return (
        f"Ask for more of {what}{limit} in {region} under IAM & Admin, Quotas; `gcloud compute regions describe"
        f" {region} --project {place.project}` shows limits and usage. Other zones or another"
        " accelerator can be given in the model's spec.capacity.options."
    )


def _wait_for_stock(_finding: CloudFinding, _place: ClusterPlace) -> str:
    return (
        "Google has none of these machines in these zones now. Other zones or another accelerator can be given in the"
        " model's spec.capacity.options."
    )


def _grant_role(finding: CloudFinding, place: ClusterPlace) -> str:
    if "actAs" in finding.text:
        role, more = "roles/iam.serviceAccountUser", ", best on the nodes' own account only"
    else:
        role, more = f"projects/{place.project}/roles/mistralOperator", ", which deploy/gcp-role.yaml defines"
    return (
        f"Grant it to the operator's identity: `gcloud projects add-iam-policy-binding {place.project}"
        f" --member PRINCIPAL --role {role}`{more}."
    )


def _free_addresses(_finding: CloudFinding, place: ClusterPlace) -> str:
    return (
        "Give the cluster's node subnet or pod range more addresses; `gcloud container clusters describe"
        f" {place.cluster} --location {place.location} --project {place.project}` shows the ranges."
    )


def _find_cluster(_finding: CloudFinding, place: ClusterPlace) -> str:
    return (
        f"The operator works on cluster {place.cluster} in {place.location} of project {place.project}; if that is not"
        " the cluster, correct its settings."
    )


_NOT_IN_ZONE: Final = re.compile(
    r"(?:machine type|accelerator type)\b.*\b(?:does not exist|not (?:available|supported|found))\b.*\bzone\b",
    re.IGNORECASE,
)
_TYPE_NAMED: Final = re.compile(r"type (?:with name )?['\"]?(?P<name>[a-z0-9]+(?:-[a-z0-9]+)+)")


def _name_zones(finding: CloudFinding, place: ClusterPlace) -> str:
    """Only for a machine that a zone lacks: what else is wrong with a request only its text can say."""
    if not _NOT_IN_ZONE.search(finding.text):
        return ""
    kind = "accelerator" if "accelerator type" in finding.text.lower() else "machine"
    named = _TYPE_NAMED.search(finding.text)
    which = f' --filter="name={named["name"]}"' if named else ""
    return (
        "Not every zone has it: write the zones that have it in the model's spec.capacity.options[0].zones;"
        f" `gcloud compute {kind}-types list --project {place.project}{which}` shows them."
    )


_ADVICE: Final[Mapping[str, Callable[[CloudFinding, ClusterPlace], str]]] = {
    "QuotaExceeded": _raise_quota,
    "StockedOut": _wait_for_stock,
    "PermissionDenied": _grant_role,
    "AddressesExhausted": _free_addresses,
    "NotFound": _find_cluster,
    "InvalidRequest": _name_zones,
}
