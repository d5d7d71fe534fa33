"""Everything that one call of `core.sync` is given, as one document: recorded from a cluster, used without one."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import click
import yaml

from mistral_operator.api.model import MistralModel
from mistral_operator.cli.documents import LOADER, read_model
from mistral_operator.cli.profile import profile_from_dict, profile_to_dict
from mistral_operator.cli.settings import load_knowledge
from mistral_operator.core.sync import sync
from mistral_operator.core.types import Manifest, Observed, Outcome, PoolUse
from mistral_operator.planning.types import LadderSettings, Settings

KIND: Final = "SyncInputs"
_OBJECTS: Final = {
    "children": "children",
    "pods": "pods",
    "podEvents": "pod_events",
    "claims": "claims",
    "machines": "machines",
    "servingClasses": "serving_classes",
}


@dataclass(frozen=True, slots=True)
class Inputs:
    """The arguments of `core.sync`, besides the catalogue."""

    model: Mapping[str, Any]
    """The MistralModel as the API server has it."""
    observed: Observed
    settings: Settings
    now: datetime

    def sync(self, catalogue_directory: Path | None = None) -> Outcome:
        """What the operator does with them, and with the extension of its catalogue in a directory."""
        catalogue, settings = load_knowledge(catalogue_directory, self.settings)
        return sync(self.parse(), self.observed, catalogue, settings, self.now)

    def parse(self) -> MistralModel:
        """The model as a type."""
        return read_model(self.model, "the recorded model")


def inputs_to_dict(inputs: Inputs) -> dict[str, Any]:
    """The document that `read_inputs` reads."""
    settings = inputs.settings
    return {
        "kind": KIND,
        "now": inputs.now.astimezone(UTC).isoformat(),
        "cluster": profile_to_dict(inputs.observed.cluster),
        "settings": {
            "operatorVersion": settings.operator_version,
            "images": dict(settings.images),
            "prices": {
                machine: {how: str(price) for how, price in prices.items()}
                for machine, prices in settings.prices.items()
            },
            "priceNote": settings.price_note,
            "claimIdleAfterSeconds": settings.claim_idle_after_s,
            "ladder": asdict(settings.ladder),
        },
        "model": dict(inputs.model),
        **{key: [dict(item) for item in getattr(inputs.observed, name)] for key, name in _OBJECTS.items()},
        "nodes": dict(inputs.observed.nodes),
        "pools": {claim: asdict(use) for claim, use in inputs.observed.pools.items()},
    }


def inputs_from_dict(content: Mapping[str, Any]) -> Inputs:
    """Raises KeyError, TypeError or ValueError where the document isn't one of `inputs_to_dict`."""
    settings = content["settings"]
    objects: dict[str, Any] = {name: tuple(content.get(key) or ()) for key, name in _OBJECTS.items()}
    return Inputs(
        model=content["model"],
        observed=Observed(
            cluster=profile_from_dict(content["cluster"]),
            nodes=content.get("nodes") or {},
            pools={claim: PoolUse(**use) for claim, use in (content.get("pools") or {}).items()},
            **objects,
        ),
        settings=Settings(
            operator_version=settings["operatorVersion"],
            images=settings.get("images") or {},
            prices={
                machine: {how: Decimal(price) for how, price in prices.items()}
                for machine, prices in (settings.get("prices") or {}).items()
            },
            price_note=settings.get("priceNote", ""),
            claim_idle_after_s=settings.get("claimIdleAfterSeconds", 0),
            ladder=LadderSettings(**settings.get("ladder") or {}),
        ),
        now=datetime.fromisoformat(content["now"]),
    )


def read_inputs(file: Path) -> Inputs:
    """Read what `status NAME --export-inputs` wrote."""
    try:
        content = yaml.load(file.read_text(encoding="utf-8"), LOADER)  # noqa: S506
        if not isinstance(content, dict) or content.get("kind") != KIND:
            raise ValueError(f"its kind is not {KIND}")
        return inputs_from_dict(content)
    except (OSError, yaml.YAMLError, KeyError, TypeError, ValueError) as error:
        raise click.ClickException(
            f"{file} holds no recorded inputs ({error!r}); "
            "make some with `mistral-operator status NAME --export-inputs FILE`"
        ) from None


def ordered_manifests(outcome: Outcome) -> list[Manifest]:
    """What gets applied, in an order that works: revisions, then the claims they name, then the rest."""
    revisions = [manifest for manifest in outcome.manifests if manifest["kind"] == "ControllerRevision"]
    others = [manifest for manifest in outcome.manifests if manifest["kind"] != "ControllerRevision"]
    return [*revisions, *outcome.claims, *others]


def to_yaml(document: Mapping[str, Any]) -> str:
    """One YAML document, keys in the order given, long strings on one line."""
    return yaml.dump(dict(document), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=10_000)


class _Dumper(yaml.SafeDumper):
    """Writes shared parts twice, where YAML would make anchors of them."""

    def ignore_aliases(self, data: Any) -> bool:
        return True
