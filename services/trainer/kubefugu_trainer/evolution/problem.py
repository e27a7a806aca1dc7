"""Everything that fitness depends on, as plain arrays: frozen into the run directory, sent to evaluators as one blob.

Features are sent rather than computed again, because the last bits of a hidden state depend on how questions were batched:
every process must see the same numbers for a trajectory to be reproducible.
"""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kubefugu_core.errors import DataError
from kubefugu_trainer.evolution.vector import VectorLayout

FloatArray = NDArray[np.float64]
_FORMAT = "kubefugu-problem/1"


@dataclass(frozen=True)
class Problem:
    """Outcomes of n questions and L workers, and what their logits are computed from."""

    scores: FloatArray
    """(n, L), all splits."""
    costs: FloatArray | None
    """(n, L) US dollars."""
    layout: VectorLayout
    entropy_weight: float
    cost_weight: float
    backbone: str
    """Reference that evaluators load where offsets move."""
    backbone_revision: str
    layer: int
    """Adapted layer."""
    tie_mode: str
    features: NDArray[np.float32] | None = None
    """(n, d): where the head moves alone."""
    tokens: tuple[NDArray[np.int32], ...] | None = None
    """Token ids of each question: where offsets move."""
    bundle: bytes = b""
    """The factor bundle's file: where offsets move."""
    threads: int = 0
    """Threads that compute fitness in every process (the last bits depend on their number); 0: torch's default."""

    @property
    def workers(self) -> int:
        """L."""
        return int(self.scores.shape[1])

    def to_bytes(self) -> bytes:
        """A numpy archive; nothing in it has to be unpickled."""
        document = {
            "format": _FORMAT,
            "blocks": dict(self.layout.blocks), "rows": self.layout.rows, "width": self.layout.width,
            "entropy_weight": self.entropy_weight, "cost_weight": self.cost_weight,
            "backbone": self.backbone, "backbone_revision": self.backbone_revision, "layer": self.layer,
            "tie_mode": self.tie_mode, "threads": self.threads,
        }  # fmt: skip
        arrays: dict[str, NDArray[Any]] = {
            "document": np.frombuffer(json.dumps(document).encode(), dtype=np.uint8),
            "scores": self.scores,
            "bundle": np.frombuffer(self.bundle, dtype=np.uint8),
        }
        if self.costs is not None:
            arrays["costs"] = self.costs
        if self.features is not None:
            arrays["features"] = self.features
        if self.tokens is not None:
            arrays["token_lengths"] = np.array([len(ids) for ids in self.tokens], dtype=np.int64)
            arrays["tokens"] = np.concatenate(self.tokens) if self.tokens else np.zeros(0, dtype=np.int32)
        buffer = io.BytesIO()
        np.savez(buffer, **arrays)  # type: ignore[arg-type]  # one might be called allow_pickle
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, raw: bytes) -> Problem:
        """Read `to_bytes` back. Raises DataError for anything else."""
        try:
            with np.load(io.BytesIO(raw), allow_pickle=False) as archive:
                arrays = {name: archive[name] for name in archive.files}
            document = json.loads(arrays["document"].tobytes())
            if document["format"] != _FORMAT:
                raise DataError(f"The problem's format {document['format']!r} is not {_FORMAT}.")
            return cls(
                scores=arrays["scores"],
                costs=arrays.get("costs"),
                layout=VectorLayout(document["blocks"], int(document["rows"]), int(document["width"])),
                entropy_weight=float(document["entropy_weight"]),
                cost_weight=float(document["cost_weight"]),
                backbone=document["backbone"],
                backbone_revision=document["backbone_revision"],
                layer=int(document["layer"]),
                tie_mode=document["tie_mode"],
                features=arrays.get("features"),
                tokens=_unpack_tokens(arrays),
                bundle=arrays["bundle"].tobytes(),
                threads=int(document["threads"]),
            )
        except (KeyError, ValueError, TypeError, OSError, zipfile.BadZipFile) as error:
            raise DataError(f"The problem can't be read: {error}.") from error


def _unpack_tokens(arrays: dict[str, NDArray[Any]]) -> tuple[NDArray[np.int32], ...] | None:
    if "token_lengths" not in arrays:
        return None
    stops = np.cumsum(arrays["token_lengths"])
    return tuple(np.split(arrays["tokens"], stops[:-1]))
