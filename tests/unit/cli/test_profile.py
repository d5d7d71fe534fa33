"""Which cluster a plan is made for when there is none to ask."""

import json
import re
from pathlib import Path

import click
import pytest
import yaml
from click.testing import CliRunner

from mistral_operator.cli.main import main
from mistral_operator.cli.profile import DEFAULT, assume_profile, profile_to_dict, read_profile
from mistral_operator.planning.nodes import NodeGroup, Taint
from mistral_operator.planning.types import ClusterProfile

PAGE = Path(__file__).parents[3] / "docs" / "provisioner-existing.md"


def test_the_model_of_the_page_is_planned_on_the_nodes_of_the_page(tmp_path: Path) -> None:
    files = dict(re.findall(r"```yaml\n# (\S+\.yaml)\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL))
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    words = ["plan", "-f", str(tmp_path / "model.yaml"), "--cluster-profile", str(tmp_path / "profile.yaml")]
    result = CliRunner().invoke(main, [*words, "-o", "json"])
    assert result.exit_code == 0, result.output
    chosen = json.loads(result.output)["plan"]["options"][0]
    assert (chosen["provisioner"], chosen["accelerator"], chosen["devices"]) == ("Existing", "h100-80", 1)
    assert chosen["hourly_cost"] is None


def test_the_default_says_that_it_is_assumed() -> None:
    assumption = assume_profile(None, None)
    assert assumption.profile == DEFAULT
    assert assumption.source.startswith("assumed")


def test_letters_are_zones_of_the_location() -> None:
    assumption = assume_profile(None, "europe-west4", ("a", "b", "europe-west4-c"))
    assert assumption.profile.location == "europe-west4"
    assert assumption.profile.zones == ("europe-west4-a", "europe-west4-b", "europe-west4-c")


def test_a_zone_as_location_is_the_only_zone_unless_others_are_named() -> None:
    zonal = assume_profile(None, "us-central1-a").profile
    assert (zonal.location, zonal.zones) == ("us-central1-a", ("us-central1-a",))
    assert assume_profile(None, "us-central1-a", ("b", "f")).profile.zones == ("us-central1-b", "us-central1-f")
    assert assume_profile(None, "us-central1", ("b",)).profile.zones == ("us-central1-b",)


def test_another_location_needs_zones() -> None:
    with pytest.raises(click.UsageError, match="--zones europe-west4-a,europe-west4-b"):
        assume_profile(None, "europe-west4")


def test_a_written_profile_is_read_back(tmp_path: Path) -> None:
    profile = ClusterProfile("GKE", "p", "europe-west4", "c", ("europe-west4-a",), "1.36", custom_metrics=True)
    file = tmp_path / "profile.yaml"
    file.write_text(yaml.safe_dump(profile_to_dict(profile)))
    assert read_profile(file) == profile


def test_nodes_are_written_in_the_words_of_kubernetes_and_read_back(tmp_path: Path) -> None:
    file = tmp_path / "profile.yaml"
    file.write_text("""
provider: None
nodes:
- labels: {nvidia.com/gpu.product: NVIDIA-L4, team: search}
  allocatable: {cpu: 11910m, memory: 41Gi, nvidia.com/gpu: 1}
  taints: [{key: dedicated, value: search, effect: NoSchedule}]
""")
    profile = read_profile(file)
    assert (profile.provider, profile.zones, profile.location) == ("None", (), "")
    assert profile.nodes == (
        NodeGroup(
            labels=(("nvidia.com/gpu.product", "NVIDIA-L4"), ("team", "search")),
            devices=(("nvidia.com/gpu", 1),),
            cpu=11,
            memory_gib=41,
            taints=(Taint("dedicated", "search"),),
        ),
    )
    file.write_text(yaml.safe_dump(profile_to_dict(profile)))
    assert read_profile(file) == profile


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("provider: None\nnodes: [{labels: {a: b}}]", "write nodes as a list of"),
        ("provider: None\nnodes: [{labels: {}, allocatable: {cpu: many}}]", "write nodes as a list of"),
        ("location: us-central1", "zones"),
        ("[]", "mapping"),
        ("location: x\nzones: [a]\nzone: b", "unknown field zone; known are provider"),
        ("a: [", "can't read"),
    ],
)
def test_a_wrong_profile_is_refused_with_what_to_write(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "profile.yaml"
    file.write_text(text)
    with pytest.raises(click.ClickException, match=message):
        read_profile(file)
