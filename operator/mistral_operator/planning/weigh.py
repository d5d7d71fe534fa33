"""One candidate → an option, or a refusal with the first reason against it."""

from dataclasses import replace

from mistral_operator.api.claim import MAX_SLICE_HOSTS
from mistral_operator.planning.candidate import Candidate, Task, price_candidate, usable_zones, zones_of
from mistral_operator.planning.estimate import mark_price
from mistral_operator.planning.existing import check_nodes
from mistral_operator.planning.fit import Fit, batch_for, fit
from mistral_operator.planning.hardware import read_version
from mistral_operator.planning.host import check_pod, plan_host
from mistral_operator.planning.layout import Layout, Misfit, list_layouts
from mistral_operator.planning.modes import advise_mode, check_flex_start
from mistral_operator.planning.option import build_option
from mistral_operator.planning.order import Split, best_split
from mistral_operator.planning.provisioner_hardware import check_hardware_of
from mistral_operator.planning.speed import describe_machine, estimate_throughput
from mistral_operator.planning.support import Verdict, doubt_sharing, judge
from mistral_operator.planning.terms import check_hardware, check_price
from mistral_operator.planning.types import Consumption, PlannedOption, Provisioner, Refusal, ThroughputEstimate, Tier
from mistral_operator.planning.units import exact_dollars_text

MOST_PCIE_DEVICES = 4
"""Beyond this, one copy of a model over PCIe spends most of its time on communication: not chosen unasked."""
NOT_ALLOWED = "NotAllowed"


def weigh(task: Task, candidate: Candidate) -> PlannedOption | Refusal:
    """Decide about one candidate. The first reason against it is the one that is told."""
    runtime, shape = candidate.runtime, candidate.shape
    engine = runtime.engine.engine
    misfit = _check_offer(task, candidate) or _check_machine(task, candidate)
    misfit = misfit or _check_provisioner(task, candidate)
    if misfit:
        return _refuse(candidate, misfit)
    split = _choose_split(task, candidate)
    if isinstance(split, Misfit):
        return _refuse(candidate, split)
    host = plan_host(engine, shape, runtime.checkpoint_bytes, candidate.replicas_per_node)
    if isinstance(host, Misfit):
        return _refuse(candidate, host)
    devices, precision = split.layout.coupled_devices, runtime.demand.precision
    verdict = judge(task.catalogue, task.model, engine, candidate.accelerator, devices, precision)
    verdict = doubt_sharing(verdict) if candidate.division else verdict
    misfit = check_pod(task.pod_resources, shape, host) or _check_terms(task, candidate)
    misfit = misfit or _check_tier(task, verdict) or _check_cost(task, candidate)
    if misfit:
        return _refuse(candidate, misfit)
    return build_option(task, candidate, split, host, verdict)


def _check_provisioner(task: Task, candidate: Candidate) -> Misfit | None:
    wish = candidate.wish
    return check_hardware_of(task.provisioner, candidate.shape, wish.consumption, task.circumstances, wish.sharing)


def _choose_split(task: Task, candidate: Candidate) -> Split | Misfit:
    """The best of the layouts that fit, or why the most divided one doesn't."""
    engine, asked = candidate.runtime.engine.engine, candidate.runtime.demand.concurrency
    splits: list[Split] = []
    misfits: list[Misfit] = []
    for layout in list_layouts(task.model.architecture, engine, candidate.accelerator, candidate.shape):
        if asked and asked % layout.data_parallel:
            # Copies of the model would have to share the sequences unevenly, which the engine can't.
            continue
        fitted = _fit_copy(task, candidate, layout)
        if isinstance(fitted, Misfit):
            misfits.append(fitted)
        else:
            splits.append(Split(layout, fitted, _estimate(task, candidate, layout, fitted)))
    return best_split(task.optimize_for, splits) if splits else _advise_part(candidate, misfits[0])


def _advise_part(candidate: Candidate, misfit: Misfit) -> Misfit:
    """A model needs one device whole, or its part of one: nothing is spread over parts."""
    if candidate.division is None:
        return misfit
    advice = f"a replica has {candidate.division.part} of one GPU and no more; write {candidate.division.advice}"
    return replace(misfit, message=f"{misfit.message}; {advice}, or remove sharing")


def _fit_copy(task: Task, candidate: Candidate, layout: Layout) -> Fit | Misfit:
    """Fit one of the copies that a layout makes, with its part of the sequences that were asked for."""
    engine, demand = candidate.runtime.engine.engine, candidate.runtime.demand
    misfit = _check_interconnect(candidate, layout) or _check_sharing(candidate, layout)
    if misfit:
        return misfit
    if demand.concurrency:
        demand = replace(demand, concurrency=demand.concurrency // layout.data_parallel)
    batch = batch_for(engine, candidate.accelerator, demand.concurrency)
    return fit(task.model, engine, candidate.accelerator, layout, demand, batch)


def _estimate(task: Task, candidate: Candidate, layout: Layout, fitted: Fit) -> ThroughputEstimate:
    runtime = candidate.runtime
    engine, demand = runtime.engine.engine, runtime.demand
    machine = describe_machine(task.model, engine, candidate.accelerator, layout, demand, fitted)
    price, _ = price_candidate(task, candidate)
    # The speed is that of a machine with all its replicas busy, and so is the price.
    return estimate_throughput(machine, task.workload, price and price / candidate.replicas_per_node)


def _refuse(candidate: Candidate, misfit: Misfit) -> Refusal:
    return Refusal(candidate.subject, misfit.reason, misfit.message)


def _check_sharing(candidate: Candidate, layout: Layout) -> Misfit | None:
    most = candidate.runtime.engine.most_tensor_parallel
    if most is None or layout.tensor_parallel <= most:
        return None
    return Misfit(
        "TensorParallelNotSupported",
        f"the engine's code for the model runs on {most} device{'' if most == 1 else 's'}, not on"
        f" {layout.tensor_parallel}; write a machine with fewer",
    )


def _check_interconnect(candidate: Candidate, layout: Layout) -> Misfit | None:
    """Copies of a model have little to say to each other; the devices of one copy have much."""
    slow = candidate.accelerator.interconnect == "pcie" and layout.coupled_devices > MOST_PCIE_DEVICES
    if not slow or candidate.wish.pins_layout:
        return None
    return Misfit(
        "InterconnectTooSlow",
        f"one copy of the model over {layout.coupled_devices} devices would talk over PCIe; more than"
        f" {MOST_PCIE_DEVICES} are not chosen unasked: write machineType: {candidate.shape.machine_type} in"
        " spec.capacity.options",
    )


def _check_machine(task: Task, candidate: Candidate) -> Misfit | None:
    """Check that the operator can make such a pool, the cluster offers it, and the image runs on it."""
    accelerator, shape = candidate.accelerator, candidate.shape
    if accelerator.host_architecture != "amd64":
        return Misfit(
            "NeedsArm64Image",
            f"{shape.machine_type} has {accelerator.host_architecture} hosts, and no image of"
            f" {candidate.runtime.engine.engine.name} is known to run there; write other hardware",
        )
    if shape.placement_policy and shape.hosts == 1:
        return Misfit(
            "NeedsPlacementPolicy",
            f"machines of {shape.machine_type} are placed within one NVLink domain by a workload policy, which the"
            " operator makes for TPU slices only; write other hardware",
        )
    first, current = read_version(accelerator.min_gke_version), read_version(task.cluster.version)
    if first and current and current < first:
        return Misfit(
            "ClusterTooOld",
            f"{accelerator.name} needs GKE {accelerator.min_gke_version}, and the cluster has {task.cluster.version};"
            " upgrade it",
        )
    return _check_hosts(task, candidate)


def _check_hosts(task: Task, candidate: Candidate) -> Misfit | None:
    """Check that engine and cluster can run one replica on several machines."""
    engine, shape = candidate.runtime.engine.engine, candidate.shape
    if shape.hosts == 1:
        return None
    if not engine.multi_host:
        return Misfit(
            "SingleHostEngine", f"{engine.name} runs a replica on one machine, and this slice has {shape.hosts}"
        )
    if shape.hosts > MAX_SLICE_HOSTS:
        return Misfit(
            "SliceTooLarge",
            f"a slice of {shape.hosts} machines is more than the {MAX_SLICE_HOSTS} that a NodePoolClaim holds; write a"
            " smaller topology",
        )
    if not task.cluster.leader_worker_set:
        return Misfit(
            "NeedsLeaderWorkerSet",
            f"a slice of {shape.hosts} machines needs the LeaderWorkerSet controller, which the cluster doesn't serve;"
            " install it (lws.sigs.k8s.io), or choose a machine that holds the model by itself",
        )
    return None


def _check_offer(task: Task, candidate: Candidate) -> Misfit | None:
    """Check wish, region, zones and way of buying."""
    wish, accelerator, shape = candidate.wish, candidate.accelerator, candidate.shape
    mismatch = wish.mismatch(accelerator, shape)
    if mismatch:
        return Misfit(NOT_ALLOWED, f"spec.capacity.options asks for other hardware: {mismatch}")
    if wish.sharing and candidate.division is None:
        unable = Misfit("SharingNotSupported", f"the GPUs of {shape.machine_type} can't be shared like this")
        return _check_provisioner(task, candidate) or unable
    if task.provisioner is Provisioner.EXISTING:
        return check_nodes(task, candidate)
    if task.region and task.region not in shape.regions:
        return Misfit(
            "NotInRegion",
            f"{shape.machine_type} is not offered in {task.region}; it is in {', '.join(shape.regions[:4])}"
            f"{' and others' if len(shape.regions) > 4 else ''}",
        )
    if task.cluster.zones and not usable_zones(task, candidate):
        near = [zone for zone in accelerator.zones if zone.startswith(f"{task.region}-")]
        return Misfit(
            "NotInZone",
            f"no zone of the cluster ({', '.join(task.cluster.zones)}) lists {accelerator.name}; in {task.region} it is"
            f" in {', '.join(near)}",
        )
    if wish.consumption.value not in shape.consumption:
        return Misfit(
            "NotOffered",
            f"{shape.machine_type} is not sold as {wish.consumption.value}, only as {', '.join(shape.consumption)};"
            f" {advise_mode(shape)}",
        )
    if wish.consumption is Consumption.FLEX_START:
        return check_flex_start(accelerator.kind, shape, task.cluster.version)
    return None


def _check_tier(task: Task, verdict: Verdict) -> Misfit | None:
    if verdict.tier is Tier.REFUSED:
        return Misfit("KnownNotToWork", verdict.evidence)
    if verdict.tier is Tier.EXPERIMENTAL and not task.allow_experimental:
        return Misfit("ExperimentalNotAllowed", f"{verdict.evidence}; write spec.allowExperimental: true to try it")
    return None


def _check_terms(task: Task, candidate: Candidate) -> Misfit | None:
    """Whether the model's serving class allows it. Asked late, so that what it refuses would have fit."""
    misfit = check_hardware(
        task.terms,
        accelerator=candidate.accelerator.id,
        label=candidate.accelerator.label,
        consumption=candidate.wish.consumption.value,
        zones=zones_of(task, candidate),
    )
    return misfit or check_price(task.terms, *price_candidate(task, candidate))


def _check_cost(task: Task, candidate: Candidate) -> Misfit | None:
    limit = task.max_hourly_cost
    if limit is None:
        return None
    price, note = price_candidate(task, candidate)
    field = "spec.capacity.maxHourlyCost"
    if price is None:
        return Misfit("PriceUnknown", f"{note}, so {field} can't be kept; set a price in the operator's settings")
    if price > limit:
        return Misfit(
            "ExceedsHourlyCost",
            f"one replica costs {exact_dollars_text(price)}{mark_price(note)},"
            f" more than {field}: {exact_dollars_text(limit)}",
        )
    return None
