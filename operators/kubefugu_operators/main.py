"""Composition root of the operator: settings -> client, observations, reconcilers -> engine, watches, HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import kopf
import structlog
import yaml

from kubefugu_core.telemetry import configure_logging
from kubefugu_operators import token
from kubefugu_operators.cluster.client import HttpApi, load_configuration
from kubefugu_operators.kinds import KINDS
from kubefugu_operators.routingpolicy.observed import RouterView
from kubefugu_operators.routingpolicy.peers import ExecutorView, Peers, PeerTarget
from kubefugu_operators.routingpolicy.reconcile import Settings as PolicySettings
from kubefugu_operators.routingpolicy.reconciler import RoutingPolicyReconciler
from kubefugu_operators.runtime import http
from kubefugu_operators.runtime.engine import Engine, Reconciler
from kubefugu_operators.runtime.freshness import Freshness, resync
from kubefugu_operators.runtime.metrics import Metrics
from kubefugu_operators.runtime.observations import Observations
from kubefugu_operators.runtime.queue import WorkQueue
from kubefugu_operators.runtime.watching import Login, Watcher
from kubefugu_operators.settings import OperatorSettings, load
from kubefugu_operators.trainingrun.drivers import Drivers, DriverTarget
from kubefugu_operators.trainingrun.objects import PodDefaults
from kubefugu_operators.trainingrun.observed import RunView
from kubefugu_operators.trainingrun.reconcile import Settings as RunSettings
from kubefugu_operators.trainingrun.reconciler import TrainingRunReconciler
from kubefugu_operators.workerpool.observed import Probe
from kubefugu_operators.workerpool.probe import ProbeTarget, WorkerProber, changed, follow
from kubefugu_operators.workerpool.reconciler import WorkerPoolReconciler

_log = structlog.get_logger()


def utc_now() -> datetime:
    """The wall clock."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Operator:
    """The wired operator."""

    api: HttpApi
    queue: WorkQueue
    engine: Engine
    metrics: Metrics
    freshness: Freshness
    watcher: Watcher


def pod_defaults(settings: OperatorSettings) -> PodDefaults:
    """Additions to the pods of runs, from the chart's file."""
    told: dict[str, Any] = {}
    if settings.trainer_pod_file is not None:
        document = yaml.safe_load(settings.trainer_pod_file.read_text(encoding="utf-8")) or {}
        # A template leaves keys without a value behind; they mean nothing.
        told = {key: value for key, value in document.items() if value is not None}
    return PodDefaults(
        image=settings.trainer_image,
        image_pull_policy=told.get("imagePullPolicy", "IfNotPresent"),
        user=told.get("user", 65532),
        port=settings.driver_port,
        init_containers=tuple(told.get("initContainers", ())),
        volumes=tuple(told.get("volumes", ())),
        volume_mounts=tuple(told.get("volumeMounts", ())),
        env=tuple(told.get("env", ())),
        pod=told.get("pod", {}),
    )


def _token_reader(path: Path | None) -> Callable[[], str]:
    def read() -> str:
        try:
            return path.read_text(encoding="utf-8").strip() if path else ""
        except OSError:
            return ""

    return read


def _login(settings: OperatorSettings) -> Login:
    def login(**context: Any) -> kopf.ConnectionInfo:
        if settings.kubeconfig:
            return _kubeconfig_login(Path(settings.kubeconfig))
        found = kopf.login_with_service_account(**context)
        if found is None:
            raise kopf.PermanentError("no service account is mounted; give --kubeconfig")
        return found

    return login


def _kubeconfig_login(path: Path) -> kopf.ConnectionInfo:
    """kopf's own reader takes the file from KUBECONFIG; ours takes the one that the settings name."""
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    context = next(item["context"] for item in document["contexts"] if item["name"] == document["current-context"])
    cluster = next(item["cluster"] for item in document["clusters"] if item["name"] == context["cluster"])
    user = next(item["user"] for item in document["users"] if item["name"] == context["user"])
    return kopf.ConnectionInfo(
        server=cluster["server"],
        ca_data=cluster.get("certificate-authority-data"),
        ca_path=cluster.get("certificate-authority"),
        insecure=cluster.get("insecure-skip-tls-verify"),
        certificate_data=user.get("client-certificate-data"),
        certificate_path=user.get("client-certificate"),
        private_key_data=user.get("client-key-data"),
        private_key_path=user.get("client-key"),
        token=user.get("token"),
    )


def _track(metrics: Metrics, queue: WorkQueue) -> None:
    metrics.track("kubefugu_operator_queue_depth", "Objects that wait for a pass.", lambda: float(len(queue)))
    metrics.track("kubefugu_operator_queue_delayed", "Objects that wait for their time.", lambda: float(queue.delayed))


@contextlib.asynccontextmanager
async def wired(settings: OperatorSettings) -> AsyncIterator[Operator]:
    """Everything connected, nothing running yet; closed at the end."""
    api = HttpApi(await load_configuration(settings.kubeconfig))
    namespaces = [name.strip() for name in settings.namespaces.split(",") if name.strip()]
    queue = WorkQueue(clock=time.monotonic)
    metrics = Metrics()
    _track(metrics, queue)
    freshness = Freshness(clock=time.monotonic, wall=time.time, grace_s=settings.watch_grace_seconds, metrics=metrics)
    watcher = Watcher(queue=queue, metrics=metrics, freshness=freshness, namespaces=namespaces, login=_login(settings))
    async with aiohttp.ClientSession() as session:
        drivers = Drivers()
        peers = Peers(read_token=_token_reader(settings.admin_token_file))
        probes: Observations[ProbeTarget, Probe] = Observations(
            WorkerProber(session).ask,
            interval_s=settings.probe_seconds,
            on_change=queue.add,
            changed=changed,
            follow=follow,
        )
        routers: Observations[PeerTarget, RouterView] = _polled(peers.follower, settings, queue)
        executors: Observations[PeerTarget, ExecutorView] = _polled(peers.executor, settings, queue)
        views: Observations[DriverTarget, RunView] = _polled(drivers.view, settings, queue)
        reconcilers: dict[str, Reconciler[Any]] = {
            "WorkerPool": WorkerPoolReconciler(api=api, probes=probes, clock=utc_now),
            "TrainingRun": TrainingRunReconciler(
                api=api, views=views, collector=drivers, clock=utc_now, settings=RunSettings(pods=pod_defaults(settings))
            ),
            "RoutingPolicy": RoutingPolicyReconciler(
                api=api,
                routers=routers,
                executors=executors,
                clock=utc_now,
                settings=PolicySettings(router_directory=settings.router_directory),
                router_port=settings.router_port,
                executor_port=settings.executor_port,
                conductor_port=settings.conductor_port,
            ),
        }
        engine = Engine(api=api, queue=queue, reconcilers=reconcilers, metrics=metrics, release=drivers.release)
        try:
            yield Operator(api=api, queue=queue, engine=engine, metrics=metrics, freshness=freshness, watcher=watcher)
        finally:
            for observations in (probes, routers, executors, views):
                await observations.close()
            await api.close()


def _polled(ask: Any, settings: OperatorSettings, queue: WorkQueue) -> Observations[Any, Any]:
    return Observations(ask, interval_s=settings.poll_seconds, on_change=queue.add, changed=lambda old, new: old != new)


async def _resyncs(operator: Operator, settings: OperatorSettings) -> None:
    namespaces = [name.strip() for name in settings.namespaces.split(",") if name.strip()]
    kinds = [kind.kind for kind in KINDS]
    await operator.watcher.ready.wait()
    while True:
        await resync(
            operator.api, kinds=kinds, namespaces=namespaces, freshness=operator.freshness, queue=operator.queue,
            clock=time.monotonic,
        )  # fmt: skip
        await asyncio.sleep(settings.resync_seconds)


async def _admin_token(operator: Operator, settings: OperatorSettings) -> None:
    if settings.admin_token_secret:
        await token.ensure(
            operator.api,
            namespace=settings.pod_namespace,
            name=settings.admin_token_secret,
            deployment=settings.deployment,
        )


async def run(settings: OperatorSettings, stop: asyncio.Event) -> None:
    """Run until `stop` is set."""
    async with wired(settings) as operator:
        runner = await http.serve(
            settings.http_host,
            settings.http_port,
            dead=operator.freshness.dead,
            ready=operator.watcher.ready.is_set,
            metrics=operator.metrics,
        )
        try:
            await _admin_token(operator, settings)
            async with asyncio.TaskGroup() as group:
                working = group.create_task(operator.engine.run(workers=settings.workers), name="engine")
                syncing = group.create_task(_resyncs(operator, settings), name="resync")
                _log.info("operator_started", namespaces=settings.namespaces or "all")
                await operator.watcher.run(stop)
                working.cancel()
                syncing.cancel()
        finally:
            await runner.cleanup()


async def _run_until_signal(settings: OperatorSettings) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await run(settings, stop)


def main() -> None:
    """Entry point of `kubefugu-operator` and `python -m kubefugu_operators`."""
    settings = load(sys.argv[1:])
    configure_logging(service="operator", level=settings.log_level, fmt=settings.log_format)
    asyncio.run(_run_until_signal(settings))
