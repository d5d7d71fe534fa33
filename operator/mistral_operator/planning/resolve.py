"""From what a user wrote to what the catalogue has: the model and its license."""

from difflib import get_close_matches

from mistral_operator.api.model import MistralModelSpec
from mistral_operator.catalogue.model import Model
from mistral_operator.catalogue.types import Catalogue
from mistral_operator.planning.types import Plan, PlanRefused


def resolve_model(name: str, catalogue: Catalogue) -> tuple[Model, str] | PlanRefused:
    """Find a model by id, alias or repository; the second value is the repository's variant, or empty."""
    found = catalogue.model_names.get(name.lower())
    if found:
        return catalogue.models[found[0]], found[1]
    unserved = catalogue.unserved_names.get(name.lower())
    if unserved:
        return PlanRefused(
            "UnsupportedModel", f"spec.model: {unserved.name} is not served: {unserved.reason}; write another model"
        )
    known = list(catalogue.models)
    # Aliases and repositories count for likeness, but ids are what gets offered.
    near = get_close_matches(name.lower(), list(catalogue.model_names), n=6, cutoff=0.5)
    offered = list(dict.fromkeys(catalogue.model_names[item][0] for item in near))[:3] or known
    phrase = "the nearest are" if near else "known are"
    return PlanRefused(
        "UnknownModel",
        f"spec.model: {name} is not in the catalogue; {phrase} {', '.join(offered)}; write one of them"
        f"{catalogue.fault_text}",
    )


def check_pinned_license(spec: MistralModelSpec, plan: Plan, catalogue: Catalogue) -> PlanRefused | None:
    """Refuse a plan whose license is no longer accepted; a model that left the catalogue keeps its acceptance."""
    entry = catalogue.models.get(plan.model_id)
    return check_license(entry, spec) if entry else None


def check_license(model: Model, spec: MistralModelSpec) -> PlanRefused | None:
    """Refuse a model whose license has to be accepted by its id and is not."""
    accepted = spec.license.accept if spec.license else None
    wanted = model.license.id
    if not model.license.needs_acceptance or accepted == wanted:
        return None
    use = "forbids commercial use" if model.license.commercial_use == "no" else "restricts commercial use"
    found = f", but {accepted} is accepted" if accepted else ""
    return PlanRefused(
        "LicenseNotAccepted",
        f"{model.name} comes under {wanted}, which {use}{found}; read it, then write spec.license.accept: {wanted}",
    )
