"""The inputs of one `sync`, written down and read back: what `status --export-inputs` saves and `render` replays."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from decimal import Decimal
from typing import Any

from mistral_operator.api.model import MistralModel
from mistral_operator.core.types import Observed
from mistral_operator.planning.types import ClusterProfile, Settings


@dataclass(frozen=True, slots=True)
class Inputs:
    """Everything that `sync` is given besides the catalogue, which comes with the version."""

    model: Mapping[str, Any]
    """The live MistralModel as the API server has it."""
    observed: Observed
    settings: Settings
    now: datetime

    def parse_model(self) -> MistralModel:
        """The model in its typed form."""
        return MistralModel.model_validate(self.model)


def inputs_to_dict(inputs: Inputs) -> dict[str, Any]:
    """Write the inputs as JSON; money as strings."""
    observed = {f.name: getattr(inputs.observed, f.name) for f in fields(Observed)}
    prices = {m: {c: str(p) for c, p in by.items()} for m, by in inputs.settings.prices.items()}
    settings = {f.name: getattr(inputs.settings, f.name) for f in fields(Settings)}
    return {
        "model": dict(inputs.model),
        "observed": {**{k: _plain(v) for k, v in observed.items()}, "cluster": asdict(inputs.observed.cluster)},
        "settings": {**settings, "images": dict(inputs.settings.images), "prices": prices},
        "now": inputs.now.isoformat(),
    }


def inputs_from_dict(stored: Mapping[str, Any]) -> Inputs:
    """Read what `inputs_to_dict` wrote."""
    observed, settings = dict(stored["observed"]), dict(stored["settings"])
    cluster = read_cluster_profile(observed.pop("cluster"))
    prices = {m: {c: Decimal(p) for c, p in by.items()} for m, by in settings.pop("prices", {}).items()}
    return Inputs(
        model=stored["model"],
        observed=Observed(cluster=cluster, **{name: tuple(objects) for name, objects in observed.items()}),
        settings=Settings(**settings, prices=prices),
        now=datetime.fromisoformat(stored["now"]),
    )


def read_cluster_profile(stored: Mapping[str, Any]) -> ClusterProfile:
    """Read a cluster profile; unknown keys are errors (TypeError)."""
    return ClusterProfile(**{**stored, "zones": tuple(stored["zones"])})


def _plain(value: Any) -> Any:
    return [dict(item) for item in value] if isinstance(value, tuple) else value
