"""What a model's serving class says of it: the one place where limits and defaults meet a spec. Pure.

A class limits what is planned, and what may be spent. A plan that is pinned runs on when its class changes or goes; it
only gets no more replicas than the class pays for.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from fnmatch import fnmatchcase
from typing import Any, Final

from pydantic import ValidationError

from mistral_operator.api.capacity import Capacity
from mistral_operator.api.common import dollars
from mistral_operator.api.engine import Engine, EngineType
from mistral_operator.api.model import MistralModel, MistralModelSpec
from mistral_operator.api.names import CLASS_KIND, DEFAULT_CLASS_ANNOTATION
from mistral_operator.api.part import ModelPart
from mistral_operator.api.serving_class import (
    MistralServingClass,
    ModelField,
    ServingClassDefaults,
    ServingClassLimits,
)
from mistral_operator.api.weights import CacheMode, Weights, WeightsCache
from mistral_operator.planning.existing import own_selector
from mistral_operator.planning.terms import NO_TERMS, Terms, check_option
from mistral_operator.planning.types import Plan, PlanRefused
from mistral_operator.status.findings import Finding

_MOST_LABELS: Final = 32
"""So many resource labels a NodePoolClaim takes."""


@dataclass(frozen=True, slots=True)
class Ruling:
    """What the class that applies says of a model; of a model without a class, nothing."""

    model: MistralModel
    """With the class's defaults where the spec says nothing, and with the lower one of the limits on what it costs."""
    name: str = ""
    """The class that applies; empty where there is none, or none of that name."""
    terms: Terms = NO_TERMS
    refused: PlanRefused | None = None
    """Why the class, or the want of it, lets nothing be planned for this spec."""
    missing: bool = False
    """Whether the class isn't there, or can't be read: then nothing is known of its limits."""
    doubts: str = ""
    """Names of all classes that are marked as the default, where this is the newest of several."""

    def find_breach(self, plan: Plan) -> PlanRefused | None:
        """Why the class doesn't allow a plan that was pinned under other terms; None where it does."""
        if self.refused:
            return self.refused
        misfit = check_option(self.terms, plan.chosen)
        if misfit is None:
            return None
        option = plan.chosen
        what = f"{option.accelerator} ({option.machine_type}, {option.consumption.value})"
        return PlanRefused(misfit.reason, f"the pinned plan's {what} is not allowed now: {misfit.message}; write other"
                           " hardware in spec.capacity.options to have it planned anew")  # fmt: skip


def rule(model: MistralModel, classes: Sequence[Mapping[str, Any]]) -> Ruling:
    """Find the class of a model among all classes of the cluster, as the API server has them, and apply it."""
    named = model.spec.serving_class_name
    chosen = find_class(named, classes)
    if chosen is None:
        return _miss(model, named, classes) if named else Ruling(model)
    source = f"{CLASS_KIND} {_name(chosen)}"
    try:
        parsed = MistralServingClass.model_validate(chosen)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        message = f"{source} can't be read by this version of the operator: {where}: {first['msg']}; write it anew"
        return Ruling(model, refused=PlanRefused("ServingClassUnreadable", message), missing=True)
    limits, extras = parsed.spec.limits or ServingClassLimits(), parsed.spec.defaults or ServingClassDefaults()
    terms, defaults = _read_terms(source, limits, extras), _sort_defaults(classes)
    return Ruling(
        model=lower_cost(_add_defaults(model, extras), terms.hourly_cost_limit),
        name=_name(chosen),
        terms=terms,
        refused=_check_namespace(model, parsed, source) or _check_spec(model.spec, limits, extras, source),
        doubts="" if named or len(defaults) == 1 else ", ".join(map(_name, defaults)),
    )


def find_class(named: str | None, classes: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """The class that a model names, else the newest of those that are marked as the default."""
    if named:
        return next((item for item in classes if _name(item) == named), None)
    return max(_sort_defaults(classes), key=_created, default=None)


def _sort_defaults(classes: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return sorted((item for item in classes if is_default(item)), key=_name)


def list_image_caches(classes: Sequence[Mapping[str, Any]]) -> frozenset[str]:
    """The disk images that any class of the cluster gives, as the API server has it."""
    given = ((item.get("spec") or {}).get("defaults") or {} for item in classes)
    return frozenset(str(each.get("diskImage")) for defaults in given for each in defaults.get("imageCaches") or ())


def annotate(ruling: Ruling, accepted: Finding) -> Finding:
    """Say under which class a model is, and whatever the answer, that somebody has marked several as the default."""
    if not ruling.name or not (accepted.holds or ruling.doubts):
        return accepted
    doubts = f", the newest of those marked as the default ({ruling.doubts}): leave only one marked"
    remark = f"It is under {ruling.terms.source}{doubts if ruling.doubts else ''}."
    return replace(accepted, message=f"{accepted.message.rstrip('.')}. {remark}")


def bound_spend(
    ruling: Ruling, model: MistralModel, plan: Plan, *, accepted: bool, pinned: bool, standing: int, current: bool
) -> MistralModel:
    """The model with as many replicas, and as high a limit, as its class pays for.

    What stands of a pinned plan stays, however low the limit has become since: it only gets no more, and neither does
    a model whose class isn't for it, or not for what it runs on: to name another one must not be a way out of a limit.
    `standing` are the replicas that its workload is asked for now, and `current` says whether they are of this plan:
    those of a cheaper one pay for nothing.
    """
    kept = standing if pinned else 0
    price, limit = plan.chosen.hourly_cost, ruling.terms.hourly_cost_limit
    outside = (ruling.refused and not accepted) or (pinned and ruling.find_breach(plan) is not None)
    if outside or (limit is not None and price is None):
        return _change(model, replicas=min(model.spec.replicas, kept))
    if limit is None or price is None:
        return model
    others = model.others_cost if isinstance(model, ModelPart) else Decimal(0)
    paid = plan.chosen.cost_of(kept) or price
    return lower_cost(model, max(limit, paid + others) if current and kept else limit)


def name_spend_limit(ruling: Ruling, model: MistralModel) -> str:
    """Whose limit is the lower one, as a path that a reader finds."""
    limit = ruling.terms.hourly_cost_limit
    own = model.spec.capacity.max_hourly_cost if model.spec.capacity else None
    if limit is None or (own is not None and dollars(own) <= limit):
        return "spec.capacity.maxHourlyCost"
    return ruling.terms.cost_field


def lower_cost(model: MistralModel, limit: Decimal | None) -> MistralModel:
    """Within a limit on all that it costs, also while replicas move."""
    if limit is None:
        return model
    capacity = model.spec.capacity or Capacity()
    own, surge = capacity.max_hourly_cost, capacity.max_surge_hourly_cost
    most = limit if own is None else min(limit, dollars(own))
    extra = None if surge is None else str(min(dollars(surge), limit - most))
    changed = {"max_hourly_cost": str(most), "max_surge_hourly_cost": extra}
    return _change(model, capacity=capacity.model_copy(update=changed))


def _name(stored: Mapping[str, Any]) -> str:
    return str(stored["metadata"]["name"])


def is_default(stored: Mapping[str, Any]) -> bool:
    """Whether a class, as the API server has it, is marked as the default."""
    return (stored["metadata"].get("annotations") or {}).get(DEFAULT_CLASS_ANNOTATION) == "true"


def _created(stored: Mapping[str, Any]) -> str:
    """RFC 3339 in UTC, so that text sorts as time."""
    return str(stored["metadata"].get("creationTimestamp") or "")


def _miss(model: MistralModel, named: str, classes: Sequence[Mapping[str, Any]]) -> Ruling:
    known = ", ".join(sorted(map(_name, classes)))
    advice = f"write one of {known}, or leave it out" if known else "there is none; leave it out"
    message = f"spec.servingClassName: the cluster has no {CLASS_KIND} {named}; {advice}"
    return Ruling(model, refused=PlanRefused("ServingClassNotFound", message), missing=True)


def _read_terms(source: str, limits: ServingClassLimits, defaults: ServingClassDefaults) -> Terms:
    return Terms(
        source=source,
        accelerators=limits.accelerators,
        consumption=tuple(mode.value for mode in limits.consumption),
        zones=limits.zones,
        max_hourly_cost=_read_money(limits.max_hourly_cost),
        max_total_hourly_cost=_read_money(limits.max_total_hourly_cost),
        images=tuple((item.engine.value, item.image) for item in defaults.images),
        provisioners=tuple(item.value for item in limits.provisioners),
        image_caches=tuple((item.engine.value, item.disk_image) for item in defaults.image_caches),
    )


def _read_money(money: str | None) -> Decimal | None:
    return None if money is None else dollars(money)


def _check_namespace(model: MistralModel, found: MistralServingClass, source: str) -> PlanRefused | None:
    allowed, namespace = found.spec.allowed_namespaces, model.metadata.namespace
    if not allowed or any(fnmatchcase(namespace, pattern) for pattern in allowed):
        return None
    return PlanRefused(
        "NamespaceNotAllowed",
        f"{source} is not for namespace {namespace}, only for {', '.join(allowed)}; name another class in"
        " spec.servingClassName",
    )


def _check_spec(
    spec: MistralModelSpec, limits: ServingClassLimits, defaults: ServingClassDefaults, source: str
) -> PlanRefused | None:
    labels = {**defaults.resource_labels, **spec.resource_labels}
    if len(labels) > _MOST_LABELS:
        return PlanRefused(
            "TooManyResourceLabels",
            f"spec.resourceLabels and those of {source} are {len(labels)} together, and node pools get {_MOST_LABELS}"
            f" at most; remove {len(labels) - _MOST_LABELS}",
        )
    return _check_fields(spec, limits, source)


def _check_fields(spec: MistralModelSpec, limits: ServingClassLimits, source: str) -> PlanRefused | None:
    engine, advice = spec.engine or Engine(), f"is not allowed by {source}; leave it out"
    if ModelField.ENGINE_IMAGE in limits.forbidden_fields and engine.image:
        return PlanRefused("ImageNotAllowed", f"spec.engine.image {advice}")
    if ModelField.ENGINE_EXTRA_ARGS in limits.forbidden_fields and engine.extra_args:
        return PlanRefused("ExtraArgsNotAllowed", f"spec.engine.extraArgs {advice}")
    if ModelField.ENGINE_ENV in limits.forbidden_fields and engine.env:
        return PlanRefused("EnvNotAllowed", f"spec.engine.env {advice}")
    if ModelField.POD in limits.forbidden_fields and spec.pod:
        return PlanRefused("PodNotAllowed", f"spec.pod {advice}")
    if ModelField.POD in limits.forbidden_fields and own_selector(spec):
        return PlanRefused("PodNotAllowed", f"spec.capacity.nodes selects nodes as spec.pod does, and {advice}")
    if ModelField.SERVICE_ACCOUNT_NAME in limits.forbidden_fields and spec.service_account_name:
        return PlanRefused("ServiceAccountNotAllowed", f"spec.serviceAccountName {advice}")
    return None


def _add_defaults(model: MistralModel, defaults: ServingClassDefaults) -> MistralModel:
    """Images and their caches aren't among them: which are needed is known only when an engine has been chosen."""
    spec = model.spec
    labels = {**defaults.resource_labels, **spec.resource_labels}
    changed: dict[str, Any] = {"resource_labels": labels} if labels != spec.resource_labels else {}
    source, converts = spec.weights or Weights(), spec.engine and spec.engine.type is EngineType.JETSTREAM_MAXTEXT
    if defaults.weights_cache and converts and source.gcs is None and source.cache is None:
        # A converted checkpoint wants a folder of its own, and a tenant must not write another one's.
        folder = f"{defaults.weights_cache.uri}/{model.metadata.namespace}/{model.metadata.name}"
        cache = WeightsCache(mode=CacheMode.BUCKET, uri=folder)
        changed["weights"] = source.model_copy(update={"cache": cache})
    return _change(model, **changed) if changed else model


def _change(model: MistralModel, **changed: Any) -> MistralModel:
    return model.model_copy(update={"spec": model.spec.model_copy(update=changed)})
