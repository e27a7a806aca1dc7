"""The engine in this process: one worker thread, a bounded queue, batches that form while the engine is busy."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import structlog

from kubefugu_core.errors import (
    DeadlineExceededError,
    InternalError,
    KubefuguError,
    OverloadedError,
    PolicyNotFoundError,
    UnavailableError,
)
from kubefugu_router.domain.ports import Answer, FloatArray, HostObserver, InstanceAnswer, Question, StagedPolicy
from kubefugu_router.domain.schedule import plan
from kubefugu_routing.backbone.info import BackboneInfo
from kubefugu_routing.engine import Engine, Variant
from kubefugu_routing.engine import Sequence as TokenSequence
from kubefugu_routing.engine.engine import head_logits
from kubefugu_routing.svf.factors import FactorBundle

_log = structlog.get_logger()
INSTANCE = "inprocess/0"
_PULSE_TOKENS = (0, 1)
FactorLoader = Callable[[StagedPolicy], FactorBundle]


@dataclass(frozen=True, slots=True)
class _Resident:
    """A version as the engine holds it."""

    version: str
    sha256: str
    variant: Variant
    head: FloatArray | None
    """None: the pulse, which only wants a forward pass."""


@dataclass(eq=False, slots=True)
class _Job:
    """A request in the queue. It holds its policies itself, so that unloading one never fails a request in flight."""

    residents: tuple[_Resident, ...]
    token_ids: Sequence[int]
    deadline_s: float
    arrival: int
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Answer]
    enqueued_s: float
    begun_s: float = 0.0
    sequence: TokenSequence | None = None

    @property
    def remaining(self) -> int:
        return len(self.token_ids) if self.sequence is None else self.sequence.remaining


@dataclass(eq=False)
class InProcessHost:
    """EngineHost over one engine. `load_factors` finds the bundle that an artifact with offsets names."""

    engine: Engine
    load_factors: FactorLoader
    observer: HostObserver
    max_queue_requests: int = 512
    max_step_tokens: int = 512
    _residents: dict[str, _Resident] = field(default_factory=dict)
    _jobs: list[_Job] = field(default_factory=list)
    _wake: threading.Condition = field(default_factory=threading.Condition)
    _closed: bool = False
    _thread: threading.Thread | None = None
    _arrivals: itertools.count[int] = field(default_factory=itertools.count)

    @property
    def info(self) -> BackboneInfo:
        """The backbone that the engine runs."""
        return self.engine.backbone.info

    async def start(self) -> None:
        """Start the worker thread."""
        self._thread = threading.Thread(target=self._work, name="router-engine", daemon=True)
        self._thread.start()

    async def close(self) -> None:
        """Stop after the step in progress; what still waits fails with UnavailableError."""
        with self._wake:
            self._closed = True
            self._wake.notify()
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join)
        with self._wake:
            left, self._jobs = self._jobs, []
        for job in left:
            _fail(job, UnavailableError("The router is shutting down."))

    async def load(self, staged: StagedPolicy) -> None:
        """Apply the policy's offsets outside the worker thread, then make it resident."""
        artifact = staged.policy.artifact

        def build() -> Variant:
            return self.engine.variant(artifact.offsets, lambda: self.load_factors(staged))

        variant = await asyncio.to_thread(build)
        self._residents[staged.version] = _Resident(staged.version, staged.sha256, variant, artifact.head)

    async def unload(self, version: str) -> None:
        """Let go of a version and of the prefixes that only it used."""
        gone = self._residents.pop(version, None)
        if gone is not None and all(kept.variant.key != gone.variant.key for kept in self._residents.values()):
            # In a thread: it waits for the step in progress.
            await asyncio.to_thread(self.engine.forget, gone.variant)

    async def probe(self, version: str, token_ids: Sequence[int], *, timeout_s: float) -> Sequence[InstanceAnswer]:
        """Decide with a version through the ordinary queue."""
        resident = self._resident(version)
        answer = await self._submit(token_ids, (resident,), time.monotonic() + timeout_s)
        return [InstanceAnswer(INSTANCE, answer.logits[version], resident.sha256)]

    async def decide(self, question: Question) -> Answer:
        """Decide one sequence with one or several versions in one pass."""
        residents = tuple(self._resident(version) for version in question.versions)
        return await self._submit(question.token_ids, residents, question.deadline_s)

    async def pulse(self, *, timeout_s: float) -> None:
        """A forward pass of two tokens."""
        resident = _Resident("", "", self.engine.variant(None), None)
        try:
            await self._submit(_PULSE_TOKENS, (resident,), time.monotonic() + timeout_s, urgent=True)
        except DeadlineExceededError as error:
            raise UnavailableError(f"The engine gave no answer within {timeout_s:g} s.") from error

    def _resident(self, version: str) -> _Resident:
        resident = self._residents.get(version)
        if resident is None:
            raise PolicyNotFoundError(f"Policy version {version!r} is not resident.", field="policy_version")
        return resident

    async def _submit(
        self, token_ids: Sequence[int], residents: tuple[_Resident, ...], deadline_s: float, *, urgent: bool = False
    ) -> Answer:
        """`urgent` passes a full queue: a busy engine is not a dead one."""
        if max(token_ids) >= self.info.vocab_size:
            raise InternalError("The tokenizer gave a token that the backbone does not have.")
        loop = asyncio.get_running_loop()
        job = _Job(
            residents=residents,
            token_ids=token_ids,
            deadline_s=deadline_s,
            arrival=next(self._arrivals),
            loop=loop,
            future=loop.create_future(),
            enqueued_s=time.monotonic(),
        )
        with self._wake:
            if self._closed or self._thread is None or not self._thread.is_alive():
                raise UnavailableError("The engine is not running.")
            if len(self._jobs) >= self.max_queue_requests and not urgent:
                raise OverloadedError(f"{len(self._jobs)} requests wait for the engine.")
            self._jobs.append(job)
            waiting = len(self._jobs)
            self._wake.notify()
        self.observer.queue(requests=waiting)
        try:
            async with asyncio.timeout_at(loop.time() + max(0.0, deadline_s - time.monotonic())):
                return await job.future
        except TimeoutError as error:
            raise DeadlineExceededError("The engine did not decide within the deadline.") from error

    # --- worker thread -------------------------------------------------------------------------------------------------------

    def _work(self) -> None:
        while True:
            with self._wake:
                while not self._jobs and not self._closed:
                    self._wake.wait()
                if self._closed:
                    return
                jobs = list(self._jobs)
            try:
                self._round(jobs)
            except Exception as error:
                # The engine's own failure: those who wait are told, and the next round starts from scratch.
                _log.error("engine_step_failed", exc_info=error)
                for job in jobs:
                    _fail(job, error if isinstance(error, KubefuguError) else InternalError("The engine failed."))
                self._drop(jobs)

    def _round(self, jobs: list[_Job]) -> None:
        """One engine step for those who still wait for an answer."""
        now = time.monotonic()
        gone = [job for job in jobs if job.future.done() or job.deadline_s <= now]
        for job in gone:
            _fail(job, DeadlineExceededError("The engine did not decide within the deadline."))
        self._drop(gone)
        alive = [job for job in jobs if job not in gone]
        for job in alive:
            if job.sequence is None:
                job.begun_s = now
                job.sequence = self.engine.open(job.token_ids, [resident.variant for resident in job.residents])
        parts = plan(alive, self.max_step_tokens)
        if not parts:
            return
        self.engine.step([(job.sequence, count) for job, count in parts if job.sequence is not None])
        seconds = time.monotonic() - now
        self.observer.step(sequences=len(parts), tokens=sum(count for _, count in parts), seconds=seconds)
        done = [job for job, _ in parts if job.sequence is not None and job.sequence.finished]
        # Out of the queue first: who is answered may ask again at once.
        self._drop(done)
        for job in done:
            self._answer(job)

    def _answer(self, job: _Job) -> None:
        assert job.sequence is not None
        logits = {}
        for resident in job.residents:
            if resident.head is not None:
                feature = job.sequence.features[resident.variant.key].cpu().numpy()
                logits[resident.version] = head_logits(feature[None, :], resident.head)[0]
        now, cached = time.monotonic(), job.sequence.cached
        answer = Answer(
            logits=logits,
            cached_tokens=cached,
            queue_ms=1000 * (job.begun_s - job.enqueued_s),
            engine_ms=1000 * (now - job.begun_s),
        )
        computed = len(job.sequence.tokens) - cached
        self.observer.finished(computed_tokens=computed, cached_tokens=cached, cache_bytes=self.engine.cache_bytes)
        job.loop.call_soon_threadsafe(_resolve, job.future, answer)

    def _drop(self, jobs: Sequence[_Job]) -> None:
        if not jobs:
            return
        leaving = set(map(id, jobs))
        with self._wake:
            self._jobs = [job for job in self._jobs if id(job) not in leaving]
            waiting = len(self._jobs)
        self.observer.queue(requests=waiting)


def _resolve(future: asyncio.Future[Answer], answer: Answer) -> None:
    if not future.done():
        future.set_result(answer)


def _reject(future: asyncio.Future[Answer], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)


def _fail(job: _Job, error: Exception) -> None:
    if not job.loop.is_closed():
        job.loop.call_soon_threadsafe(_reject, job.future, error)
