"""What is looked at before a claim's pool is created, of which provisioners."""

from collections.abc import Callable, Mapping

from mistral_operator.api.claim import NodePoolClaim
from mistral_operator.capacity.advice import ClusterPlace
from mistral_operator.capacity.claims.checks import describe_claim
from mistral_operator.capacity.errors import CloudFinding
from mistral_operator.capacity.port import NodePools, PoolSpec
from mistral_operator.capacity.provisioners.compute_api import ComputeApi
from mistral_operator.capacity.provisioners.known_facts import KnownFacts
from mistral_operator.catalogue.types import Catalogue
from mistral_operator.controller.claims import Check
from mistral_operator.controller.options import RunOptions
from mistral_operator.planning.types import Provisioner


def choose_checks(
    place: ClusterPlace,
    pools: Mapping[Provisioner, NodePools],
    options: RunOptions,
    catalogue: Callable[[], Catalogue],
) -> Mapping[Provisioner, Check]:
    """The checks of pools that the operator makes itself; none where a simulated GKE comes without Compute Engine."""
    own = pools.get(Provisioner.CONTAINER_API)
    if own is None or not options.live_checks or (options.container_api and not options.compute_api):
        return {}
    facts = KnownFacts(place, lambda: ComputeApi(place.project, options.compute_api), own.describe_cluster)

    async def check(claim: NodePoolClaim, spec: PoolSpec) -> CloudFinding | None:
        rung = describe_claim(claim, spec, catalogue())
        return await facts.check(rung) if rung else None

    return {Provisioner.CONTAINER_API: check}
