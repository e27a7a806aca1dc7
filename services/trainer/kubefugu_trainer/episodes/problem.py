"""Everything that an episode's fitness depends on, as one document: frozen into the run directory, sent to evaluators.

The questions are drawn again from the task sets, files by value, wherever they are needed and checked against their checksum.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
from pydantic import ValidationError

from kubefugu_core.errors import DataError
from kubefugu_core.pool import WorkerPool
from kubefugu_routing.policy import WorkerRow
from kubefugu_trainer.episodes.config import EpisodeConfig
from kubefugu_trainer.episodes.questions import EpisodeSet, questions_of
from kubefugu_trainer.evolution.vector import VectorLayout
from kubefugu_trainer.runs.replies import writable

FORMAT = "kubefugu-episodes/1"


@dataclass(frozen=True)
class EpisodeProblem:
    """See the module."""

    episodes: EpisodeConfig
    pool: Mapping[str, Any]
    """The WorkerPool manifest, by value."""
    rows: tuple[WorkerRow, ...]
    """The L worker rows of the head; three role rows follow."""
    agents: int
    """`{num_agents}` of the dispatcher prompt: stage 1's, so that new rows leave its decisions as they were."""
    width: int
    """Hidden size d."""
    input_format: str
    backbone: str
    backbone_revision: str
    questions_sha256: str
    replies: str
    """File that keeps replies and hidden states; evaluators of other machines have one of their own."""
    entropy_weight: float
    cost_weight: float
    threads: int
    files: Mapping[str, str] = field(default_factory=dict)
    """Texts of the question files among the task sets: evaluators can't read the driver's disk."""

    @property
    def layout(self) -> VectorLayout:
        """Worker and role rows move; offsets do not, because every new transcript would cost each candidate a forward pass."""
        return VectorLayout({}, len(self.rows) + 3, self.width)

    @property
    def workers(self) -> int:
        """L."""
        return len(self.rows)

    @property
    def replies_file(self) -> Path:
        """`replies` as a path that can be written to."""
        return writable(Path(self.replies))

    def worker_pool(self) -> WorkerPool:
        """The pool's model."""
        return WorkerPool.model_validate(dict(self.pool))

    def questions(self) -> EpisodeSet:
        """The questions. Raises DataError where this machine draws others (another version)."""
        found = questions_of(self.episodes, files=self.files)
        if found.sha256 != self.questions_sha256:
            raise DataError("The task sets give other questions here than where the run was begun.", field="tasks")
        return found

    def to_bytes(self) -> bytes:
        """JSON."""
        return orjson.dumps(
            {
                "format": FORMAT,
                "episodes": self.episodes.model_dump(mode="json"),
                "pool": dict(self.pool),
                "rows": [[row.name, row.model] for row in self.rows],
                "agents": self.agents,
                "width": self.width,
                "input_format": self.input_format,
                "backbone": self.backbone,
                "backbone_revision": self.backbone_revision,
                "questions_sha256": self.questions_sha256,
                "replies": self.replies,
                "entropy_weight": self.entropy_weight,
                "cost_weight": self.cost_weight,
                "threads": self.threads,
                "files": dict(self.files),
            },
            option=orjson.OPT_SORT_KEYS,
        )

    @classmethod
    def from_bytes(cls, raw: bytes) -> EpisodeProblem:
        """Read `to_bytes` back. Raises DataError for anything else."""
        try:
            document = orjson.loads(raw)
            if document.pop("format") != FORMAT:
                raise DataError(f"The problem's format is not {FORMAT}.")
            document["episodes"] = EpisodeConfig.model_validate(document["episodes"])
            document["rows"] = tuple(WorkerRow(name, model) for name, model in document["rows"])
            return cls(**document)
        except (orjson.JSONDecodeError, ValidationError, KeyError, TypeError, ValueError, AttributeError) as error:
            raise DataError(f"The problem can't be read: {error}.") from error
