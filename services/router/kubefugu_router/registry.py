"""Which policies are resident, which of them decide, and how a new declaration takes over.

A declaration is taken as a whole: every version that it names is staged, loaded, warmed and probed on every instance, the
declaration is written to disk, and only then one reference is exchanged. If any of it fails, what served goes on serving and
the refused version says why. A decision holds the declaration that it began with, so it never mixes two.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import structlog

from kubefugu_core.errors import (
    ArtifactRefusedError,
    ConflictError,
    KubefuguError,
    PolicyNotFoundError,
    UnavailableError,
    spec_of,
)
from kubefugu_core.policy_sets import DeclaredSet, Source, succeeds
from kubefugu_router.domain.ports import EngineHost, InstanceAnswer, StagedPolicy
from kubefugu_router.encoding import Encoder
from kubefugu_router.staging import Stager
from kubefugu_router.store import PolicyStore
from kubefugu_routing.formats import Message
from kubefugu_routing.policy import PolicyArtifact

_log = structlog.get_logger()
PROBE_TRANSCRIPT: tuple[Message, ...] = (("user", "What is 17 + 25? Answer briefly."),)
PROBE_TIMEOUT_S = 60.0


class RegistryObserver(Protocol):
    """What the registry tells about its changes."""

    def applied(self, declared: DeclaredSet, *, resident: Collection[str]) -> None:
        """A declaration took over; the versions that are resident now."""
        ...

    def refused(self, version: str, *, reason: str) -> None:
        """A version was refused."""
        ...


@dataclass(eq=False)
class Resident:
    """A version that the host holds."""

    staged: StagedPolicy
    decisions: int = 0
    in_flight: int = 0

    @property
    def version(self) -> str:
        """Its name."""
        return self.staged.version

    @property
    def artifact(self) -> PolicyArtifact:
        """Head, rows, format."""
        return self.staged.policy.artifact

    @property
    def rows(self) -> tuple[tuple[str, str], ...]:
        """(worker, model) of each worker row."""
        return self.staged.policy.rows


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a version is not resident."""

    sha256: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Assignment:
    """Who decides a request."""

    acting: Resident
    canary: bool
    shadows: tuple[Resident, ...]


@dataclass(eq=False)
class PolicyRegistry:
    """Applies declarations to a host and assigns requests to versions."""

    host: EngineHost
    stager: Stager
    store: PolicyStore
    encoder: Encoder
    observer: RegistryObserver
    keep_resident: int = 4
    declared: DeclaredSet | None = None
    """The accepted declaration, which serves; None: none was ever accepted."""
    awaiting: bool = False
    """True: a declaration is known that has to serve before this router decides anything."""
    _residents: dict[str, Resident] = field(default_factory=dict)
    _refused: dict[str, Refusal] = field(default_factory=dict)
    _known: dict[str, str] = field(default_factory=dict)
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    # --- applying ------------------------------------------------------------------------------------------------------------

    async def restore(self) -> DeclaredSet | None:
        """Apply what the disk remembers; what cannot be restored is refused and logged. Returns the remembered declaration."""
        try:
            saved = await asyncio.to_thread(self.store.read)
        except KubefuguError as error:
            _log.error("policy_state_unreadable", message=error.message)
            return None
        self._known = dict(saved.versions)
        if saved.declared is not None:
            try:
                await self.apply(saved.declared)
            except KubefuguError as error:
                _log.error("policy_restore_failed", generation=saved.declared.generation, message=error.message)
        return saved.declared

    async def apply(self, declared: DeclaredSet) -> None:
        """Take a declaration over; idempotent.

        Raises StaleGenerationError, ConflictError, ArtifactRefusedError or UnavailableError; what served goes on serving then.
        """
        async with self._lock:
            if not succeeds(declared, self.declared):
                return
            started = time.monotonic()
            fresh: list[Resident] = []
            try:
                for version in declared.named:
                    resident = await self._prepare(version, declared.sources.get(version))
                    if resident is not None:
                        fresh.append(resident)
                known = {v: sha for v, sha in self._known.items() if v not in declared.named}
                ready = self._residents | {resident.version: resident for resident in fresh}
                known |= {version: ready[version].staged.sha256 for version in declared.named}
                self._known = await asyncio.to_thread(self.store.save, declared, known)
            except BaseException:
                for resident in fresh:
                    await self.host.unload(resident.version)
                raise
            # From here on nothing can fail: one reference each.
            self._residents = ready
            self.declared = declared
            self._refused = {version: why for version, why in self._refused.items() if version not in ready}
            await self._evict(declared)
        self.observer.applied(declared, resident=tuple(self._residents))
        _log.info(
            "policies_applied",
            generation=declared.generation,
            active=declared.active,
            canary=declared.canary.version if declared.canary else None,
            shadow=declared.shadow,
            loaded=[resident.version for resident in fresh],
            seconds=round(time.monotonic() - started, 3),
        )

    async def _prepare(self, version: str, source: Source | None) -> Resident | None:
        """Stage, load, warm and probe a version that is not resident; None if it is."""
        there = self._residents.get(version)
        if there is not None:
            if source is not None and source.sha256 != there.staged.sha256:
                raise ConflictError(
                    f"Version {version} is resident with sha256 {there.staged.sha256}; versions don't change.",
                    field="policy_set.sources.sha256",
                )
            return None
        try:
            staged = await asyncio.to_thread(self.stager.stage, version, source, known=self._known, info=self.host.info)
            await self.host.load(staged)
            try:
                await self._check(staged)
            except BaseException:
                await self.host.unload(version)
                raise
        except KubefuguError as error:
            self._note_refusal(version, source, error)
            raise
        return Resident(staged)

    async def _check(self, staged: StagedPolicy) -> None:
        """Warm and probe on every instance."""
        artifact = staged.policy.artifact
        encoded = await self.encoder.encode(PROBE_TRANSCRIPT, artifact)
        for answer in await self.host.probe(staged.version, encoded.token_ids, timeout_s=PROBE_TIMEOUT_S):
            if answer.sha256 != staged.sha256:
                raise UnavailableError(f"Instance {answer.instance} holds another artifact as {staged.version}.")
            if answer.logits.shape != (artifact.head.shape[0],) or not np.isfinite(answer.logits).all():
                raise ArtifactRefusedError(f"{staged.version} gives logits that are not finite.", field="head")

    def _note_refusal(self, version: str, source: Source | None, error: KubefuguError) -> None:
        reason = spec_of(error).reason
        self._refused[version] = Refusal(source.sha256 if source else "", reason, error.message)
        self.observer.refused(version, reason=reason)
        _log.warning("policy_refused", version=version, reason=reason, message=error.message)

    async def _evict(self, declared: DeclaredSet) -> None:
        """Unload the oldest versions that are no longer named, beyond those kept for a rollback and those in flight."""
        spare = [v for v in self._known if v in self._residents and v not in declared.named]
        for version in spare[: max(0, len(spare) - self.keep_resident)]:
            if self._residents[version].in_flight == 0:
                del self._residents[version]
                await self.host.unload(version)

    # --- deciding ------------------------------------------------------------------------------------------------------------

    def assign(self, *, affinity: str, pinned: str) -> Assignment | None:
        """Who decides; None where nothing was ever declared. Raises PolicyNotFoundError for a pin that is not resident."""
        declared = self.declared
        if pinned:
            if pinned not in self._residents:
                raise PolicyNotFoundError(f"Policy version {pinned!r} is not resident.", field="policy_version")
            acting, canary = self._residents[pinned], False
        elif declared is None:
            return None
        else:
            version, canary = declared.deciding(affinity)
            acting = self._residents[version]
        shadows = tuple(self._residents[v] for v in declared.shadow if v != acting.version) if declared else ()
        return Assignment(acting, canary, shadows)

    @contextmanager
    def lease(self, residents: tuple[Resident, ...]) -> Iterator[None]:
        """While it is held, none of the versions is unloaded."""
        for resident in residents:
            resident.in_flight += 1
        try:
            yield
        finally:
            for resident in residents:
                resident.in_flight -= 1

    async def probe(self, version: str, transcript: tuple[Message, ...]) -> tuple[Resident, list[InstanceAnswer]]:
        """Decide a transcript (default: the built-in one) with a version on every instance."""
        if version not in self._residents:
            raise PolicyNotFoundError(f"Policy version {version!r} is not resident.", field="policy_version")
        resident = self._residents[version]
        encoded = await self.encoder.encode(transcript or PROBE_TRANSCRIPT, resident.artifact)
        with self.lease((resident,)):
            answers = await self.host.probe(version, encoded.token_ids, timeout_s=PROBE_TIMEOUT_S)
        return resident, list(answers)

    # --- looking -------------------------------------------------------------------------------------------------------------

    @property
    def residents(self) -> tuple[Resident, ...]:
        """All resident versions."""
        return tuple(self._residents.values())

    @property
    def refusals(self) -> dict[str, Refusal]:
        """Versions whose last attempt was refused."""
        return dict(self._refused)
