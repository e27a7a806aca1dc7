"""One decision: assign a version, encode, ask the host, select, count."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from kubefugu_core.errors import UnavailableError
from kubefugu_router.domain.ports import Answer, EngineHost, FloatArray, Question
from kubefugu_router.encoding import Encoder
from kubefugu_router.registry import Assignment, PolicyRegistry, Resident
from kubefugu_router.requests import RouteQuery
from kubefugu_routing.formats import Encoded, RouterFormat
from kubefugu_routing.selection import Selection, select


class RouteObserver(Protocol):
    """What the router tells about a decision."""

    def decided(self, *, version: str, kind: str) -> None:
        """kind: active, canary, pinned, shadow or untrained."""
        ...

    def stage(self, name: str, seconds: float) -> None:
        """A stage (encode, queue, engine, total) took that long."""
        ...


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was decided, and what went into it."""

    selection: Selection
    version: str
    """Empty where no policy was ever declared: workers in the order offered."""
    canary: bool = False
    shadows: Mapping[str, Selection] = field(default_factory=dict)
    encoded: Encoded | None = None
    acting: Resident | None = None
    logits: FloatArray | None = None
    cached_tokens: int = 0
    engine_ms: float = 0.0


@dataclass(frozen=True)
class Router:
    """Decides with what the registry assigns."""

    host: EngineHost
    registry: PolicyRegistry
    encoder: Encoder
    observer: RouteObserver

    async def route(self, query: RouteQuery, *, deadline_s: float) -> Outcome:
        """Decide one turn; `deadline_s` on time.monotonic's clock.

        Raises InvalidRequestError, PolicyNotFoundError, OverloadedError, DeadlineExceededError or UnavailableError.
        """
        started = time.monotonic()
        assignment = self.registry.assign(affinity=query.affinity, pinned=query.pinned)
        if assignment is None:
            outcome = self._untrained(query)
        else:
            outcome = await self._decide(query, assignment, deadline_s)
        self.observer.stage("total", time.monotonic() - started)
        return outcome

    async def others(self, query: RouteQuery, acting: str, *, deadline_s: float) -> list[Outcome]:
        """The same transcript under every other resident policy."""
        residents = [resident for resident in self.registry.residents if resident.version != acting]
        with self.registry.lease(tuple(residents)):
            answers = await self._ask(query, residents, deadline_s)
        out = []
        for resident in residents:
            encoded, answer = answers[resident.version]
            logits = answer.logits[resident.version]
            selection = self._select(resident, logits, query)
            out.append(Outcome(selection, resident.version, encoded=encoded, acting=resident, logits=logits))
        return out

    def _untrained(self, query: RouteQuery) -> Outcome:
        """Nothing was ever declared: a pool without a trained head is served in the order in which its workers are offered."""
        if self.registry.awaiting:
            raise UnavailableError("The declared policies do not serve yet.")
        self.observer.decided(version="", kind="untrained")
        return Outcome(select(np.zeros(0), [], has_roles=False, offers=query.offers), "")

    async def _decide(self, query: RouteQuery, assignment: Assignment, deadline_s: float) -> Outcome:
        acting, shadows = assignment.acting, assignment.shadows
        with self.registry.lease((acting, *shadows)):
            answers = await self._ask(query, [acting, *shadows], deadline_s)
        encoded, answer = answers[acting.version]
        selection = self._select(acting, answer.logits[acting.version], query)
        shadowed = {}
        for shadow in shadows:
            shadowed[shadow.version] = self._select(shadow, answers[shadow.version][1].logits[shadow.version], query)
            shadow.decisions += 1
            self.observer.decided(version=shadow.version, kind="shadow")
        acting.decisions += 1
        kind = "pinned" if query.pinned else "canary" if assignment.canary else "active"
        self.observer.decided(version=acting.version, kind=kind)
        return Outcome(
            selection=selection,
            version=acting.version,
            canary=assignment.canary,
            shadows=shadowed,
            encoded=encoded,
            acting=acting,
            logits=answer.logits[acting.version],
            cached_tokens=answer.cached_tokens,
            engine_ms=answer.queue_ms + answer.engine_ms,
        )

    async def _ask(self, query: RouteQuery, residents: list[Resident], deadline_s: float) -> dict[str, tuple[Encoded, Answer]]:
        """Versions that read the same text are decided in one pass; the first one's text is computed first."""
        groups: dict[tuple[RouterFormat, int], list[Resident]] = {}
        for resident in residents:
            agents = resident.artifact.num_agents if resident.artifact.input_format is RouterFormat.CHAT else 0
            groups.setdefault((resident.artifact.input_format, agents), []).append(resident)
        out: dict[str, tuple[Encoded, Answer]] = {}
        for members in groups.values():
            started = time.monotonic()
            encoded = await self.encoder.encode(query.transcript, members[0].artifact)
            self.observer.stage("encode", time.monotonic() - started)
            versions = tuple(resident.version for resident in members)
            answer = await self.host.decide(Question(encoded.token_ids, versions, deadline_s))
            self.observer.stage("queue", answer.queue_ms / 1000)
            self.observer.stage("engine", answer.engine_ms / 1000)
            out |= dict.fromkeys(versions, (encoded, answer))
        return out

    def _select(self, resident: Resident, logits: FloatArray, query: RouteQuery) -> Selection:
        return select(logits, resident.rows, has_roles=resident.artifact.roles, offers=query.offers, sampling=query.sampling)
