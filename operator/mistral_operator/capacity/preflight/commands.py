"""Commands that mend what a preflight found, to be copied. Pure.

The syntax is gcloud's as its reference has it; none of these commands has been run by this project.
"""

from typing import Final

from mistral_operator.capacity.advice import SWITCHED_OFF, ClusterPlace
from mistral_operator.capacity.errors import CloudFinding

_VIEWERS: Final = {"container": "roles/container.viewer", "resourcemanager": "roles/browser"}
_APIS: Final = {"container": "container", "resourcemanager": "cloudresourcemanager"}
_COMPUTE: Final = "compute.googleapis.com"


def let_ask(refusal: CloudFinding, permission: str, place: ClusterPlace) -> str:
    """Lets whoever asked read it next time; empty where asking again is all there is to do."""
    service = permission.partition(".")[0]
    if SWITCHED_OFF.search(refusal.text):
        return f"gcloud services enable {_APIS.get(service, service)}.googleapis.com --project {place.project}"
    if refusal.reason != "PermissionDenied":
        return ""
    role = _VIEWERS.get(service, "roles/compute.viewer")
    return f"gcloud projects add-iam-policy-binding {place.project} --member PRINCIPAL --role {role}"


def grant_role(identity: str, place: ClusterPlace, *, reads_only: bool = False) -> str:
    """Gives the operator's role, which deploy/gcp-role.yaml defines, or Google's own role to read clusters."""
    member = f"serviceAccount:{identity}" if identity else "PRINCIPAL"
    role = "roles/container.clusterViewer" if reads_only else f"projects/{place.project}/roles/mistralOperator"
    return f"gcloud projects add-iam-policy-binding {place.project} --member {member} --role {role}"


def upgrade(version: str, place: ClusterPlace) -> str:
    """Upgrades the control plane; node pools made afterwards have its version."""
    return (
        f"gcloud container clusters upgrade {place.cluster} --master --cluster-version {version}"
        f" --location {place.location} --project {place.project}"
    )


def list_types(kind: str, name: str, place: ClusterPlace) -> str:
    """Shows the zones of a machine type, or of an accelerator type."""
    return f'gcloud compute {kind}-types list --project {place.project} --filter="name={name}"'


def list_quotas(place: ClusterPlace) -> str:
    """Shows the region's quotas."""
    return f"gcloud compute regions describe {place.region} --project {place.project}"


def show_family_quota(gpu: str, place: ClusterPlace) -> str:
    """Shows quotas that have the family as a dimension."""
    name = "GPUS-PER-GPU-FAMILY" if gpu else "TPUS-PER-TPU-FAMILY"
    return f"gcloud beta quotas info describe {name}-per-project-region --service {_COMPUTE} --project {place.project}"


def raise_quota(metric: str, limit: int, region: str, place: ClusterPlace) -> str:
    """Asks for another limit, in a region or, without one, in all of them together."""
    name, scope = metric.replace("_", "-"), f" --dimensions region={region}" if region else ""
    return (
        f"gcloud beta quotas preferences create --service {_COMPUTE} --project {place.project}"
        f" --quota-id {name}-per-project{'-region' if region else ''} --preferred-value {limit}{scope}"
    )


def list_reservations(name: str, project: str) -> str:
    """Shows the reservations of that name."""
    return f'gcloud compute reservations list --project {project} --filter="name={name}"'


def describe_reservation(name: str, zone: str, project: str) -> str:
    """Shows one reservation, with what is in use of it."""
    return f"gcloud compute reservations describe {name} --zone {zone} --project {project}"


def grow_reservation(name: str, zone: str, project: str, machines: int) -> str:
    """Makes a reservation larger."""
    return f"gcloud compute reservations update {name} --zone {zone} --project {project} --vm-count {machines}"
