"""Run the coordination loop against scripted workers: one upstream server plays all of them, told apart by model."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson

from kubefugu_coordination.clock import Deadline
from kubefugu_coordination.events import Delta, Done, Event, Routed, TurnEnded
from kubefugu_coordination.job import Job
from kubefugu_coordination.loop.router import Router
from kubefugu_coordination.loop.runner import CoordinationLoop, LoopSettings
from kubefugu_coordination.workers import RetryPolicy, WorkerSet
from kubefugu_coordination.workers.sse import data_of, events
from kubefugu_core.chat import parse_chat_request
from support.pools import CLOCK, pool_of, worker
from support.upstream import Script, Upstream

REQUEST_ID = "chatcmpl-0123456789abcdef0123456789abcdef"


def chat(question: str = "What is it?", **members: Any) -> Job:
    """A parsed request; `messages` in members replaces the question."""
    body = {"model": "fugu", "messages": [{"role": "user", "content": question}]} | members
    parsed = parse_chat_request(orjson.dumps(body))
    return Job(chat=parsed, request_id=REQUEST_ID, tenant="acme", created=1700000123)


@dataclass
class Run:
    """What a run gave."""

    events: list[Event]
    error: BaseException | None = None

    @property
    def done(self) -> Done:
        assert self.error is None, self.error
        done = self.events[-1]
        assert isinstance(done, Done)
        return done

    @property
    def completion(self) -> dict[str, Any]:
        document: dict[str, Any] = orjson.loads(self.done.completion_json)
        return document

    @property
    def answer(self) -> str:
        if self.done.completion_json:
            return str(self.completion["choices"][0]["message"]["content"])
        deltas = (chunk["choices"][0]["delta"] for chunk in self.chunks if chunk["choices"])
        return "".join(delta.get("content") or "" for delta in deltas)

    @property
    def sse(self) -> bytes:
        return b"".join(event.sse for event in self.events if isinstance(event, Delta))

    @property
    def chunks(self) -> list[dict[str, Any]]:
        return [orjson.loads(data) for event in events(self.sse) if (data := data_of(event)) != b"[DONE]"]

    @property
    def turns(self) -> list[TurnEnded]:
        return [event for event in self.events if isinstance(event, TurnEnded)]

    @property
    def routed(self) -> list[Routed]:
        return [event for event in self.events if isinstance(event, Routed)]

    @property
    def summary(self) -> list[tuple[str, str, str]]:
        """(worker, role, outcome) of every call."""
        return [(turn.worker, turn.role.value, turn.outcome.value) for turn in self.turns]


@dataclass
class Stage:
    """Workers on a stage. `scripts[name]` is what a worker answers, in order; the last one is repeated."""

    upstream: Upstream
    workers: WorkerSet
    scripts: dict[str, deque[Script]] = field(default_factory=dict)

    def say(self, name: str, *replies: str | Script) -> None:
        self.scripts[name] = deque(reply if isinstance(reply, Script) else Script(text=reply) for reply in replies)

    def respond(self, body: dict[str, Any]) -> Script | None:
        queue = self.scripts.get(str(body["model"]).removesuffix("-model"))
        if not queue:
            return None
        return queue.popleft() if len(queue) > 1 else queue[0]

    def bodies(self, name: str) -> list[dict[str, Any]]:
        """What a worker was sent."""
        return [request.body for request in self.upstream.requests if request.body["model"] == f"{name}-model"]

    def loop(self, router: Router, job: Job, *, seconds: float = 20, **settings: Any) -> CoordinationLoop:
        return CoordinationLoop(
            job,
            pool=self.workers.snapshot(),
            router=router,
            deadline=Deadline.after(seconds, CLOCK),
            settings=LoopSettings(**settings),
        )

    async def run(self, router: Router, job: Job, **options: Any) -> Run:
        run = Run([])
        try:
            async for event in self.loop(router, job, **options).events():
                run.events.append(event)
        except Exception as error:
            run.error = error
        return run


@asynccontextmanager
async def stage(*names: str, members: dict[str, dict[str, Any]] | None = None, **routing: Any) -> AsyncIterator[Stage]:
    """A pool of these workers; `members[name]` are further manifest fields."""
    async with Upstream() as upstream:
        entries = [worker(name, upstream.url, **(members or {}).get(name, {})) for name in names]
        workers = WorkerSet(pool_of(*entries, **routing), retry=RetryPolicy(attempts=1))
        made = Stage(upstream, workers)
        upstream.respond = made.respond
        try:
            yield made
        finally:
            await workers.close()
