"""The one list of pools for all claims, when it fails."""

import pytest
from tests.support.claim_cases import POOL
from tests.support.claim_world import FakeCloud, Kills

from mistral_operator.capacity.cloud import CloudPools
from mistral_operator.capacity.errors import CloudError, classify


@pytest.mark.parametrize("verbatim", [True, False])
async def test_a_list_that_failed_is_told_to_the_next_who_asks_as_it_was(verbatim: bool) -> None:
    cloud = FakeCloud(Kills(), clock=lambda: 0.0)
    cloud.refusals["list"] = [classify("UNAVAILABLE", "no answer from GKE", verbatim=verbatim)]
    pools = CloudPools(cloud, clock=lambda: 100.0)
    findings = []
    for _ in range(2):
        with pytest.raises(CloudError) as caught:
            await pools.find(POOL)
        findings.append(caught.value.finding)
    assert cloud.calls == ["list"]
    assert findings[0] == findings[1]
    assert findings[1].verbatim is verbatim
