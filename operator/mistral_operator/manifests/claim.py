"""The NodePoolClaim that an option of a plan needs: the same for every model that can share the pool."""

from mistral_operator.api.model import MistralModel
from mistral_operator.api.names import API_VERSION, CLAIM_KIND, MANAGED_BY, MANAGED_BY_LABEL
from mistral_operator.manifests.identity import Manifest, hash_content
from mistral_operator.planning.types import Consumption, PlannedOption, Provisioner

_MODES = {
    Consumption.ON_DEMAND: "od",
    Consumption.SPOT: "spot",
    Consumption.FLEX_START: "flex",
    Consumption.RESERVATION: "res",
}


def build_claim(model: MistralModel, option: PlannedOption) -> Manifest:
    """Render the claim; for a multi-host slice, what the claims of all its replicas have in common.

    Its name is made from its content, so equal needs of one tenant meet in one pool. It carries no hash of its own:
    models that were planned by different versions share it without rewriting it.
    """
    provisioner = option.provisioner
    spec = {
        # Left out where it is the container API, so that claims of earlier versions are still the same ones.
        **({} if provisioner is Provisioner.CONTAINER_API else {"provisioner": provisioner.value}),
        "shape": {
            "machineType": option.machine_type,
            "accelerator": {"type": option.accelerator_label, "count": option.devices_per_host},
            **({"topology": option.topology} if option.topology else {}),
            **({"hosts": option.hosts} if option.hosts > 1 else {}),
        },
        "consumption": option.consumption.value,
        **({"reservation": option.reservation} if option.reservation else {}),
        **({"maxRunDurationSeconds": option.max_run_s} if option.max_run_s else {}),
        "zones": sorted(option.zones),
        "tenant": model.metadata.namespace,
        # A slice serves one replica of one model; ordinary pools are shared.
        **({"model": model.metadata.name} if option.hosts > 1 else {}),
        **({"resourceLabels": dict(sorted(model.spec.resource_labels.items()))} if model.spec.resource_labels else {}),
    }
    name = f"{option.machine_type}-{_MODES[option.consumption]}-{hash_content(spec)}"
    return {
        "apiVersion": API_VERSION,
        "kind": CLAIM_KIND,
        "metadata": {"name": name, "labels": {MANAGED_BY_LABEL: MANAGED_BY}},
        "spec": spec,
    }
