"""Which processes a stack has. Pure: pool, paths and ports in, plan and resolved pool out."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kubefugu_cli.pools import ready_pools
from kubefugu_cli.stack.layout import StackLayout
from kubefugu_cli.stack.model import Component, LeftOut, Probe, StackPlan
from kubefugu_core.errors import DataError
from kubefugu_core.pool import LocalProcess, WorkerPool, WorkerSpec

HOST = "127.0.0.1"
"""The local stack is for this machine alone."""
EXPERTS = "experts"
ROUTER = "router"
EXECUTOR = "executor"
CONDUCTOR = "conductor"
GATEWAY = "gateway"

_DRAIN_S = 3
_WORKER_TIER, _DECIDING_TIER, _EXECUTOR_TIER, _GATEWAY_TIER = range(4)


@dataclass(frozen=True, kw_only=True)
class PlanInput:
    """What the plan is made of."""

    pool: WorkerPool
    pool_file: Path
    layout: StackLayout
    port: int
    worker_ports: Mapping[str, int]
    """Name of the worker's process (`process_of`) -> port."""
    model_files: Mapping[str, str]
    """Model of a llamacpp worker -> GGUF file."""
    backbone: str
    """The router's backbone, resolved."""
    left_out: Mapping[str, str] = field(default_factory=dict)
    """Worker -> why it is not part of the stack."""
    with_conductor: bool = False
    strengths: Path | None = None
    """Measured strengths of the workers, for planners."""
    conductor: Path | None = None
    """The pool's trained Conductor."""
    conductor_base: str = ""
    """The base model that it belongs to, resolved."""
    policy_generation: int = 0
    """Generation of the policy set that was declared for it."""
    python: str = sys.executable


def llamacpp_workers(pool: WorkerPool) -> list[WorkerSpec]:
    """Workers that need a llama.cpp process of their own."""
    return [worker for worker in pool.spec.workers if worker.process and worker.process.kind == "llamacpp"]


def expert_workers(pool: WorkerPool) -> list[WorkerSpec]:
    """Workers that are engines of the one experts process."""
    return [worker for worker in pool.spec.workers if worker.process and worker.process.kind == "expert"]


def cluster_only(pool: WorkerPool) -> dict[str, str]:
    """Workers that exist in a cluster alone, with the sentence that says so."""
    return {
        worker.name: "it is a Service of a cluster; give it a url to use it here."
        for worker in pool.spec.workers
        if worker.service or worker.managed
    }


def process_of(worker: WorkerSpec) -> str:
    """Name of the process that a local worker lives in; a worker may be called `router` and still have its own."""
    return EXPERTS if worker.process and worker.process.kind == "expert" else f"worker-{worker.name}"


def process_names(pool: WorkerPool) -> list[str]:
    """Processes of workers; each listens on a TCP port of its own."""
    return list(dict.fromkeys(process_of(worker) for worker in pool.spec.workers if worker.process))


def resolve_pool(given: PlanInput) -> dict[str, Any]:
    """The pool as the executor shall read it: processes are URLs, key files are absolute, what is left out is gone.

    Raises DataError where no worker is left.
    """
    document = given.pool.model_dump(mode="json", by_alias=True, exclude_unset=True)
    workers = []
    for spec, worker in zip(given.pool.spec.workers, document["spec"]["workers"], strict=True):
        if spec.name in given.left_out:
            continue
        if spec.process and spec.process.kind == "expert" and spec.process.model != spec.model:
            raise DataError(f"Worker {spec.name} must have the model {spec.process.model}, its engine's name.", field="model")
        if worker.pop("process", None):
            worker["url"] = f"http://{HOST}:{given.worker_ports[process_of(spec)]}/v1"
        if spec.auth and spec.auth.file:
            worker["auth"]["file"] = str(given.pool_file.parent / Path(spec.auth.file).expanduser())
        workers.append(worker)
    if not workers:
        reasons = " ".join(f"{name}: {reason}" for name, reason in given.left_out.items())
        raise DataError(f"No worker of {given.pool_file} can be used here. {reasons}", field="spec.workers")
    document["spec"]["workers"] = workers
    if given.pool.spec.routing.planner in given.left_out:
        del document["spec"]["routing"]["planner"]
    return document


def build_plan(given: PlanInput) -> StackPlan:
    """Every process of the stack. They start together: each service waits by itself for those that it calls."""
    components = [_router(given), *_workers(given), _executor(given), _gateway(given)]
    if given.with_conductor:
        components.append(_conductor(given))
    return StackPlan(
        name=given.layout.name,
        url=f"http://{HOST}:{given.port}",
        pool=str(given.pool_file),
        pool_name=given.pool.metadata.name,
        components=tuple(components),
        left_out=tuple(LeftOut(worker=name, reason=reason) for name, reason in given.left_out.items()),
        policy_generation=given.policy_generation,
    )


def _service(given: PlanInput, name: str, *, tier: int, settings: Mapping[str, object], required: bool = True) -> Component:
    """A gRPC service of ours, told its settings by the environment."""
    prefix = f"KUBEFUGU_{name.upper()}_"
    target = given.layout.target(name)
    told = {"listen": target, "drain_seconds": _DRAIN_S, "log_format": "console", **settings}
    return Component(
        name=name,
        argv=(given.python, "-m", f"kubefugu_{name}"),
        env={f"{prefix}{key.upper()}": str(value) for key, value in told.items() if value != ""},
        probe=Probe(kind="grpc", target=target),
        tier=tier,
        required=required,
    )


def _router(given: PlanInput) -> Component:
    layout = given.layout
    prefixes = [f"{folder.as_uri()}/" for folder in (given.pool_file.parent, ready_pools(), layout.policies_dir)]
    settings = {
        "backbone": given.backbone,
        "pool_file": layout.pool_file,
        "policy_set_file": layout.policy_set_file,
        "state_dir": layout.data_dir / ROUTER,
        "allowed_uri_prefixes": json.dumps(list(dict.fromkeys(prefixes))),
    }
    return _service(given, ROUTER, tier=_DECIDING_TIER, settings=settings)


def _executor(given: PlanInput) -> Component:
    settings = {
        "pool_file": given.layout.pool_file,
        "router_target": given.layout.target(ROUTER),
        "conductor_target": given.layout.target(CONDUCTOR) if given.with_conductor else "",
        "strengths_file": given.strengths.absolute() if given.strengths is not None else "",
        "decisions_url": f"sqlite:///{given.layout.data_dir / EXECUTOR / 'decisions.sqlite'}",
        "state_url": f"sqlite:///{given.layout.data_dir / EXECUTOR / 'state.sqlite'}",
    }
    return _service(given, EXECUTOR, tier=_EXECUTOR_TIER, settings=settings)


def _conductor(given: PlanInput) -> Component:
    # A pool of specialists alone has nobody who plans: the Conductor refuses it, and the stack goes on without.
    settings: dict[str, object] = {"pool_file": given.layout.pool_file}
    if given.conductor is not None:
        settings |= {"model": given.conductor_base, "artifact_url": given.conductor.absolute()}
    return _service(given, CONDUCTOR, tier=_DECIDING_TIER, settings=settings, required=False)


def _gateway(given: PlanInput) -> Component:
    env = {
        "KUBEFUGU_GATEWAY_HOST": HOST,
        "KUBEFUGU_GATEWAY_PORT": str(given.port),
        "KUBEFUGU_GATEWAY_EXECUTOR_TARGET": given.layout.target(EXECUTOR),
        "KUBEFUGU_GATEWAY_DRAIN_SECONDS": str(_DRAIN_S),
        "KUBEFUGU_GATEWAY_LOG_FORMAT": "console",
    }
    return Component(
        name=GATEWAY,
        argv=(given.python, "-m", "kubefugu_gateway"),
        env=env,
        probe=Probe(kind="http", target=f"http://{HOST}:{given.port}/readyz"),
        port=given.port,
        tier=_GATEWAY_TIER,
    )


def _workers(given: PlanInput) -> Sequence[Component]:
    servers = [_llamacpp(given, worker, worker.process) for worker in llamacpp_workers(given.pool) if worker.process]
    return servers + ([_experts(given)] if expert_workers(given.pool) else [])


def _llamacpp(given: PlanInput, worker: WorkerSpec, process: LocalProcess) -> Component:
    """llama.cpp's server for one model."""
    return _http_worker(
        given,
        process_of(worker),
        module="kubefugu_experts.llamacpp",
        prefix="KUBEFUGU_LLAMACPP_",
        settings={
            "model": given.model_files[process.model],
            "alias": worker.model,
            "context_tokens": process.context_tokens,
            "slots": process.slots,
        },
    )


def _experts(given: PlanInput) -> Component:
    """One process with every engine that the pool names."""
    engines = ",".join(dict.fromkeys(worker.process.model for worker in expert_workers(given.pool) if worker.process))
    return _http_worker(given, EXPERTS, module="kubefugu_experts", prefix="KUBEFUGU_EXPERTS_", settings={"engines": engines})


def _http_worker(given: PlanInput, name: str, *, module: str, prefix: str, settings: Mapping[str, object]) -> Component:
    port = given.worker_ports[name]
    told = {"host": HOST, "port": port, "drain_seconds": _DRAIN_S, "log_format": "console", **settings}
    return Component(
        name=name,
        argv=(given.python, "-m", module),
        env={f"{prefix}{key.upper()}": str(value) for key, value in told.items()},
        probe=Probe(kind="http", target=f"http://{HOST}:{port}/health"),
        port=port,
        tier=_WORKER_TIER,
    )
