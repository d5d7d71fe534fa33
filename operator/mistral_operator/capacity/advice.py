"""What to do about a refusal of the cloud, in one or two sentences: the command that shows or fixes it. Pure."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from mistral_operator.capacity.errors import CONFIG_CONNECTOR, CloudFinding, parse_quota
from mistral_operator.planning.reservation import PROJECT


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


def quote(text: str, speaker: str = "GKE") -> str:
    """The cloud's own words, marked as such, short enough for a condition."""
    return f'{speaker} says: "{_shorten(text)}"'


def cite(finding: CloudFinding, speaker: str = "") -> str:
    """What a finding says: quoted where the cloud said it, and else in a sentence of ours."""
    if finding.verbatim:
        return quote(finding.text, speaker or finding.speaker)
    words = _shorten(finding.text)
    return f"{words[:1].upper()}{words[1:].removesuffix('.')}."


def _shorten(text: str) -> str:
    return " ".join(text.splitlines()).strip()[:1500]


def advise(finding: CloudFinding, place: ClusterPlace) -> str:
    """What somebody can do about it; empty when it goes by itself."""
    if finding.advice:
        return finding.advice
    advice = _ADVICE.get(finding.reason)
    return advice(finding, place) if advice else ""


_GLOBALLY: Final = re.compile(r"Limit: [\d.]+ globally|GPUS_ALL_REGIONS")


def _raise_quota(finding: CloudFinding, place: ClusterPlace) -> str:
    quota = parse_quota(finding.text)
    region = quota.region or place.region
    what = f"the quota {quota.metric}" if quota.metric else "the quota that it names"
    limit = f" (now {quota.limit})" if quota.limit else ""
    if _GLOBALLY.search(finding.text):
        where, shown = "in all regions together", "project-info describe"
    else:
        where, shown = f"in {region}", f"regions describe {region}"
    return (
        f"Ask for more of {what}{limit} {where} under IAM & Admin, Quotas; `gcloud compute {shown}"
        f" --project {place.project}` shows limits and usage. Other zones or another"
        " accelerator can be given in the model's spec.capacity.options."
    )


def _wait_for_stock(_finding: CloudFinding, _place: ClusterPlace) -> str:
    return (
        "Google has none of these machines in these zones now. Other zones or another accelerator can be given in the"
        " model's spec.capacity.options."
    )


SWITCHED_OFF: Final = re.compile(r"SERVICE_DISABLED|accessNotConfigured|has not been used in project|is disabled")
"""Of a service of Google's that the project doesn't use yet; it comes as a permission that is denied."""
_SERVICE_NAMED: Final = re.compile(r"\b(?P<name>[a-z]+)\.googleapis\.com")
_NODE_ACCOUNT: Final = "NODE_SERVICE_ACCOUNT"
_ACT_AS: Final = re.compile(r"actAs|serviceAccountUser")
_ACCOUNT_NAMED: Final = re.compile(r"service account ['\"]?(?P<email>[\w.-]+@[\w.-]+\.gserviceaccount\.com)")

_POOL_OBJECTS: Final = re.compile(r"of ContainerNodePools in namespace (?P<namespace>[a-z0-9-]+)")
"""The API server refuses it, not Google."""
_NO_LOGIN: Final = re.compile(r"credentials were not found|determine credentials|Reauthentication|has been expired")


def _grant_role(finding: CloudFinding, place: ClusterPlace) -> str:
    if _NO_LOGIN.search(finding.text):
        return "Log in: `gcloud auth application-default login`; on GKE the operator's pod has its own identity."
    if SWITCHED_OFF.search(finding.text):
        named = _SERVICE_NAMED.search(finding.text)
        service = named["name"] if named else "container"
        return f"Switch it on: `gcloud services enable {service}.googleapis.com --project {place.project}`."
    if _NODE_ACCOUNT in finding.text:
        return (
            f"Grant the nodes' account what GKE needs there: `gcloud projects add-iam-policy-binding {place.project}"
            " --member serviceAccount:NODE_ACCOUNT --role roles/container.defaultNodeServiceAccount`."
        )
    if _ACT_AS.search(finding.text):
        named = _ACCOUNT_NAMED.search(finding.text)
        return (
            "Let the operator's identity use the account that the nodes run as, and no other:"
            f" `gcloud iam service-accounts add-iam-policy-binding {named['email'] if named else 'NODE_ACCOUNT'}"
            f" --member PRINCIPAL --role roles/iam.serviceAccountUser --project {place.project}`."
        )
    objects = _POOL_OBJECTS.search(finding.text)
    if objects:
        return (
            "Let the operator keep such objects: the chart does with `provisioners: [ConfigConnector]` and"
            f" `configConnector.namespace: {objects['namespace']}`, and so does `kubectl apply --namespace"
            f" {objects['namespace']} --filename deploy/rbac-config-connector.yaml`."
        )
    if finding.speaker == CONFIG_CONNECTOR:
        return (
            f"Grant it to the account that Config Connector acts as: `gcloud projects add-iam-policy-binding"
            f" {place.project} --member serviceAccount:ACCOUNT --role"
            f" projects/{place.project}/roles/mistralConfigConnector`, which deploy/gcp-role-config-connector.yaml"
            " defines."
        )
    return (
        f"Grant it to the operator's identity: `gcloud projects add-iam-policy-binding {place.project}"
        f" --member PRINCIPAL --role projects/{place.project}/roles/mistralOperator`, which deploy/gcp-role.yaml"
        " defines."
    )


def _install_config_connector(_finding: CloudFinding, _place: ClusterPlace) -> str:
    return (
        "`kubectl get crd containernodepools.container.cnrm.cloud.google.com` shows whether Config Connector is"
        " installed. Install it and make the namespace, or write spec.capacity.provisioner: ContainerAPI."
    )


def _look_for_controller(_finding: CloudFinding, _place: ClusterPlace) -> str:
    return (
        "`kubectl get configconnector,configconnectorcontext -A` shows where it works: in namespaced mode the objects'"
        " namespace needs a ConfigConnectorContext."
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


@dataclass(frozen=True, slots=True)
class _ReservationNamed:
    """What an error text tells about a reservation; placeholders in capitals where it doesn't."""

    name: str
    zone: str
    project: str

    @property
    def command_place(self) -> str:
        """The end of every command about it."""
        return f"{self.name} --zone {self.zone} --project {self.project}"


_RESERVATION: Final = re.compile(
    rf"projects/(?P<project>{PROJECT})/(?:zones/(?P<zone>[a-z]+-[a-z]+\d+-[a-z])/)?"
    r"reservations/(?P<name>[a-z][-a-z0-9]*)"
)
"""Only what Google allows in such names: texts of Events may be anybody's, and people paste commands."""


def _parse_reservation(finding: CloudFinding, place: ClusterPlace) -> _ReservationNamed:
    found = _RESERVATION.search(finding.text)
    if found is None:
        return _ReservationNamed("NAME", "ZONE", place.project)
    return _ReservationNamed(found["name"], found["zone"] or "ZONE", found["project"])


def _share_reservation(finding: CloudFinding, place: ClusterPlace) -> str:
    named = _parse_reservation(finding, place)
    return (
        "One of another project has to be shared with this one, and named by projects/PROJECT/reservations/NAME:"
        f" `gcloud compute reservations update {named.command_place} --add-share-with {place.project}`."
    )


def _name_reservation(finding: CloudFinding, place: ClusterPlace) -> str:
    named = _parse_reservation(finding, place)
    return (
        f"`gcloud compute reservations list --project {named.project}` shows what there is, and where; write name and"
        " zone in the model's spec.capacity.options: reservation, zones."
    )


def _await_reservation(finding: CloudFinding, place: ClusterPlace) -> str:
    named = _parse_reservation(finding, place)
    return (
        "Tried again by itself; the cluster autoscaler may take half an hour to see a new reservation."
        f" `gcloud compute reservations describe {named.command_place}` shows its status."
    )


def _enlarge_reservation(finding: CloudFinding, place: ClusterPlace) -> str:
    named = _parse_reservation(finding, place)
    return (
        f"`gcloud compute reservations describe {named.command_place}` shows count and inUseCount; free some, or"
        f" enlarge it: `gcloud compute reservations update {named.command_place} --vm-count COUNT`."
    )


def _match_reservation(finding: CloudFinding, place: ClusterPlace) -> str:
    named = _parse_reservation(finding, place)
    return (
        f"`gcloud compute reservations describe {named.command_place}` shows its machine type, accelerators and local"
        " SSDs, which must be the pool's; write that machineType in the model's spec.capacity.options, or name another"
        " reservation."
    )


_NOT_IN_ZONE: Final = re.compile(
    r"(?:machine type|accelerator type)\b.*\b(?:does not exist|not (?:available|supported|found))\b.*\bzone\b",
    re.IGNORECASE,
)
_TYPE_NAMED: Final = re.compile(r"type (?:with name )?['\"]?(?P<name>[a-z0-9]+(?:-[a-z0-9]+)+)")


_VERSION_NEEDED: Final = re.compile(
    r"(?:needs|requires?|minimum) .*?version (?P<version>\d+\.\d+(?:\.\d+)?(?:-gke\.\d+)?)", re.IGNORECASE
)


def _mend_request(finding: CloudFinding, place: ClusterPlace) -> str:
    """What is wrong with most requests only their text can say."""
    text = finding.text.lower()
    if "flex-start" not in text and (needed := _VERSION_NEEDED.search(finding.text)):
        return (
            f"`gcloud container clusters upgrade {place.cluster} --location {place.location} --project {place.project}"
            f" --master --cluster-version {needed['version']}` upgrades the cluster; until then write other hardware in"
            " the model's spec.capacity.options."
        )
    if "flex-start" in text and "version" in text:
        return (
            f"`gcloud container clusters upgrade {place.cluster} --location {place.location} --project {place.project}"
            " --master` upgrades the cluster; until then write consumption: Spot or OnDemand."
        )
    if "not supported with flex-start" in text:
        return "Write another consumption in the model's spec.capacity.options."
    return _name_zones(finding, place)


def _name_zones(finding: CloudFinding, place: ClusterPlace) -> str:
    if not _NOT_IN_ZONE.search(finding.text):
        return ""
    kind = "accelerator" if "accelerator type" in finding.text.lower() else "machine"
    named = _TYPE_NAMED.search(finding.text)
    which = f' --filter="name={named["name"]}"' if named else ""
    return (
        "Not every zone has it: write the zones that have it in the model's spec.capacity.options[0].zones;"
        f" `gcloud compute {kind}-types list --project {place.project}{which}` shows them."
    )


def _free_policy(finding: CloudFinding, place: ClusterPlace) -> str:
    named = _POLICY_NAMED.search(finding.text)
    name = named["name"] if named else "NAME"
    return (
        "Tried again by itself. Something that isn't the operator's is placed by it and has to go first:"
        f" `gcloud compute resource-policies describe {name} --region {place.region} --project {place.project}`."
    )


_POLICY_NAMED: Final = re.compile(r"resourcePolicies/(?P<name>[a-z][-a-z0-9]*)")
_ADVICE: Final[Mapping[str, Callable[[CloudFinding, ClusterPlace], str]]] = {
    "QuotaExceeded": _raise_quota,
    "StockedOut": _wait_for_stock,
    "PermissionDenied": _grant_role,
    "AddressesExhausted": _free_addresses,
    "ConfigConnectorMissing": _install_config_connector,
    "ConfigConnectorSilent": _look_for_controller,
    "Unmanaged": _look_for_controller,
    "NotFound": _find_cluster,
    "InvalidRequest": _mend_request,
    "InvalidReservation": _share_reservation,
    "ReservationNotFound": _name_reservation,
    "ReservationNotReady": _await_reservation,
    "ReservationExhausted": _enlarge_reservation,
    "ReservationIncompatible": _match_reservation,
    "PolicyInUse": _free_policy,
}
