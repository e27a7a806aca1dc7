"""The seam between the router service and the engine's host: token ids in, row logits out.

Two hosts implement it: the engine in this process (hosts/inprocess.py) and a Triton model repository. The service tokenises,
assigns versions, masks and selects; a host batches, computes and keeps policies resident.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from kubefugu_routing.backbone.info import BackboneInfo
from kubefugu_routing.policy import Policy

FloatArray = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class StagedPolicy:
    """A policy that was fetched, checked and bound, with its file on this machine."""

    version: str
    sha256: str
    """Of the file."""
    path: Path
    policy: Policy


@dataclass(frozen=True, slots=True)
class Question:
    """One token sequence, to be decided by one or several resident versions in one pass."""

    token_ids: Sequence[int]
    versions: tuple[str, ...]
    deadline_s: float
    """On time.monotonic's clock; the host gives up at this time."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Row logits by version, in the artifact's row order."""

    logits: Mapping[str, FloatArray]
    cached_tokens: int = 0
    queue_ms: float = 0.0
    engine_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class InstanceAnswer:
    """A probe's result on one engine instance."""

    instance: str
    logits: FloatArray
    sha256: str
    """Of the policy that decided there."""


class EngineHost(Protocol):
    """Keeps policies resident on every engine instance and decides with them.

    Errors: PolicyNotFoundError for a version that is not resident, OverloadedError for a full queue, DeadlineExceededError,
    UnavailableError where no instance can decide now, ArtifactRefusedError for a policy that cannot be applied.
    """

    @property
    def info(self) -> BackboneInfo:
        """The backbone that the engine runs."""
        ...

    async def start(self) -> None:
        """Get ready to decide."""
        ...

    async def close(self) -> None:
        """Stop; what still waits fails with UnavailableError."""
        ...

    async def load(self, staged: StagedPolicy) -> None:
        """Make a version resident on every instance while others go on deciding."""
        ...

    async def unload(self, version: str) -> None:
        """Let go of a version; requests in flight still finish. Unknown versions are ignored."""
        ...

    async def probe(self, version: str, token_ids: Sequence[int], *, timeout_s: float) -> Sequence[InstanceAnswer]:
        """Decide on every instance."""
        ...

    async def decide(self, question: Question) -> Answer:
        """Decide; cancelling the call drops the request."""
        ...

    async def pulse(self, *, timeout_s: float) -> None:
        """A real inference of two tokens; raises UnavailableError when the engine can't decide."""
        ...


class HostObserver(Protocol):
    """What a host tells about its work."""

    def step(self, *, sequences: int, tokens: int, seconds: float) -> None:
        """An engine step ended."""
        ...

    def queue(self, *, requests: int) -> None:
        """Requests that wait or are being computed."""
        ...

    def finished(self, *, computed_tokens: int, cached_tokens: int, cache_bytes: int) -> None:
        """A sequence was decided."""
        ...
