"""Strict binding of an artifact to a backbone and a pool: what does not belong together is refused, never guessed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from kubefugu_core.errors import ArtifactRefusedError
from kubefugu_core.pool import WorkerPool
from kubefugu_routing.backbone.info import BackboneInfo
from kubefugu_routing.policy.artifact import PolicyArtifact
from kubefugu_routing.svf.layout import layout_of


@dataclass(frozen=True, slots=True)
class Policy:
    """An artifact that belongs to this backbone and, where one was given, to this pool."""

    artifact: PolicyArtifact
    absent: tuple[str, ...] = ()
    """Workers with a row that the pool lacks: masked."""
    untrained: tuple[str, ...] = ()
    """Workers of the pool without a row: ranked behind those that have one."""

    @property
    def rows(self) -> tuple[tuple[str, str], ...]:
        """(worker name, model) of each worker row."""
        return tuple((row.name, row.model) for row in self.artifact.workers)


def bind(artifact: PolicyArtifact, info: BackboneInfo, pool: WorkerPool | Mapping[str, str] | None = None) -> Policy:
    """Check an artifact against a backbone and a pool (a manifest, or worker name -> model; None: not checked).

    Raises ArtifactRefusedError if the backbone or its revision differs, a shape does not fit, offsets come without a factor
    bundle, no row matches the pool, or a row's worker now names another model.
    """
    difference = info.differs_from(backbone_id=artifact.backbone_id, revision=artifact.backbone_revision)
    if difference:
        raise ArtifactRefusedError(f"The artifact was {difference}.", field="backbone")
    if artifact.head.shape[1] != info.hidden_size:
        raise ArtifactRefusedError(
            f"The head has {artifact.head.shape[1]} columns, the backbone's hidden size is {info.hidden_size}.", field="head"
        )
    layout = layout_of(info, artifact.layer)
    if artifact.offsets is not None:
        artifact.offsets.check(layout)
        if artifact.offsets.needed_factors(tied=info.tied) and artifact.factors is None:
            raise ArtifactRefusedError("The artifact has offsets but names no factor bundle.", field="factors")
    if pool is None:
        return Policy(artifact)
    models = _models(pool)
    for row in artifact.workers:
        if row.name in models and models[row.name] != row.model:
            raise ArtifactRefusedError(
                f"The row of worker {row.name!r} was trained for model {row.model!r}, the pool now has {models[row.name]!r}.",
                field="workers",
            )
    names = [row.name for row in artifact.workers]
    if not any(name in models for name in names):
        raise ArtifactRefusedError("No row of the artifact belongs to a worker of the pool.", field="workers")
    absent = tuple(name for name in names if name not in models)
    return Policy(artifact, absent=absent, untrained=tuple(name for name in models if name not in names))


def _models(pool: WorkerPool | Mapping[str, str]) -> Mapping[str, str]:
    if isinstance(pool, WorkerPool):
        return {worker.name: worker.model for worker in pool.spec.workers}
    return pool
