"""Which cluster a command is about."""

from pathlib import Path

import pytest
import yaml

from mistral_operator.cli.place import Named, find_cluster_place, read_gcloud_name


def kubeconfig(tmp_path: Path, cluster: str) -> Path:
    context = {"name": "renamed-by-its-user", "context": {"cluster": cluster, "user": "me"}}
    file = tmp_path / "config"
    file.write_text(yaml.safe_dump({"current-context": "renamed-by-its-user", "contexts": [context]}))
    return file


def test_the_kubeconfig_of_gcloud_names_the_cluster(tmp_path: Path) -> None:
    file = kubeconfig(tmp_path, "gke_team-project_us-central1_serving")
    place = find_cluster_place(Named(), file)
    assert (place.project, place.location, place.cluster) == ("team-project", "us-central1", "serving")


def test_an_option_goes_before_the_kubeconfig(tmp_path: Path) -> None:
    file = kubeconfig(tmp_path, "gke_team-project_us-central1_serving")
    assert find_cluster_place(Named(cluster="other"), file).cluster == "other"


def test_a_list_of_kubeconfigs_is_read_up_to_the_one_with_a_context(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = kubeconfig(tmp_path, "gke_team-project_us-central1-a_serving")
    monkeypatch.setenv("KUBECONFIG", f"{tmp_path / 'missing'}:{file}")
    assert read_gcloud_name(None) == Named("team-project", "us-central1-a", "serving")


@pytest.mark.parametrize("content", ["", "[]", "current-context: x", ": :", "current-context: x\ncontexts: [{}]"])
def test_what_is_no_kubeconfig_of_gcloud_names_nothing(tmp_path: Path, content: str) -> None:
    file = tmp_path / "config"
    file.write_text(content)
    assert read_gcloud_name(file) == Named()
    assert read_gcloud_name(kubeconfig(tmp_path, "kind-kind")) == Named()
