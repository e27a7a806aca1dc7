"""Which model names there are, and what each one means."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from google.protobuf import timestamp_pb2

from kubefugu.executor.v1 import executor_pb2 as pb
from kubefugu_coordination.workers import PoolSnapshot
from kubefugu_core.errors import ModelNotFoundError
from kubefugu_core.options import Mode
from kubefugu_core.pool import WorkerSpec


@dataclass(frozen=True, slots=True)
class Target:
    """What a model name asks for. `worker` is set for a pass-through only."""

    mode: Mode
    worker: str = ""


def resolve_model(model: str, pool: PoolSnapshot) -> Target:
    """A worker by its name; `fugu`, `fugu-ultra`; the same behind `POOL/`; the pool's own name means its default mode.

    Raises ModelNotFoundError.
    """
    if model in pool.clients:
        return Target(Mode.WORKER, model)
    if model == pool.name:
        return Target(Mode(pool.pool.spec.routing.mode.value))
    name = model.removeprefix(f"{pool.name}/")
    if name in (Mode.FUGU.value, Mode.FUGU_ULTRA.value):
        return Target(Mode(name))
    if name in pool.clients:
        return Target(Mode.WORKER, name)
    raise ModelNotFoundError(f"The model {model!r} does not exist.", field="model")


def list_models(pool: PoolSnapshot, *, with_workflows: bool, created_s: int) -> list[pb.Model]:
    """The coordinated models first, then the workers in the pool's order."""
    created = timestamp_pb2.Timestamp(seconds=created_s)
    specs = pool.pool.spec.workers
    names = [Mode.FUGU.value] + ([Mode.FUGU_ULTRA.value] if with_workflows else [])
    return [_together(name, specs, created) for name in names] + [_worker(spec, pool.name, created) for spec in specs]


def _together(name: str, specs: Sequence[WorkerSpec], created: timestamp_pb2.Timestamp) -> pb.Model:
    return pb.Model(
        id=name,
        owned_by="kubefugu",
        created=created,
        context_tokens=max(spec.context_tokens for spec in specs),
        capabilities=sorted({capability.value for spec in specs for capability in spec.capabilities}),
    )


def _worker(spec: WorkerSpec, pool: str, created: timestamp_pb2.Timestamp) -> pb.Model:
    return pb.Model(
        id=spec.name,
        owned_by=pool,
        created=created,
        context_tokens=spec.context_tokens,
        capabilities=[capability.value for capability in spec.capabilities],
    )
