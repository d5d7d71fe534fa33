"""What cluster to plan for when there is none to ask: a file, flags, or a stated default."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import click
import yaml

from mistral_operator.planning.types import ClusterProfile

DEFAULT: Final = ClusterProfile(
    provider="GKE",
    project="",
    location="us-central1",
    cluster="",
    zones=("us-central1-a", "us-central1-b", "us-central1-c", "us-central1-f"),
    leader_worker_set=True,
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
}


@dataclass(frozen=True, slots=True)
class Assumption:
    """A cluster profile and where it comes from."""

    profile: ClusterProfile
    source: str
    classes: tuple[Mapping[str, Any], ...] = ()
    """The cluster's MistralServingClasses."""


def assume_profile(file: Path | None, location: str | None, zones: str | None) -> Assumption:
    """Take the file's profile, else the default; `location` and comma-separated `zones` replace its own."""
    profile = read_profile(file) if file else DEFAULT
    source = f"from {file}" if file else "assumed; give yours with --cluster-profile, or --location and --zones"
    if location is None and zones is None:
        return Assumption(profile, source)
    place = location or profile.location
    return Assumption(
        ClusterProfile(
            provider=profile.provider,
            project=profile.project,
            location=place,
            cluster=profile.cluster,
            zones=_name_zones(profile, place, zones),
            version=profile.version,
            custom_metrics=profile.custom_metrics,
            leader_worker_set=profile.leader_worker_set,
        ),
        "from the command line",
    )


def _name_zones(profile: ClusterProfile, location: str, zones: str | None) -> tuple[str, ...]:
    is_zone = re.fullmatch(_ZONE, location) is not None
    if zones is None:
        if is_zone:
            return (location,)
        if location != profile.location:
            raise click.UsageError(f"say which zones of {location} the cluster has: --zones {location}-a,{location}-b")
        return profile.zones
    named = [zone.strip() for zone in zones.split(",") if zone.strip()]
    # A single letter is a zone of the region: a means us-central1-a.
    region = location.rpartition("-")[0] if is_zone else location
    return tuple(f"{region}-{zone}" if len(zone) == 1 else zone for zone in named)


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
    unknown = sorted(set(content) - set(_FIELDS))
    if unknown:
        raise ValueError(f"unknown field {', '.join(unknown)}; known are {', '.join(_FIELDS)}")
    zones = content.get("zones")
    if not isinstance(content.get("location"), str) or not isinstance(zones, list) or not zones:
        raise ValueError("write location: us-central1 and zones: [us-central1-a, …]")
    given = {_FIELDS[key]: value for key, value in content.items()} | {"zones": tuple(str(zone) for zone in zones)}
    return ClusterProfile(**({"provider": "GKE", "project": "", "cluster": ""} | given))


def profile_to_dict(profile: ClusterProfile) -> dict[str, Any]:
    """The profile as `read_profile` reads it."""
    return {
        key: list(profile.zones) if key == "zones" else getattr(profile, attribute)
        for key, attribute in _FIELDS.items()
    }
