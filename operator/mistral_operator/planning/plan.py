"""Plan a model: from its spec to the ladder of options, or to a refusal that says what to write instead. Pure."""

from collections.abc import Iterator
from dataclasses import replace
from decimal import ROUND_UP, Decimal

from mistral_operator.api.common import dollars
from mistral_operator.api.engine import Engine
from mistral_operator.api.model import MistralModel, MistralModelSpec, OptimizeFor
from mistral_operator.api.pod import PodResources
from mistral_operator.catalogue.types import Catalogue
from mistral_operator.planning.candidate import Task
from mistral_operator.planning.choose import choose
from mistral_operator.planning.compute_class import merge_runs
from mistral_operator.planning.estimate import mark_price
from mistral_operator.planning.existing import check_there, check_unused, own_selector, select_groups
from mistral_operator.planning.memory import SIXTEENTHS
from mistral_operator.planning.notes import note_plan
from mistral_operator.planning.provisioner import note_provisioner, resolve_provisioner
from mistral_operator.planning.provisioner_advice import read_circumstances
from mistral_operator.planning.resolve import check_license, resolve_model
from mistral_operator.planning.runtimes import Runtime, Runtimes, resolve_runtimes
from mistral_operator.planning.terms import NO_TERMS, Terms, hold_to_terms
from mistral_operator.planning.types import (
    ClusterProfile,
    Consumption,
    Plan,
    PlannedOption,
    PlanRefused,
    Provisioner,
    Refusal,
    Settings,
)
from mistral_operator.planning.units import dollars_text
from mistral_operator.planning.weigh import NOT_ALLOWED
from mistral_operator.planning.weights import PRECISIONS, resolve_weights
from mistral_operator.planning.wishes import Wish, read_wishes
from mistral_operator.planning.workload import read_workload

MOST_REFUSALS = 8
MOST_TOLD = 2
EXPERIMENTAL = "ExperimentalNotAllowed"
NEAREST_FIRST = (
    "ExceedsHourlyCost",
    "PriceUnknown",
    EXPERIMENTAL,
    "ZoneNotAllowed",
    "ConsumptionNotAllowed",
    "AcceleratorNotAllowed",
    "PodResourcesConflict",
    "PodExceedsMachine",
    "HostMemoryTooSmall",
    "ContextExceedsMemory",
    "SlotsExceedMemory",
    "WeightsExceedMemory",
    "InterconnectTooSlow",
    "NeedsLeaderWorkerSet",
)
"""Reasons in the reverse order of the checks: what fails late has passed everything before."""

_TOO_LARGE = frozenset({"WeightsExceedMemory", "ContextExceedsMemory", "SlotsExceedMemory", "HostMemoryTooSmall"})


def plan_model(
    model: MistralModel,
    catalogue: Catalogue,
    cluster: ClusterProfile,
    settings: Settings,
    rung: str = "",
    terms: Terms = NO_TERMS,
) -> Plan | PlanRefused:
    """Choose hardware, layout and engine settings for one model. Same input, same output.

    The plan is for the best option, or for the one called `rung`, as `Plan.rung_names` has it. Fields that are not
    built yet have been refused before, by `core.support`. `terms` are those of the model's serving class.
    """
    spec = model.spec
    prepared = prepare(spec, catalogue, cluster, settings, terms)
    if isinstance(prepared, PlanRefused):
        return prepared
    task, runtimes = prepared
    wishes = read_wishes(spec, catalogue, cluster, task.provisioner)
    if isinstance(wishes, PlanRefused):
        return wishes
    absent = check_there(spec, task, wishes) if task.provisioner is Provisioner.EXISTING else None
    if absent:
        return absent
    wishes = hold_to_terms(wishes, spec.capacity.options if spec.capacity else (), terms, catalogue)
    if isinstance(wishes, PlanRefused):
        return wishes
    options, refusals = choose(task, wishes)
    if not options:
        telling = tuple(item for item in refusals if item.reason != NOT_ALLOWED)
        # Where nothing was tried, the wished hardware is of a kind that no usable engine runs on.
        return _refuse_all(task, wishes, refusals, telling) if telling or not runtimes.refused else runtimes.refused[0]
    if task.provisioner is Provisioner.COMPUTE_CLASS:
        options = merge_runs(options)
    plan = _build_plan(spec, task, runtimes, options, refusals[:MOST_REFUSALS])
    return _stand_on(rung, plan, spec, task, runtimes) if rung else plan


def _stand_on(rung: str, plan: Plan, spec: MistralModelSpec, task: Task, runtimes: Runtimes) -> Plan | PlanRefused:
    """The same ladder, planned for another of its rungs: with its own engine, checkpoint and flags."""
    names = plan.rung_names
    if rung not in names:
        return PlanRefused("RungNotPlanned", f"{rung} is no rung of the ladder any more, which has {', '.join(names)}")
    return _build_plan(spec, task, runtimes, plan.options, plan.refusals, names.index(rung))


def prepare(
    spec: MistralModelSpec,
    catalogue: Catalogue,
    cluster: ClusterProfile,
    settings: Settings,
    terms: Terms = NO_TERMS,
) -> tuple[Task, Runtimes] | PlanRefused:
    """Fix everything that is fixed before hardware is looked at: model, license, checkpoints, engines, workload."""
    resolved = resolve_model(spec.model or "", catalogue)
    if isinstance(resolved, PlanRefused):
        return resolved
    entry, variant = resolved
    refused = check_license(entry, spec)
    if refused:
        return refused
    weights = resolve_weights(entry, variant, spec)
    if isinstance(weights, PlanRefused):
        return weights
    images = terms.choose_images(settings.images)
    runtimes = resolve_runtimes(entry, weights, spec.engine or Engine(), catalogue, images)
    if isinstance(runtimes, PlanRefused):
        return runtimes
    provisioner = resolve_provisioner(spec, cluster, terms)
    if isinstance(provisioner, PlanRefused):
        return provisioner
    unused = check_unused(spec, provisioner, read_circumstances(spec, cluster, terms))
    if unused:
        return unused
    limit = spec.capacity.max_hourly_cost if spec.capacity else None
    task = Task(
        model=entry,
        runtimes=runtimes.usable,
        allow_experimental=spec.allow_experimental,
        max_hourly_cost=dollars(limit) if limit is not None else None,
        pod_resources=(spec.pod.resources if spec.pod else None) or PodResources(),
        catalogue=catalogue,
        cluster=cluster,
        settings=settings,
        optimize_for=spec.optimize_for or OptimizeFor.COST,
        workload=read_workload(spec),
        terms=terms,
        provisioner=provisioner,
        nodes=select_groups(spec, cluster) if provisioner is Provisioner.EXISTING else None,
        node_selector=own_selector(spec),
        tolerations=spec.pod.tolerations if spec.pod else (),
        labelled=bool(spec.resource_labels),
    )
    return task, runtimes


def _build_plan(
    spec: MistralModelSpec,
    task: Task,
    runtimes: Runtimes,
    options: tuple[PlannedOption, ...],
    refusals: tuple[Refusal, ...],
    rung: int = 0,
) -> Plan:
    runtime = next(item for item in runtimes.usable if _runs(item, options[rung]))
    engine, weights, entry = runtime.engine, runtime.weights, task.model
    return Plan(
        model_id=entry.id,
        display_name=entry.name,
        repository=weights.repository,
        revision=weights.revision if engine.engine.loads_revision else "",
        served_name=(spec.endpoint.served_name if spec.endpoint else None) or entry.id,
        engine_flags=engine.flags,
        weights_bytes=runtime.checkpoint_bytes,
        license_id=entry.license.id,
        options=options,
        refusals=refusals,
        notes=(
            *note_provisioner(spec, task.cluster, task.terms, task.provisioner),
            *note_plan(weights, engine, task.terms),
        ),
        weights_precision=weights.precision,
        engine_env=engine.env,
        engine_model=engine.model_name,
        tokenizer=engine.tokenizer,
        checkpoint_uri=weights.bucket if engine.engine.converted_checkpoint else "",
        converts=engine.engine.converted_checkpoint and not weights.converted,
        gateway_image=engine.gateway_image,
        rung=rung,
    )


def _runs(runtime: Runtime, option: PlannedOption) -> bool:
    return (runtime.engine.engine.id, runtime.demand.precision) == (option.engine, option.precision)


def _refuse_all(
    task: Task, wishes: tuple[Wish, ...], refusals: tuple[Refusal, ...], tried: tuple[Refusal, ...]
) -> PlanRefused:
    """Say why nothing is left: the most telling refusals, and the smallest hardware that would do."""
    telling = _most_telling(tried)
    reason = EXPERIMENTAL if any(item.reason == EXPERIMENTAL for item in telling) else "NothingFits"
    advice = _suggest(task, wishes)
    beyond = "" if advice or task.terms == NO_TERMS else _suggest(replace(task, terms=NO_TERMS), ())
    if beyond:
        reason = "NothingAllowed"
        advice = (
            f"{task.terms.source} allows nothing that would do: name another class in spec.servingClassName, or ask"
            f" those who keep it for more. {beyond}"
        )
    arithmetic = "; ".join(f"{item.subject}: {item.message}" for item in telling[:MOST_TOLD])
    advice = advice or _suggest_smaller(task, tried)
    words = f"no hardware is left for {task.model.name}: {arithmetic}. {advice}".strip()
    return PlanRefused(reason, words, refusals[:MOST_REFUSALS])


def _most_telling(refusals: tuple[Refusal, ...]) -> tuple[Refusal, ...]:
    """The cheapest refusal of each reason; those that came closest to fitting first."""
    by_reason: dict[str, Refusal] = {}
    for refusal in refusals:
        by_reason.setdefault(refusal.reason, refusal)
    told = tuple(by_reason[reason] for reason in NEAREST_FIRST if reason in by_reason)
    others = tuple(item for reason, item in by_reason.items() if reason not in NEAREST_FIRST)
    return told + others


def _suggest(task: Task, refused: tuple[Wish, ...]) -> str:
    """Name the cheapest hardware that would do without the user's limits, and within the class's; or nothing.

    `refused` are the wishes for which the task itself has no option.
    """
    for wish in (Wish(), Wish(consumption=Consumption.SPOT)):
        for attempt, condition in _loosen(task):
            options, _ = ((), ()) if attempt == task and wish in refused else choose(attempt, (wish,))
            if options:
                return f"The cheapest that would do{condition}: {_describe(options[0], task.max_hourly_cost)}"
    return ""


def _loosen(task: Task) -> Iterator[tuple[Task, str]]:
    """The task without the spend limit, and without each other limit that it has, with words for that one."""
    free = replace(task, max_hourly_cost=None)
    others = (
        (replace(free, cluster=replace(task.cluster, location="", zones=())), " in another region"),
        (replace(free, runtimes=_ask_nothing(task.runtimes)), " with its default context"),
        (replace(free, allow_experimental=True), " with spec.allowExperimental: true"),
        (replace(free, pod_resources=PodResources()), " without spec.pod.resources"),
    )
    yield free, ""
    yield from ((attempt, condition) for attempt, condition in others if attempt != free)


def _suggest_smaller(task: Task, tried: tuple[Refusal, ...]) -> str:
    """Nothing would do; say what would make the weights smaller, unless no node that is there was refused for that."""
    existing = task.provisioner is Provisioner.EXISTING
    if existing and not any(item.reason in _TOO_LARGE for item in tried):
        return ""
    engines = ", ".join(dict.fromkeys(item.engine.engine.name for item in task.runtimes))
    precision = task.runtimes[0].demand.precision
    smaller = next((name.value for name, value in PRECISIONS.items() if _is_smaller(task, value, precision)), "")
    advice = f"; write spec.engine.precision: {smaller}" if smaller else ""
    where = "among the nodes that are there" if existing else "in the catalogue"
    return f"Nothing {where} holds {task.model.name} at {precision} for {engines}{advice}"


def _ask_nothing(runtimes: tuple[Runtime, ...]) -> tuple[Runtime, ...]:
    return tuple(replace(item, demand=replace(item.demand, context_length=None, concurrency=None)) for item in runtimes)


def _is_smaller(task: Task, precision: str, than: str) -> bool:
    """Whether one of the engines takes these shorter numbers."""
    takes = any(precision in item.engine.engine.precisions for item in task.runtimes)
    return takes and SIXTEENTHS[precision] < SIXTEENTHS[than]


def _describe(option: PlannedOption, limit: Decimal | None) -> str:
    cost = option.hourly_cost
    price = "price unknown" if cost is None else f"{dollars_text(cost)}{mark_price(option.price_note)}"
    on_demand = option.consumption is Consumption.ON_DEMAND
    bought = "" if on_demand else f", consumption: {option.consumption.value}"
    existing = option.provisioner is Provisioner.EXISTING
    otherwise = ", or leave spec.capacity out" if on_demand and not existing else ""
    hardware = (
        f"accelerator: {option.accelerator}, devices: {option.devices}"
        if existing
        else f"machineType: {option.machine_type}"
    )
    raised = "" if cost is None or limit is None or cost <= limit else f' with maxHourlyCost: "{_cents(cost)}" or more'
    return (
        f"{option.hardware} ({option.machine_type}, {price});"
        f" write spec.capacity.options: [{{{hardware}{bought}}}]{raised}{otherwise}"
    )


def _cents(amount: Decimal) -> Decimal:
    """Dollars as one writes them, rounded up: a limit must not be below the price."""
    return amount.quantize(Decimal("0.01"), ROUND_UP)
