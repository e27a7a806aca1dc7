"""What a run searches on, as the driver sees it: an outcome table, or live episodes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from kubefugu_routing.policy import PolicyArtifact
from kubefugu_trainer.evolution.vector import Vector, VectorLayout

Judge = Callable[[Vector, Callable[[], None]], dict[str, Any]]
"""Held-out figures of a vector; the second argument is called now and then and raises where the run was asked to end."""


class Measurable(Protocol):
    """Everything that fitness depends on."""

    @property
    def layout(self) -> VectorLayout:
        """Parts of the vector."""
        ...

    @property
    def workers(self) -> int:
        """L."""
        ...


class Subject(Protocol):
    """See the module."""

    @property
    def problem(self) -> Measurable:
        """What candidates are measured on."""
        ...

    @property
    def start(self) -> Vector:
        """x at the start, (N,)."""
        ...

    @property
    def scale(self) -> Vector:
        """Unit of each coordinate, (N,): the optimiser searches z with x = scale * z."""
        ...

    @property
    def train_rows(self) -> NDArray[np.int64]:
        """Questions that are searched on."""
        ...

    @property
    def worker_names(self) -> Sequence[str]:
        """Workers in row order."""
        ...

    @property
    def data_sha256(self) -> str:
        """Checksum of the questions."""
        ...

    @property
    def live(self) -> bool:
        """True: episodes, whose draws carry seeds."""
        ...

    @property
    def provenance(self) -> Mapping[str, Any]:
        """What the artifact's training record says beside the run's own."""
        ...

    def artifact(self, x: Vector) -> PolicyArtifact:
        """The vector as an artifact."""
        ...
