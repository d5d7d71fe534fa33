"""What cluster to plan for when there is none to ask: a file, flags, or a stated default."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import click
import yaml

from mistral_operator.planning.nodes import NodeGroup, merge_groups, read_group, read_taints
from mistral_operator.planning.provisioner_advice import GKE
from mistral_operator.planning.types import ClusterProfile, Provisioner

DEFAULT: Final = ClusterProfile(
    provider="GKE",
    project="",
    location="us-central1",
    cluster="",
    zones=("us-central1-a", "us-central1-b", "us-central1-c", "us-central1-f"),
    leader_worker_set=True,
    provisioners=tuple(Provisioner),
)

_ZONE: Final = "[a-z]+-[a-z]+[0-9]+-[a-z]"
_FIELDS: Final = {
    "provider": "provider",
    "project": "project",
    "location": "location",
    "cluster": "cluster",
    "zones": "zones",
    "version": "version",
    "customMetrics": "custom_metrics",
    "leaderWorkerSet": "leader_worker_set",
    "autopilot": "autopilot",
    "provisioners": "provisioners",
}


@dataclass(frozen=True, slots=True)
class Assumption:
    """A cluster profile and where it comes from."""

    profile: ClusterProfile
    source: str
    live: bool = False
    """Whether Google is asked about the plan."""
    classes: tuple[Mapping[str, Any], ...] = ()
    """The cluster's MistralServingClasses."""


def assume_profile(file: Path | None, location: str | None, zones: tuple[str, ...] = ()) -> Assumption:
    """Take the file's profile, else the default; `location` and `zones` replace its own."""
    profile = read_profile(file) if file else DEFAULT
    source = f"from {file}" if file else "assumed; give yours with --cluster-profile, or --location and --zones"
    if location is None and not zones:
        return Assumption(profile, source)
    place = location or profile.location
    return Assumption(
        replace(profile, location=place, zones=_name_zones(profile, place, zones)),
        "from the command line",
    )


def _name_zones(profile: ClusterProfile, location: str, zones: tuple[str, ...]) -> tuple[str, ...]:
    is_zone = re.fullmatch(_ZONE, location) is not None
    if not zones:
        if is_zone:
            return (location,)
        if location != profile.location:
            raise click.UsageError(f"say which zones of {location} the cluster has: --zones {location}-a,{location}-b")
        return profile.zones
    # A single letter is a zone of the region: a means us-central1-a.
    region = location.rpartition("-")[0] if is_zone else location
    return tuple(f"{region}-{zone}" if len(zone) == 1 else zone for zone in zones)


def read_profile(file: Path) -> ClusterProfile:
    """Read a profile from YAML or JSON with the keys of `profile_to_dict`; only `location` and `zones` are needed."""
    try:
        content = yaml.safe_load(file.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise click.ClickException(f"can't read the cluster profile {file}: {error}") from None
    if not isinstance(content, dict):
        raise click.ClickException(f"{file} must hold a mapping with location and zones")
    try:
        return profile_from_dict(content)
    except ValueError as error:
        raise click.ClickException(f"{file}: {error}") from None


def profile_from_dict(content: Mapping[str, Any]) -> ClusterProfile:
    """Raises ValueError that says what to write."""
    unknown = sorted(set(content) - {*_FIELDS, "nodes"})
    if unknown:
        raise ValueError(f"unknown field {', '.join(unknown)}; known are {', '.join((*_FIELDS, 'nodes'))}")
    zones, elsewhere = content.get("zones", []), content.get("provider", GKE) != GKE
    if not elsewhere and not (isinstance(content.get("location"), str) and isinstance(zones, list) and zones):
        raise ValueError("write location: us-central1 and zones: [us-central1-a, …]")
    given = {_FIELDS[key]: value for key, value in content.items() if key in _FIELDS} | {
        "zones": tuple(str(zone) for zone in zones),
        "provisioners": _read_provisioners(content.get("provisioners", list(Provisioner))),
        "nodes": None if content.get("nodes") is None else merge_groups(map(_read_nodes, content["nodes"])),
    }
    return ClusterProfile(**({"provider": GKE, "project": "", "location": "", "cluster": ""} | given))


def _read_provisioners(names: Any) -> tuple[Provisioner, ...]:
    try:
        return tuple(map(Provisioner, names))
    except (TypeError, ValueError):
        raise ValueError(f"write provisioners as a list of some of {', '.join(Provisioner)}") from None


def _read_nodes(node: Any) -> NodeGroup:
    """One kind of node, in the words of a Node object."""
    try:
        labels = {str(key): str(value) for key, value in node["labels"].items()}
        return read_group(labels, node["allocatable"], read_taints(node))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(
            "write nodes as a list of {labels: {…}, allocatable: {cpu: 11, memory: 40Gi, nvidia.com/gpu: 1}, taints:"
            f" [{{key: …, effect: NoSchedule}}]}} ({error!r})"
        ) from None


def _write_nodes(group: NodeGroup) -> dict[str, Any]:
    taints = [{"key": item.key, "value": item.value, "effect": item.effect} for item in group.taints]
    return {
        "labels": dict(group.labels),
        "allocatable": {"cpu": str(group.cpu), "memory": f"{group.memory_gib}Gi"}
        | {resource: str(count) for resource, count in group.devices},
        **({"taints": taints} if taints else {}),
    }


def profile_to_dict(profile: ClusterProfile) -> dict[str, Any]:
    """The profile as `read_profile` reads it."""
    lists = {"zones": list(profile.zones), "provisioners": [item.value for item in profile.provisioners]}
    nodes = {} if profile.nodes is None else {"nodes": list(map(_write_nodes, profile.nodes))}
    return {key: lists.get(key, getattr(profile, attribute)) for key, attribute in _FIELDS.items()} | nodes
