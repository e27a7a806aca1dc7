"""From a table, a backbone and perhaps an artifact to the frozen problem and the start of the search.

Frozen into the run directory's snapshot/ on the first start and read from there afterwards: a copy of the table, problem.npz,
start.npz and, where offsets move, the factor bundle.
"""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kubefugu_core.errors import ArtifactRefusedError, DataError
from kubefugu_routing.formats import RouterFormat
from kubefugu_routing.policy import PolicyArtifact, WorkerRow
from kubefugu_routing.policy.artifact import FactorRef
from kubefugu_routing.svf import LAYER_BLOCKS, SvfOffsets, TieMode, default_layer, layout_of
from kubefugu_trainer.evolution import holdout
from kubefugu_trainer.evolution.config import EvolutionConfig
from kubefugu_trainer.evolution.problem import Problem
from kubefugu_trainer.evolution.vector import Vector, VectorLayout, feature_scale, layout_for
from kubefugu_trainer.features.extract import FeatureSource
from kubefugu_trainer.outcomes.table import OutcomeTable
from kubefugu_trainer.runs.artifacts import keep_bundle
from kubefugu_trainer.runs.directory import RunDirectory
from kubefugu_trainer.runs.files import replace_file

_PROBLEM, _START = "snapshot/problem.npz", "snapshot/start.npz"


@dataclass(frozen=True)
class Prepared:
    """What a run works on."""

    table: OutcomeTable
    problem: Problem
    start: Vector
    """x at the start, (N,)."""
    scale: Vector
    """Unit of each coordinate, (N,): the optimiser searches z with x = scale * z."""
    template: PolicyArtifact
    """The start as an artifact: rows, format, what of it does not move."""
    backbone: str
    """Reference it was loaded by."""

    live = False
    """See Subject."""

    @property
    def train_rows(self) -> NDArray[np.int64]:
        """See Subject."""
        return holdout.training(self.table)

    @property
    def worker_names(self) -> tuple[str, ...]:
        """See Subject."""
        return self.table.workers

    @property
    def data_sha256(self) -> str:
        """See Subject."""
        return self.table.sha256

    @property
    def provenance(self) -> dict[str, str]:
        """See Subject."""
        return {}

    def artifact(self, x: Vector) -> PolicyArtifact:
        """See Subject."""
        return found_artifact(self, x, bundle_sha256=hashlib.sha256(self.problem.bundle).hexdigest())


def starting_artifact(
    table: OutcomeTable, source: FeatureSource, init: PolicyArtifact | None, fmt: str, *, bundle: FactorRef | None = None
) -> PolicyArtifact:
    """The start of the search for the table's workers: the artifact's rows by name, zeros for workers without one.

    `bundle`: the published factors that offsets are searched in, where the artifact names none.

    Raises ArtifactRefusedError for another backbone, or where the artifact knows none of the workers; DataError for a format
    that the backbone can't read.
    """
    info = source.backbone.info
    models = table.provenance.get("models", {})
    rows = tuple(WorkerRow(name, str(models.get(name, name))) for name in table.workers)
    if init is None:
        chosen = source.formats[0] if fmt == "auto" else RouterFormat(fmt)
        if chosen not in source.formats:
            raise DataError(f"The backbone has no chat template, so --format {fmt} is not possible.", field="format")
        head = np.zeros((len(rows), info.hidden_size), dtype=np.float32)
        return PolicyArtifact(
            info.id, info.revision, default_layer(info), head, rows, roles=False, input_format=chosen, factors=bundle
        )
    why = info.differs_from(backbone_id=init.backbone_id, revision=init.backbone_revision)
    if why:
        raise ArtifactRefusedError(f"The artifact cannot be the start: {why}.", field="init")
    if fmt not in ("auto", init.input_format.value):
        raise DataError(f"The artifact reads the format {init.input_format.value}, not {fmt}.", field="format")
    by_name = {row.name: i for i, row in enumerate(init.workers)}
    if not any(name in by_name for name in table.workers):
        raise ArtifactRefusedError(f"The artifact has no row of {', '.join(table.workers)}.", field="init")
    head = np.zeros((len(rows), init.head.shape[1]), dtype=np.float32)
    for i, name in enumerate(table.workers):
        if name in by_name:
            head[i] = init.head[by_name[name]]
    kept = tuple(init.workers[by_name[row.name]] if row.name in by_name else row for row in rows)
    head = np.concatenate([head, init.head[len(init.workers) :]])
    return PolicyArtifact(
        info.id, info.revision, init.layer, head, kept, roles=init.roles, input_format=init.input_format,
        tie_mode=init.tie_mode, offsets=init.offsets, factors=init.factors or bundle,
    )  # fmt: skip


def prepare(
    config: EvolutionConfig,
    table: OutcomeTable,
    *,
    source: FeatureSource,
    backbone: str,
    template: PolicyArtifact,
    beside: Path | None,
    run: RunDirectory,
    threads: int,
) -> Prepared:
    """Read the run's snapshot, or make it. `beside`: file of the start's artifact, beside which its bundle may lie."""
    if not (run.path / _START).is_file():
        _freeze(config, table, source=source, backbone=backbone, template=template, beside=beside, run=run, threads=threads)
    problem = Problem.from_bytes((run.path / _PROBLEM).read_bytes())
    with np.load(run.path / _START, allow_pickle=False) as arrays:
        return Prepared(table, problem, arrays["start"], arrays["scale"], template, backbone)


def _freeze(
    config: EvolutionConfig,
    table: OutcomeTable,
    *,
    source: FeatureSource,
    backbone: str,
    template: PolicyArtifact,
    beside: Path | None,
    run: RunDirectory,
    threads: int,
) -> None:
    if config.cost_weight > 0 and table.costs is None:
        raise DataError(f"{table.source}: --cost-weight needs a 'cost:<worker>' column for every worker", field="cost_weight")
    info = source.backbone.info
    svf = layout_of(info, template.layer)
    workers = len(table.workers)
    layout = layout_for(config.offsets, svf, rows=workers, width=info.hidden_size, tied=info.tied)
    head = template.head[:workers]
    features, tokens, bundle = None, None, b""
    if config.offsets == "none":
        features = _features(table, source, template, beside)
    else:
        _check_moves(layout, template, tied=info.tied)
        bundle = _bundle(config, source, template, beside, run)
        tokens = _tokens(table, source, template)
    problem = Problem(
        scores=table.scores,
        costs=table.costs,
        layout=layout,
        entropy_weight=config.entropy_weight,
        cost_weight=config.cost_weight,
        backbone=backbone,
        backbone_revision=info.revision,
        layer=template.layer,
        tie_mode=template.tie_mode.value,
        features=features,
        tokens=tokens,
        bundle=bundle,
        threads=threads,
    )
    scale = np.ones(layout.total)
    if config.scaling == "features":
        shown = features if features is not None else _features(table, source, template, beside)
        scale = feature_scale(layout, shown[table.rows("train")], head)
    blocks = template.offsets.blocks if template.offsets is not None else {}
    _write(run, table, problem, layout.join(blocks, head), scale)


def _write(run: RunDirectory, table: OutcomeTable, problem: Problem, start: Vector, scale: Vector) -> None:
    """start.npz is last: its presence says that the snapshot is whole."""
    original = Path(table.source)
    with replace_file(run.path / "snapshot" / f"table{original.suffix}") as copy, original.open("rb") as read:
        shutil.copyfileobj(read, copy)
    with replace_file(run.path / _PROBLEM) as file:
        file.write(problem.to_bytes())
    with replace_file(run.path / _START) as file:
        np.savez(file, start=start, scale=scale)


def _features(table: OutcomeTable, source: FeatureSource, template: PolicyArtifact, beside: Path | None) -> NDArray[np.float32]:
    variant = None
    if template.offsets is not None and template.has_offsets:
        from kubefugu_routing.svf.bundles import find_bundle

        factors = find_bundle(template.factors, beside=beside) if template.factors else None
        variant = source.engine.variant(template.offsets, factors)
    return source.features(table.messages, template.input_format, num_agents=len(table.workers), variant=variant)


def _tokens(table: OutcomeTable, source: FeatureSource, template: PolicyArtifact) -> tuple[NDArray[np.int32], ...]:
    return tuple(
        np.array(source.tokens(messages, template.input_format, num_agents=len(table.workers)), dtype=np.int32)
        for messages in table.messages
    )


def _check_moves(layout: VectorLayout, template: PolicyArtifact, *, tied: bool) -> None:
    if template.offsets is None:
        return
    if template.offsets.embedding_blocks(tied=tied) and all(name in LAYER_BLOCKS for name in layout.blocks):
        raise ArtifactRefusedError("The artifact moves the embedding; search with --offsets all.", field="init")


def _bundle(
    config: EvolutionConfig, source: FeatureSource, template: PolicyArtifact, beside: Path | None, run: RunDirectory
) -> bytes:
    """The factor bundle's bytes; the file lies in the run directory under its hash, where its artifact is looked for too."""
    from kubefugu_routing.svf.bundles import find_bundle
    from kubefugu_routing.svf.factors import make_bundle

    if template.factors is not None:
        prefixes = (template.factors.uri,) if template.factors.uri else ()
        bundle = find_bundle(template.factors, beside=beside, allowed_prefixes=prefixes)
    else:
        bundle = make_bundle(source.backbone, layer=template.layer, embedding=config.offsets == "all")
    names = LAYER_BLOCKS if config.offsets == "layer" else ("embed_tokens", *LAYER_BLOCKS)
    bundle.check(source.backbone, names, layer=template.layer)
    return keep_bundle(run.path, bundle).read_bytes()


def found_artifact(prepared: Prepared, x: Vector, *, bundle_sha256: str) -> PolicyArtifact:
    """The vector as an artifact; rows and offsets that did not move are the start's."""
    template = prepared.template
    blocks, head = prepared.problem.layout.split(x)
    offsets, factors = template.offsets, template.factors
    if prepared.problem.layout.blocks:
        moved = SvfOffsets(layer=template.layer, tie_mode=TieMode(prepared.problem.tie_mode), blocks=blocks)
        offsets = moved if moved.non_zero else None
        factors = (template.factors or FactorRef(uri="", sha256=bundle_sha256)) if moved.non_zero else None
    full = np.concatenate([head, template.head[len(template.workers) :]])
    return PolicyArtifact(
        template.backbone_id, template.backbone_revision, template.layer, full, template.workers, roles=template.roles,
        input_format=template.input_format, tie_mode=template.tie_mode, offsets=offsets, factors=factors,
    )  # fmt: skip
