"""Measures workers on questions: every worker answers every question R times. Pure orchestration over a `Caller`.

A call that fails is tried again and never recorded as a wrong answer; a worker that fails many times in a row is given up for
this run. Calls start only while the cost cap holds, each reserving its worst case. What is recorded survives any end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from kubefugu_core.errors import KubefuguError
from kubefugu_trainer.outcomes.journal import Journal, Measurement, question_key
from kubefugu_trainer.runs.progress import Reporter
from kubefugu_trainer.tasks.question import Question
from kubefugu_trainer.tasks.sets import SplitQuestion


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What a worker answered."""

    text: str
    declined: bool
    prompt_tokens: int
    completion_tokens: int
    cost_usd: float
    latency_ms: float
    finish_reason: str


class Caller(Protocol):
    """Calls one worker."""

    async def ask(self, worker: str, question: Question, *, seed: int) -> Reply:
        """One answer. Raises KubefuguError where there is none."""
        ...

    def worst_cost_usd(self, worker: str, text: str) -> float:
        """Upper bound of what `ask` will cost."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectConfig:
    """How to measure."""

    repeats: int = 1
    """Answers of each worker to each question."""
    seed: int = 0
    """Seed sent with the first repeat; later ones count up."""
    max_cost_usd: float | None = None
    """No call starts that could bring the journal's total above this."""
    rounds: int = 3
    """How often failed calls are taken up again within a run."""
    give_up_after: int = 20
    """Failures in a row after which a worker is given up."""


@dataclass(slots=True)
class CollectResult:
    """How a run ended."""

    recorded: int = 0
    missing: int = 0
    cost_usd: float = 0.0
    capped: bool = False
    """True: calls were left out because of the cost cap."""
    problems: Mapping[str, str] | None = None
    """Worker -> last failure, for workers with missing answers."""


@dataclass(frozen=True, slots=True)
class _Job:
    row: SplitQuestion
    worker: str
    repeat: int

    @property
    def key(self) -> tuple[str, str, int]:
        return (question_key(self.row.question.text), self.worker, self.repeat)


class Collector:
    """One collection."""

    def __init__(
        self, caller: Caller, journal: Journal, *, config: CollectConfig, limits: Mapping[str, int], reporter: Reporter
    ) -> None:
        """`limits`: worker -> calls in flight."""
        self._caller = caller
        self._journal = journal
        self._config = config
        self._limits = limits
        self._reporter = reporter
        self._reserved_usd = 0.0
        self._spent_usd = journal.cost_usd
        self._failures: dict[str, int] = {}
        self._problems: dict[str, str] = {}
        self._capped = False

    async def run(self, rows: Sequence[SplitQuestion]) -> CollectResult:
        """Measure what the journal lacks. Cancelling keeps everything that was recorded."""
        jobs = {w: [_Job(row, w, r) for row in rows for r in range(self._config.repeats)] for w in self._limits}
        total = sum(len(queue) for queue in jobs.values())
        self._reporter.start("collect", total=total, done=total - len(self._missing(jobs)))
        try:
            async with asyncio.TaskGroup() as group:
                for worker, queue in jobs.items():
                    group.create_task(self._worker(worker, queue))
        finally:
            self._reporter.finish()
        missing = self._missing(jobs)
        return CollectResult(
            recorded=total - len(missing),
            missing=len(missing),
            cost_usd=self._spent_usd,
            capped=self._capped,
            problems={job.worker: self._problems.get(job.worker, "not asked") for job in missing},
        )

    def _missing(self, jobs: Mapping[str, Sequence[_Job]]) -> list[_Job]:
        return [job for queue in jobs.values() for job in queue if job.key not in self._journal.measurements]

    async def _worker(self, worker: str, queue: Sequence[_Job]) -> None:
        for _ in range(self._config.rounds):
            left = iter([job for job in queue if job.key not in self._journal.measurements])
            async with asyncio.TaskGroup() as group:
                for _ in range(self._limits[worker]):
                    group.create_task(self._drain(worker, left))
            if self._given_up(worker) or self._capped:
                return

    def _given_up(self, worker: str) -> bool:
        return self._failures.get(worker, 0) >= self._config.give_up_after

    async def _drain(self, worker: str, jobs: Iterator[_Job]) -> None:
        """Measure what is left; the iterator is shared by the worker's tasks."""
        for job in jobs:
            if self._given_up(worker) or not await self._measure(job):
                return

    async def _measure(self, job: _Job) -> bool:
        """Measure one; False where the cost cap is reached."""
        question = job.row.question
        worst_usd = self._caller.worst_cost_usd(job.worker, question.text)
        cap = self._config.max_cost_usd
        if cap is not None and worst_usd > 0 and self._spent_usd + self._reserved_usd + worst_usd > cap:
            self._capped = True
            return False
        self._reserved_usd += worst_usd
        try:
            reply = await self._caller.ask(job.worker, question, seed=self._config.seed + job.repeat)
        except KubefuguError as error:
            self._failures[job.worker] = self._failures.get(job.worker, 0) + 1
            self._problems[job.worker] = error.message
            return True
        finally:
            self._reserved_usd -= worst_usd
        self._failures[job.worker] = 0
        self._record(job, reply)
        return True

    def _record(self, job: _Job, reply: Reply) -> None:
        question = job.row.question
        measurement = Measurement(
            question=question_key(question.text),
            worker=job.worker,
            repeat=job.repeat,
            score=0.0 if reply.declined else question.score(reply.text),
            declined=reply.declined,
            prompt_tokens=reply.prompt_tokens,
            completion_tokens=reply.completion_tokens,
            cost_usd=reply.cost_usd,
            latency_ms=reply.latency_ms,
            finish_reason=reply.finish_reason,
            reply=reply.text,
        )
        self._spent_usd += measurement.cost_usd
        self._journal.add(measurement)
        self._reporter.advance(worker=job.worker, cost_usd=round(self._spent_usd, 6))
