"""Runs the operator: health first, then what it reads, then leadership, then what it writes. Killed anywhere, the next
process finds everything again in the API server and in GKE.
"""

import asyncio
import contextlib
import logging
import os
import signal
import socket
import time
import uuid
from collections.abc import AsyncIterator, Coroutine, Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Final

from mistral_operator.capacity.advice import ClusterPlace
from mistral_operator.capacity.port import NodePools
from mistral_operator.capacity.provisioners.compute_policies import ComputePolicies
from mistral_operator.capacity.provisioners.container_api import ContainerApi
from mistral_operator.cluster.client import ApiClient
from mistral_operator.cluster.kinds import MODEL
from mistral_operator.cluster.lease import Lease, NotLeading
from mistral_operator.cluster.reflector import Reflector
from mistral_operator.controller.health import Health
from mistral_operator.controller.log import configure_logging
from mistral_operator.controller.metrics import Metrics
from mistral_operator.controller.options import RunOptions
from mistral_operator.controller.parts import Parts, assemble
from mistral_operator.controller.place import find_cluster_uid, find_gke_cluster
from mistral_operator.controller.ports import open_policies, open_ports
from mistral_operator.controller.profile import LiveProfile, describe_cluster, describe_other_cluster
from mistral_operator.controller.workers import Workers
from mistral_operator.planning.types import Provisioner

_SILENT_S: Final = 600.0
"""A watch is opened anew every few minutes: one that has not even tried for so long is stuck."""
_STUCK_S: Final = 900.0
"""No reconcile takes so long: each of its requests has a time-out."""
_KOPF_STOP_S: Final = 3.0
_CATALOGUE_S: Final = 5.0
"""How often the directory of the catalogue's extension is looked at."""
_NO_PLACE: Final = ClusterPlace("", "", "")
_EVENTS_S: Final = 1.0
"""For the last Events before the Lease is handed over."""

log = logging.getLogger(__name__)


async def run(options: RunOptions) -> None:
    """Runs until SIGTERM or SIGINT. Raises what a person has to mend, such as an unusable kubeconfig."""
    configure_logging(verbose=options.verbose)
    serving = asyncio.create_task(_serve(options), name="operator")
    loop = asyncio.get_running_loop()
    for stop in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(stop, serving.cancel)
    try:
        await serving
    except asyncio.CancelledError:
        log.info("Stopped")


async def _serve(options: RunOptions) -> None:
    metrics = Metrics()
    health = Health(metrics)
    starting = ["connecting to the API server"]
    health.ready["start"] = lambda: starting[0]
    async with contextlib.AsyncExitStack() as stack:
        port = await health.start(options.health_port, options.health_host)
        stack.push_async_callback(health.stop)
        log.info("Health and metrics are served on %s, port %d", options.health_host, port)
        client = await ApiClient.connect(options.kubeconfig)
        stack.push_async_callback(client.close)
        client.after_request = metrics.requested
        client.before_write = _not_yet
        found = await find_gke_cluster(options, client)
        place = replace(found or _NO_PLACE, uid=await find_cluster_uid(client))
        ports: Mapping[Provisioner, NodePools] = {}
        policies: Mapping[Provisioner, ComputePolicies] = {}
        described = describe_other_cluster()
        if found is None:
            health.notes.append("not on GKE: models run only on nodes that are there")
        else:
            pools = ContainerApi(
                project=place.project, location=place.location, cluster=place.cluster, endpoint=options.container_api
            )
            stack.push_async_callback(pools.close)
            starting[0] = "asking GKE about the cluster"
            described = await describe_cluster(pools, options.zones, options.provisioners)
            ports = open_ports(options, pools, client, place, autopilot=described.autopilot)
            policies = open_policies(options, place)
            for each in policies.values():
                stack.push_async_callback(each.close)
        profile = LiveProfile(described, client)
        await profile.refresh()
        parts = assemble(client, ports, policies, place, profile, options, metrics)
        _add_checks(health, parts)
        starting[0] = ""
        await _operate(client, parts, options, metrics)


async def _operate(client: ApiClient, parts: Parts, options: RunOptions, metrics: Metrics) -> None:
    """Reads at once, as a standby too; writes once everything has been read and this process leads."""
    parts.watch.start()
    try:
        async with _background(_readers(parts, options)) as background:
            await asyncio.gather(*(synced.wait() for synced in _all_synced(parts)))
            log.info("Everything has been read: %d models", len(parts.store[MODEL]))
            async with _leadership(client, options, background):
                metrics.leading.set(1)
                await _work(parts, options, background)
    finally:
        await parts.watch.stop(_KOPF_STOP_S)


async def _work(parts: Parts, options: RunOptions, background: asyncio.TaskGroup) -> None:
    """Reconciles until cancelled, then lets what was begun end."""
    workers = (parts.models, parts.claims)
    running = [background.create_task(each.run(), name=f"{each.name} workers") for each in workers]
    running.append(background.create_task(parts.orphans.run(options.resync_s), name="orphans"))
    try:
        await asyncio.Event().wait()
    finally:
        for task in running:
            task.cancel()
        log.info("Stopping; work that was begun has %.0f s", options.drain_s)
        await asyncio.gather(*(each.drain(options.drain_s) for each in workers))
        await parts.recorder.drain(_EVENTS_S)


@contextlib.asynccontextmanager
async def _background(readers: Iterable[Coroutine[Any, Any, None]]) -> AsyncIterator[asyncio.TaskGroup]:
    """Runs readers beside the block. One that fails ends the operator: half an operator is worse than a new one."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(reader) for reader in readers]
        try:
            yield group
        finally:
            for task in tasks:
                task.cancel()


@contextlib.asynccontextmanager
async def _leadership(client: ApiClient, options: RunOptions, background: asyncio.TaskGroup) -> AsyncIterator[None]:
    """Allows writes within the block, once and as long as this process leads."""
    if not options.leader_elect:
        client.before_write = _always
        yield
        return
    # A connection of its own: renewals must not queue behind a thousand other requests.
    own = await ApiClient.connect(options.kubeconfig)
    identity = f"{socket.gethostname()}-{uuid.uuid4().hex[:8]}"
    lease = Lease(own, options.lease_namespace, options.lease_name, identity, on_lost=_die)
    try:
        log.info("Waiting for the Lease %s/%s", options.lease_namespace, options.lease_name)
        await lease.acquire()
        holding = background.create_task(lease.hold(), name="lease")
        client.before_write = lease.check
        try:
            yield
        finally:
            client.before_write = _not_yet
            holding.cancel()
            await lease.release()
    finally:
        await own.close()


def _readers(parts: Parts, options: RunOptions) -> list[Coroutine[Any, Any, None]]:
    router = parts.router
    return [
        *(reflector.run() for reflector in parts.reflectors),
        parts.comparison.run(),
        parts.recorder.run(),
        _follow_capabilities(parts, options.resync_s),
        _follow_catalogue(parts),
        *([parts.existing.follow(router.look_at_claims_on_nodes, router.look_at_everything)] if parts.existing else []),
    ]


async def _follow_capabilities(parts: Parts, interval_s: float) -> None:
    """An adapter for metrics may be installed, or removed, at any time."""
    while True:
        await asyncio.sleep(interval_s)
        if await parts.profile.refresh():
            log.info("What the cluster serves has changed: %s", parts.profile.current)
            parts.router.look_at_everything()


async def _follow_catalogue(parts: Parts) -> None:
    """A ConfigMap's files are swapped while the operator runs; plans that are pinned stay."""
    while True:
        await asyncio.sleep(_CATALOGUE_S)
        if await parts.knowledge.refresh_aside():
            log.info("The catalogue has changed: %d models", len(parts.knowledge.catalogue.models))
            parts.router.look_at_everything()


def _all_synced(parts: Parts) -> list[asyncio.Event]:
    return [parts.comparison.synced, *(reflector.synced for reflector in parts.reflectors)]


def _add_checks(health: Health, parts: Parts) -> None:
    health.ready["caches"] = lambda: "" if all(event.is_set() for event in _all_synced(parts)) else "still reading"
    health.alive["kopf"] = parts.watch.check
    for reflector in parts.reflectors:
        health.alive[f"watch of {reflector.name}"] = partial(_check_watch, reflector)
    for workers in (parts.models, parts.claims):
        health.alive[f"{workers.name} workers"] = partial(_check_workers, workers)


def _check_watch(reflector: Reflector) -> str:
    silent_s = time.monotonic() - reflector.last_activity
    return f"silent for {silent_s:.0f} s" if silent_s > _SILENT_S else ""


def _check_workers(workers: Workers[Any]) -> str:
    return f"busy with one key for {workers.longest_run_s:.0f} s" if workers.longest_run_s > _STUCK_S else ""


def _die(holder: str) -> None:
    """Somebody else leads. Requests that are under way can't be called back, but no new ones may follow."""
    log.error("%s leads now; this process ends", holder)
    logging.shutdown()
    os._exit(1)


def _not_yet() -> None:
    raise NotLeading


def _always() -> None:
    """Without leader election there is only one process, and it may always write."""
