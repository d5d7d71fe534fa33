"""What the operator says to do about a refusal: the right command for the right thing."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from mistral_operator.capacity import errors
from mistral_operator.capacity.advice import ClusterPlace, advise, cite
from mistral_operator.capacity.errors import CloudError, classify

PLACE = ClusterPlace("team-project", "us-central1-a", "serving")
ACT_AS = (
    "`gcloud iam service-accounts add-iam-policy-binding NODE_ACCOUNT --member PRINCIPAL"
    " --role roles/iam.serviceAccountUser --project team-project`"
)
NO_ACCESS = (
    'The user does not have access to service account "1-compute@developer.gserviceaccount.com". Ask a project owner to'
    " grant you the iam.serviceAccountUser role on the service account."
)
TOOLS = Path(__file__).parents[3] / "tools"


@pytest.mark.parametrize(
    ("code", "text", "command"),
    [
        (
            "",
            "Quota 'GPUS_ALL_REGIONS' exceeded.  Limit: 0.0 globally.",
            "gcloud compute project-info describe --project team-project",
        ),
        (
            "",
            "Quota 'NVIDIA_L4_GPUS' exceeded.  Limit: 1.0 in region us-east4.",
            "gcloud compute regions describe us-east4 --project team-project",
        ),
        (
            "PERMISSION_DENIED",
            "Compute Engine API (compute.googleapis.com) has not been used in project team-project before.",
            "gcloud services enable compute.googleapis.com --project team-project",
        ),
        (
            "PERMISSION_DENIED",
            "Kubernetes Engine API is disabled.",
            "gcloud services enable container.googleapis.com --project team-project",
        ),
        (
            "",
            "[NODE_SERVICE_ACCOUNT_MISSING_PERMISSIONS] x",
            "--member serviceAccount:NODE_ACCOUNT --role roles/container.defaultNodeServiceAccount",
        ),
        (
            "PERMISSION_DENIED",
            "the API server says of ContainerNodePools in namespace cloud: forbidden",
            "`kubectl apply --namespace cloud --filename deploy/rbac-config-connector.yaml`",
        ),
        (
            "PERMISSION_DENIED",
            "The user does not have iam.serviceAccounts.actAs on the nodes' service account.",
            ACT_AS,
        ),
        (
            "INVALID_ARGUMENT",
            NO_ACCESS,
            "`gcloud iam service-accounts add-iam-policy-binding 1-compute@developer.gserviceaccount.com",
        ),
        (
            "INVALID_ARGUMENT",
            "Machine type tpu7x-standard-4t needs GKE version 1.34.0-gke.2201000 or later, not 1.33.1-gke.100.",
            "--project team-project --master --cluster-version 1.34.0-gke.2201000",
        ),
    ],
)
def test_the_command_is_for_what_was_refused(code: str, text: str, command: str) -> None:
    assert command in advise(classify(code, text).finding, PLACE)


def test_nodes_are_never_let_run_as_every_account_of_the_project(monkeypatch: pytest.MonkeyPatch) -> None:
    for refusal in refusals_page(monkeypatch).REFUSALS:
        advice = advise(classify(refusal.code, refusal.text).finding, PLACE)
        assert "serviceAccountUser" not in advice or "gcloud projects" not in advice


def test_only_what_google_said_is_quoted_as_googles() -> None:
    said = classify("UNAVAILABLE", "The service is currently unavailable.")
    unsaid = classify("UNAVAILABLE", "no answer from GKE: Deadline Exceeded", verbatim=False)
    assert cite(said.finding) == 'GKE says: "The service is currently unavailable."'
    assert cite(said.finding, "Google").startswith("Google says:")
    assert cite(unsaid.finding) == "No answer from GKE: Deadline Exceeded."
    assert said.reason == unsaid.reason == "CloudUnavailable"


def test_a_version_that_flex_start_needs_is_advised_with_what_to_write_meanwhile() -> None:
    text = "Flex-start with g2-standard-8 needs GKE version 1.32.2-gke.1652000 or later, not 1.31.1-gke.1."
    advice = advise(classify("INVALID_ARGUMENT", text).finding, PLACE)
    assert "gcloud container clusters upgrade serving" in advice
    assert "consumption: Spot or OnDemand" in advice


def refusals_page(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(TOOLS))
    spec = importlib.util.spec_from_file_location("refusals_page", TOOLS / "refusals_page.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_has_a_row_for_every_reason_that_google_can_give(monkeypatch: pytest.MonkeyPatch) -> None:
    told = {classify(refusal.code, refusal.text).reason for refusal in refusals_page(monkeypatch).REFUSALS}
    known = {
        kind.reason
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, CloudError) and kind is not CloudError
    }
    assert told == known


def test_whatever_needs_somebody_comes_with_something_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """But for requests that are wrong in themselves, which only their text can tell."""
    page = refusals_page(monkeypatch)
    silent = [
        refusal.text
        for refusal in page.REFUSALS
        if not (error := classify(refusal.code, refusal.text)).retryable and not advise(error.finding, PLACE)
    ]
    assert silent == ["CONDITION_NOT_MET: Unsupported TPU configuration"]
