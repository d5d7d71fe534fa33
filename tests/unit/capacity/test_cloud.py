"""The one list of pools for all claims, when it fails."""

import pytest
from tests.support.claim_cases import NOW, POOL, a_claim
from tests.support.claim_world import FakeCloud, Kills

from mistral_operator.capacity.cloud import CloudPace, CloudPools
from mistral_operator.capacity.errors import CloudError, classify
from mistral_operator.capacity.pool_list import ListNotDueError
from mistral_operator.capacity.pools import NodeFacts, pool_spec


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


async def test_a_create_that_was_refused_is_hurried_when_something_may_be_free() -> None:
    cloud = FakeCloud(Kills(), clock=lambda: 0.0)
    cloud.refusals["create"] = [classify("", "Quota 'X' exceeded. Limit: 1.0 in region r.")]
    pools = CloudPools(cloud, now=lambda: NOW)
    pools.hurry(POOL)
    assert not await pools.create(pool_spec(a_claim(), total_max=1, facts=NodeFacts()))
    (failure,) = pools.failures(POOL)
    assert failure.retry_at > NOW
    pools.hurry(POOL)
    (hurried,) = pools.failures(POOL)
    assert (hurried.retry_at, hurried.finding) == (NOW, failure.finding)


async def test_after_an_operation_the_next_list_is_waited_for_and_serves_all_who_wait() -> None:
    now_s = 0.0
    cloud = FakeCloud(Kills(), clock=lambda: now_s)
    pools = CloudPools(cloud, clock=lambda: now_s, pace=CloudPace(list_interval_s=5.0, change_interval_s=0.0))
    assert await pools.find(POOL) is None
    now_s = 1.0
    assert await pools.create(pool_spec(a_claim(), total_max=1, facts=NodeFacts()))
    while await pools.follow(POOL, None):
        now_s += 0.1
    with pytest.raises(ListNotDueError) as early:
        await pools.find(POOL)
    assert early.value.wait_s == pytest.approx(5.0 - now_s)
    now_s = 5.0
    assert await pools.find(POOL) is not None
    assert await pools.find("another") is None
    assert cloud.calls.count("list") == 2


async def test_what_became_of_a_change_that_failed_is_looked_at_at_once() -> None:
    now_s = 0.0
    cloud = FakeCloud(Kills(), clock=lambda: now_s)
    cloud.refusals["create"] = [classify("UNAVAILABLE", "socket closed")]
    pools = CloudPools(cloud, clock=lambda: now_s, pace=CloudPace(list_interval_s=5.0, change_interval_s=0.0))
    await pools.find(POOL)
    now_s = 1.0
    assert not await pools.create(pool_spec(a_claim(), total_max=1, facts=NodeFacts()))
    assert await pools.find(POOL) is None
    assert cloud.calls.count("list") == 2
