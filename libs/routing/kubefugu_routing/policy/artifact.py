"""The policy artifact: head, offsets and everything that says what they belong to."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kubefugu_core.errors import ArtifactRefusedError
from kubefugu_routing.formats import RouterFormat
from kubefugu_routing.selection import ROLES
from kubefugu_routing.svf.offsets import SvfOffsets, TieMode

_SHA256 = re.compile(r"^[0-9a-f]{64}$")


@dataclass(frozen=True, slots=True)
class WorkerRow:
    """The worker that a head row was trained for."""

    name: str
    model: str


@dataclass(frozen=True, slots=True)
class FactorRef:
    """The factor bundle that non-zero offsets refer to; near-degenerate bases don't reproduce between machines."""

    uri: str
    """file://, https:// or another fsspec URL; empty: found by hash in the cache or beside the artifact."""
    sha256: str
    """Lower-case hex of the bundle's file."""


@dataclass(frozen=True)
class PolicyArtifact:
    """A trained policy. Construction checks what can be checked without a backbone; raises ArtifactRefusedError."""

    backbone_id: str
    backbone_revision: str
    layer: int
    """Layer whose matrices are adapted, also where there are no offsets."""
    head: NDArray[np.float32]
    """Shape (L, d) or, with role rows, (L + 3, d); no bias."""
    workers: tuple[WorkerRow, ...]
    """The L worker rows, in order."""
    roles: bool
    """True: three role rows (solver, thinker, verifier) follow the worker rows."""
    input_format: RouterFormat = RouterFormat.RAW
    tie_mode: TieMode = TieMode.AUTHOR
    offsets: SvfOffsets | None = None
    factors: FactorRef | None = None
    training: Mapping[str, Any] = field(default_factory=dict)
    """Provenance: run, command, data hash, seed; JSON."""
    metrics: Mapping[str, Any] = field(default_factory=dict)
    """Held-out figures; JSON."""
    told_agents: int | None = None
    """`{num_agents}` of the dispatcher prompt where rows were added or taken out after training; None: as many as rows."""

    def __post_init__(self) -> None:
        _check_head(self)
        _check_rows(self)
        if self.offsets is not None and self.offsets.layer != self.layer:
            raise ArtifactRefusedError(
                f"The offsets are for layer {self.offsets.layer}, the artifact says {self.layer}.", field="layer"
            )
        if self.offsets is not None and self.offsets.tie_mode is not self.tie_mode:
            raise ArtifactRefusedError("The offsets' tie mode differs from the artifact's.", field="tie_mode")
        if self.told_agents is not None and self.told_agents < 1:
            raise ArtifactRefusedError("The dispatcher prompt must name at least one agent.", field="num_agents")
        if self.factors is not None and not _SHA256.match(self.factors.sha256):
            raise ArtifactRefusedError("factors.sha256 is not 64 lower-case hex digits.", field="factors.sha256")

    @property
    def num_agents(self) -> int:
        """`{num_agents}` of the dispatcher prompt: the worker rows that the head was trained with.

        It stays when rows are added or taken out later, or every other row would read another text than it was trained on.
        """
        return len(self.workers) if self.told_agents is None else self.told_agents

    @property
    def has_offsets(self) -> bool:
        """True if some offset is not zero."""
        return self.offsets is not None and bool(self.offsets.non_zero)

    @property
    def row_names(self) -> tuple[str, ...]:
        """Worker names, then role names where there are role rows."""
        return tuple(row.name for row in self.workers) + (tuple(role.value for role in ROLES) if self.roles else ())


def _check_head(artifact: PolicyArtifact) -> None:
    head = artifact.head
    if head.dtype != np.float32 or head.ndim != 2:
        raise ArtifactRefusedError(
            f"The head must be a float32 matrix, got {head.dtype} with {head.ndim} dimensions.", field="head"
        )
    expected = len(artifact.workers) + (len(ROLES) if artifact.roles else 0)
    if head.shape[0] != expected:
        raise ArtifactRefusedError(
            f"The head has {head.shape[0]} rows; {len(artifact.workers)} workers"
            f"{' and 3 roles' if artifact.roles else ''} need {expected}.",
            field="head",
        )
    if not np.isfinite(head).all():
        raise ArtifactRefusedError("The head holds NaN or infinity.", field="head")


def _check_rows(artifact: PolicyArtifact) -> None:
    if not artifact.workers:
        raise ArtifactRefusedError("The artifact names no worker.", field="workers")
    names = [row.name for row in artifact.workers]
    if len(set(names)) != len(names):
        raise ArtifactRefusedError("A worker has two rows.", field="workers")
    if not all(row.name and row.model for row in artifact.workers):
        raise ArtifactRefusedError("Every row needs a worker name and a model.", field="workers")
    if artifact.layer < 0:
        raise ArtifactRefusedError("The layer must not be negative.", field="layer")
