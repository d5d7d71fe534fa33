"""Every autoscaler that can be rendered, by its name in `spec.scaling.autoscaler`: one module and one line here."""

from collections.abc import Mapping
from typing import Final

from mistral_operator.api.model import MistralModel
from mistral_operator.autoscaling.hpa import Hpa
from mistral_operator.autoscaling.none import NoAutoscaler
from mistral_operator.autoscaling.protocol import Autoscaler

AUTOSCALERS: Final[Mapping[str, Autoscaler]] = {scaler.name: scaler for scaler in (Hpa(), NoAutoscaler())}


def choose_autoscaler(model: MistralModel) -> Autoscaler:
    """Take the asked one; without a word, an HPA where there is room to scale and none where there isn't.

    One that isn't built counts as none: a spec that asks for it is refused by name before anything is rendered.
    """
    scaling = model.spec.scaling
    if scaling is None or scaling.max_replicas is None:
        return AUTOSCALERS["None"]
    return AUTOSCALERS.get(scaling.autoscaler or "HPA", AUTOSCALERS["None"])
