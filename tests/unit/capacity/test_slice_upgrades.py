"""A slice whose version is behind: held back from GKE, upgraded when its turn has come, and what is told meanwhile."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.support.claim_cases import NOW, SETTINGS, USERS, a_failure, a_slice, an_operation, pool_of, slice_spec

from mistral_operator.api.names import DRIFT_ANNOTATION
from mistral_operator.capacity.claims.slice_upgrades import Sibling, SliceUpgrades, is_behind, turn_of
from mistral_operator.capacity.claims.sync import sync_claim
from mistral_operator.capacity.claims.types import Action, Call, ClaimOutcome, CreatePool, MendPool, Seen
from mistral_operator.capacity.port import (
    ClusterView,
    MaintenanceExclusion,
    PoolStatus,
    SetExclusion,
    SetManagement,
    SetVersion,
    UpgradeHold,
)

OLD, NEW = "1.36.3-gke.1000000", "1.36.10-gke.1000000"
CLUSTER = ClusterView(
    "p", "us-central1", "serving", ("us-central1-a",), NEW, autopilot=False, release_channel="REGULAR"
)
UNENROLLED = replace(CLUSTER, release_channel="")
MANUAL = replace(SETTINGS, slice_upgrades=SliceUpgrades.MANUAL)
BY_GKE = replace(SETTINGS, slice_upgrades=SliceUpgrades.BY_GKE)


def sibling(number: int, version: str = NEW, **changes: Any) -> Sibling:
    claim = a_slice(number)
    known = {"at_work": False, "ready": True, "serves": True, **changes}
    return Sibling(claim.metadata.name, turn_of(claim), version, **known)


def stands(number: int = 1, version: str = OLD, hold: UpgradeHold = UpgradeHold.EXCLUSION, **changes: Any) -> Any:
    return replace(pool_of(slice_spec(a_slice(number), hold)), version=version, **changes)


def decide(number: int = 1, settings: Any = SETTINGS, status: Any = None, **seen: Any) -> ClaimOutcome:
    known = {"pool": stands(number), "nodes": 4, "cluster": CLUSTER, "siblings": (sibling(0),), **seen}
    return sync_claim(a_slice(number, **(status or {})), Seen(users=USERS, **known), settings, NOW)


def ready(outcome: ClaimOutcome) -> tuple[str, str, str]:
    assert outcome.status is not None
    found = next(each for each in outcome.status["conditions"] if each["type"] == "Ready")
    return found["status"], found["reason"], found["message"]


UPGRADE = MendPool(stands().name, SetVersion(NEW))


def test_a_slice_is_upgraded_while_the_others_of_its_model_serve() -> None:
    outcome = decide()
    assert outcome.action == UPGRADE
    assert ready(outcome)[:2] == ("True", "SliceUpgrading")


def test_versions_are_compared_as_numbers() -> None:
    assert is_behind("1.36.9-gke.1", "1.36.10-gke.1")
    assert not is_behind("1.36.10-gke.1", "1.36.9-gke.1")
    assert not is_behind("", NEW)
    assert not is_behind("latest", NEW)


@pytest.mark.parametrize(
    ("siblings", "words"),
    [
        ((sibling(0, OLD),), "is upgraded before it"),
        ((sibling(0, at_work=True),), "GKE works on slice"),
        ((sibling(2, OLD, at_work=True),), "GKE works on slice"),
        ((sibling(0, ready=False),), "isn't ready"),
        ((sibling(0), sibling(2, serves=False)), "doesn't answer yet"),
    ],
)
def test_it_waits_for_its_turn_and_for_the_others(siblings: tuple[Sibling, ...], words: str) -> None:
    outcome = decide(siblings=siblings)
    assert outcome.action is None
    status, reason, message = ready(outcome)
    assert (status, reason) == ("True", "WaitsForSibling")
    assert words in message


def test_one_that_has_its_turn_later_holds_up_nobody() -> None:
    assert decide(siblings=(sibling(0), sibling(2, OLD))).action == UPGRADE


@pytest.mark.parametrize(
    ("seen", "settings", "words"),
    [
        ({"siblings": ()}, SETTINGS, "no other slice of the model would answer meanwhile"),
        ({}, MANUAL, "the operator was told to leave that to you"),
        ({"cluster": replace(CLUSTER, has_window=True)}, SETTINGS, "has a maintenance window"),
        (
            {"cluster": replace(CLUSTER, exclusions=(MaintenanceExclusion("launch", NOW, NOW + timedelta(hours=1)),))},
            SETTINGS,
            "maintenance exclusion launch holds",
        ),
        (
            {"cluster": replace(CLUSTER, exclusions=(MaintenanceExclusion("launch", None, None),))},
            SETTINGS,
            "maintenance exclusion launch holds",
        ),
    ],
)
def test_what_the_operator_does_not_upgrade_is_told_with_the_command(seen: Any, settings: Any, words: str) -> None:
    outcome = decide(settings=settings, **seen)
    assert outcome.action is None
    status, reason, message = ready(outcome)
    assert (status, reason) == ("True", "SliceOutdated")
    assert words in message
    command = f"gcloud container clusters upgrade serving --node-pool {stands().name} --cluster-version {NEW}"
    assert f"`{command} --location us-central1 --project team-project`" in message


@pytest.mark.parametrize(
    "exclusion",
    [
        MaintenanceExclusion("over", NOW - timedelta(hours=2), NOW),
        MaintenanceExclusion("later", NOW + timedelta(hours=2), None),
        MaintenanceExclusion("minor", None, None, minor_only=True),
    ],
)
def test_an_exclusion_that_does_not_cover_it_is_none(exclusion: MaintenanceExclusion) -> None:
    assert decide(cluster=replace(CLUSTER, exclusions=(exclusion,))).action == UPGRADE


def test_an_exclusion_of_minor_versions_holds_those() -> None:
    found = replace(CLUSTER, exclusions=(MaintenanceExclusion("minor", None, None, minor_only=True),))
    assert ready(decide(cluster=found, pool=stands(version="1.35.9-gke.1")))[1] == "SliceOutdated"


@pytest.mark.parametrize(
    "seen",
    [
        {"pool": stands(version=NEW)},
        {"pool": stands(status=PoolStatus.RECONCILING)},
        {"cluster": None},
        {"cluster": replace(CLUSTER, version="")},
    ],
)
def test_nothing_is_said_where_nothing_is_behind_or_known(seen: Any) -> None:
    outcome = decide(**seen)
    assert (outcome.action, ready(outcome)[1]) == (None, "PoolReady")


def test_an_upgrade_under_way_is_told_and_the_slice_stays_what_it_was() -> None:
    status = {"conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-11-23T11:00:00Z"}]}
    outcome = decide(operation=an_operation(Call.UPGRADE), pool=None, status=status)
    assert (outcome.action, ready(outcome)[:2]) == (None, ("True", "SliceUpgrading"))
    assert outcome.status is not None
    assert (outcome.status["state"], outcome.status["operation"]["type"]) == ("Upgrading", "UPGRADE_NODES")


def test_a_refused_upgrade_is_quoted_and_tried_later() -> None:
    outcome = decide(failures=(a_failure(Call.UPGRADE, "Node version is not supported.", code="INVALID_ARGUMENT"),))
    assert outcome.action is None
    assert ready(outcome)[0] == "True"
    assert "Node version is not supported." in ready(outcome)[2]
    assert not outcome.settled


@pytest.mark.parametrize(
    ("cluster", "settings", "hold"),
    [
        (CLUSTER, SETTINGS, UpgradeHold.EXCLUSION),
        (CLUSTER, MANUAL, UpgradeHold.EXCLUSION),
        (UNENROLLED, SETTINGS, UpgradeHold.SWITCHED_OFF),
        (CLUSTER, BY_GKE, UpgradeHold.NONE),
        (None, SETTINGS, UpgradeHold.NONE),
    ],
)
def test_a_slice_is_made_held_as_the_cluster_allows_it(cluster: Any, settings: Any, hold: UpgradeHold) -> None:
    action = decide(settings=settings, cluster=cluster, pool=None).action
    assert isinstance(action, CreatePool)
    assert action.spec.hold is hold


@pytest.mark.parametrize(
    ("pool", "cluster", "settings", "mend"),
    [
        (stands(hold=UpgradeHold.NONE), CLUSTER, SETTINGS, SetExclusion(True)),
        (stands(hold=UpgradeHold.NONE), UNENROLLED, SETTINGS, "auto_upgrade off"),
        (stands(hold=UpgradeHold.SWITCHED_OFF), CLUSTER, SETTINGS, SetExclusion(True)),
        (stands(), CLUSTER, BY_GKE, SetExclusion(False)),
    ],
)
def test_a_slice_of_before_is_held_before_it_is_upgraded(pool: Any, cluster: Any, settings: Any, mend: Any) -> None:
    action = decide(settings=settings, cluster=cluster, pool=pool).action
    assert isinstance(action, MendPool)
    if isinstance(action.mend, SetManagement):
        assert (mend, action.mend.upkeep.auto_upgrade) == ("auto_upgrade off", False)
    else:
        assert action.mend == mend


def test_where_changes_are_only_reported_a_slice_that_is_not_held_is_left_to_gke() -> None:
    claim = a_slice(1)
    annotated = claim.model_copy(
        update={"metadata": claim.metadata.model_copy(update={"annotations": {DRIFT_ANNOTATION: "Report"}})}
    )
    seen = Seen(users=USERS, pool=stands(hold=UpgradeHold.NONE), nodes=4, cluster=CLUSTER, siblings=(sibling(0),))
    outcome = sync_claim(annotated, seen, SETTINGS, NOW)
    assert outcome.action is None
    assert "exclusion from automatic upgrades is off, not on" in ready(outcome)[2]


def test_a_slice_whose_cluster_cannot_be_asked_about_keeps_its_hold() -> None:
    for hold in UpgradeHold:
        none: Action | None = decide(pool=stands(hold=hold), cluster=None).action
        assert none is None
