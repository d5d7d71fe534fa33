"""The way to node pools of each provisioner: the same claims, the same memory, another port behind it."""

from collections.abc import Mapping
from typing import Final

from mistral_operator.api.claim import NodePoolClaim
from mistral_operator.capacity.errors import CloudFinding
from mistral_operator.capacity.provisioners.cloud import CloudPools
from mistral_operator.planning.types import Provisioner

Clouds = Mapping[Provisioner, CloudPools]
"""Those that are switched on."""

OFF: Final = "ProvisionerNotEnabled"


def provisioner_of(claim: NodePoolClaim) -> Provisioner:
    """What makes the claim's pool; claims of earlier versions don't say."""
    named = claim.spec.provisioner
    return Provisioner(named.value) if named else Provisioner.CONTAINER_API


def explain_off(provisioner: Provisioner) -> CloudFinding:
    """Why nothing is known of a claim, and nothing done, whose provisioner was switched off."""
    text = (
        f"the operator runs without provisioner {provisioner.value}; start it with --provisioner {provisioner.value}"
        " (the chart's value `provisioners`) until no claim needs it"
    )
    return CloudFinding(OFF, text, retryable=False, verbatim=False)
