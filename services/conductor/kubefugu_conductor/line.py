"""A declared line of trained Conductors: which are loaded, which one plans for whom, and how a new declaration takes over.

A declaration is taken as a whole: every version that it names is fetched, checked against the base model and has written a few
tokens before one reference is exchanged. If any of it fails, what planned goes on planning and the refused version says why.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import structlog

from kubefugu_conductor.local import LocalModel, LocalWriter, fetched, trained_writer
from kubefugu_core.errors import ArtifactRefusedError, ConflictError, KubefuguError, spec_of
from kubefugu_core.policy_sets import DeclaredSet, Source, succeeds

_log = structlog.get_logger()
_PROBE = ({"role": "user", "content": "What is 17 + 25?"},)
_PROBE_TOKENS = 4


@dataclass(frozen=True, slots=True)
class Resident:
    """A version that is loaded."""

    version: str
    sha256: str
    writer: LocalWriter


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a version is not loaded."""

    sha256: str
    reason: str
    message: str


@dataclass(eq=False)
class PlannerLine:
    """Applies declarations and gives each conversation its planner. A shadow is loaded and does not plan."""

    model: LocalModel
    allowed_prefixes: Sequence[str]
    report: Callable[[bool], Awaitable[None]]
    """Is told whether this process can plan as declared."""
    declared: DeclaredSet | None = None
    """The accepted declaration; None: none was accepted yet, others plan."""
    residents: dict[str, Resident] = field(default_factory=dict)
    refusals: dict[str, Refusal] = field(default_factory=dict)
    _required: int = 0
    _was_ready: bool = False
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    def writer(self, conversation_key: str) -> LocalWriter | None:
        """Who plans for a conversation; None where nothing was ever declared."""
        if self.declared is None:
            return None
        version, _ = self.declared.deciding(conversation_key)
        return self.residents[version].writer

    def require(self, generation: int) -> None:
        """A declaration was found that a starting Conductor has to serve."""
        self._required = generation

    async def refresh(self) -> None:
        """Tell whether this process can plan as declared. What is refused later leaves the old one planning, and it ready."""
        generation = self.declared.generation if self.declared else 0
        self._was_ready = self._was_ready or generation >= self._required
        await self.report(self._was_ready)

    async def apply(self, declared: DeclaredSet) -> None:
        """Take a declaration over; idempotent.

        Raises StaleGenerationError, ConflictError, ArtifactRefusedError or UnavailableError; what planned then goes on.
        """
        async with self._lock:
            if not succeeds(declared, self.declared):
                return
            started = time.monotonic()
            loaded = {version: await self._prepare(version, declared.sources.get(version)) for version in declared.named}
            # Versions that nobody names are dropped: their weights are as large as a part of the base model.
            self.residents, self.declared = loaded, declared
            self.refusals = {version: why for version, why in self.refusals.items() if version not in loaded}
        _log.info(
            "conductors_applied",
            generation=declared.generation,
            active=declared.active,
            canary=declared.canary.version if declared.canary else None,
            seconds=round(time.monotonic() - started, 3),
        )

    async def _prepare(self, version: str, source: Source | None) -> Resident:
        there = self.residents.get(version)
        if there is not None:
            if source is not None and source.sha256 != there.sha256:
                raise ConflictError(
                    f"Version {version} is loaded with sha256 {there.sha256}; versions don't change.",
                    field="policy_set.sources.sha256",
                )
            return there
        try:
            if source is None:
                raise ArtifactRefusedError(f"{version} has no source.", field="policy_set.sources")
            writer = await asyncio.to_thread(self._load, version, source)
            await self._probe(writer)
        except KubefuguError as error:
            reason = spec_of(error).reason
            self.refusals[version] = Refusal(source.sha256 if source else "", reason, error.message)
            _log.warning("conductor_refused", version=version, reason=reason, message=error.message)
            raise
        return Resident(version, source.sha256, writer)

    def _load(self, version: str, source: Source) -> LocalWriter:
        from kubefugu_routing.causal.artifact import load_conductor

        path = fetched(source.uri, source.sha256, allowed_prefixes=self.allowed_prefixes)
        return trained_writer(self.model, load_conductor(path), version=version)

    async def _probe(self, writer: LocalWriter) -> None:
        logprobs = await writer.probe(_PROBE, max_tokens=_PROBE_TOKENS)
        if not logprobs or not all(math.isfinite(logprob) for logprob in logprobs):
            raise ArtifactRefusedError(f"{writer.version} gives probabilities that are not finite.", field="artifact")
