"""The driver's side: sends a round's tasks to evaluator processes and waits for their results.

Lost (nobody works on it and nothing waits in the queue): sent again. Duplicated: the first result stands, all are equal. Late:
lies under its own round and is never looked at. Poisoned (not a result, other work, not finite): thrown away and asked for
again, three times at most. Redis gone: asked again for a while, then the run ends and goes on from its checkpoint.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar

from kombu.exceptions import OperationalError

from kubefugu_core.errors import DataError, UnavailableError
from kubefugu_trainer.evolution.stopping import RunStoppedError
from kubefugu_trainer.queue.app import QUEUE, TASK, connect, make_app, shown
from kubefugu_trainer.queue.mailbox import BrokerError, Mailbox, read_answer
from kubefugu_trainer.runs.files import replace_file
from kubefugu_trainer.runs.progress import Reporter

R = TypeVar("R")
_WAKE_S = 0.25
_LOST_AFTER_S = 1.0
"""How long a task must look lost: a task is for a moment neither in the queue nor claimed."""
_ATTEMPTS = 3
_SILENCE_S = 30.0


def run_identity(folder: Path) -> str:
    """The run's id in the broker; made once and kept in the run directory."""
    path = folder / "run_id"
    if not path.is_file():
        with replace_file(path) as file:
            file.write(uuid.uuid4().hex.encode())
    return path.read_text(encoding="ascii").strip()


class TaskQueue(Generic[R]):
    """Rounds of tasks over Celery and Redis. See the module's docstring for what may go wrong."""

    def __init__(
        self,
        broker: str,
        *,
        run_id: str,
        problem: bytes,
        decode: Callable[[Any], R],
        stop: threading.Event,
        reporter: Reporter,
        task: str = "candidate",
        patience_s: float = 60.0,
    ) -> None:
        """`decode`: a result from its JSON, or DataError. `task`: what a task is called in messages. `patience_s`: how long an
        unreachable broker is asked again. Raises UnavailableError where it does not answer now."""
        self._broker = broker
        self._run_id = run_id
        self._raw = problem
        self._decode = decode
        self._stop = stop
        self._reporter = reporter
        self._task = task
        self._patience_s = patience_s
        try:
            self._redis = connect(broker)
            self._redis.ping()
        except (BrokerError, ValueError) as error:
            raise self._unreachable(error) from error
        self._app = make_app(broker)
        self._mailbox = Mailbox(self._redis, run_id)

    def run(
        self,
        number: int,
        parts: Sequence[bytes],
        *,
        shared: Sequence[bytes] = (b"",),
        on_result: Callable[[int, R], None] = lambda index, result: None,
    ) -> list[R]:
        """Results of a round's tasks, in their order; `shared` has one entry for all, or one for each.

        Raises UnavailableError where the broker stays away or a task fails everywhere, RunStoppedError.
        """
        found: dict[int, R] = {}
        last_good = time.monotonic()
        while True:
            before = len(found)
            try:
                self._attempt(number, parts, shared, found, on_result)
                return [found[i] for i in range(len(parts))]
            except (BrokerError, OperationalError) as error:
                if len(found) > before:
                    last_good = time.monotonic()
                if time.monotonic() - last_good > self._patience_s:
                    raise self._unreachable(error) from error
                self._reporter.note(f"The broker {shown(self._broker)} does not answer; asking again.")
                if self._stop.wait(1.0):
                    raise self._unreachable(error) from error

    def close(self) -> None:
        """Close connections."""
        self._app.close()
        self._redis.close()

    # --- one attempt, which ends when all is found or the broker fails -----------------------------------------------------

    def _attempt(
        self,
        number: int,
        parts: Sequence[bytes],
        shared: Sequence[bytes],
        found: dict[int, R],
        on_result: Callable[[int, R], None],
    ) -> None:
        self._mailbox.publish_problem(self._raw)
        digests = self._mailbox.publish(number, parts, shared)
        collect = _Collector(self._mailbox, self._decode, self._task, number, digests, found, on_result)
        collect.read()
        self._send(number, collect.missing)
        last_news = lost_since = time.monotonic()
        while collect.missing:
            if self._mailbox.wait(number, timeout_s=_WAKE_S):
                again = collect.read()
                self._send(number, again)
                last_news = lost_since = time.monotonic()
                continue
            if self._stop.is_set():
                raise RunStoppedError("The run was asked to end; the same command goes on from its last checkpoint.")
            lost = self._lost(number, collect.missing)
            if not lost:
                lost_since = time.monotonic()
            elif time.monotonic() - lost_since > _LOST_AFTER_S:
                collect.read()
                self._send(number, [i for i in lost if i in collect.missing])
                lost_since = time.monotonic()
            if time.monotonic() - last_news > _SILENCE_S:
                self._reporter.note(f"No evaluator has answered for {_SILENCE_S:g} s; {len(collect.missing)} tasks wait.")
                last_news = time.monotonic()
        self._mailbox.forget(number)

    def _send(self, number: int, tasks: list[int]) -> None:
        if not tasks:
            return
        with self._app.connection_for_write() as connection, self._app.amqp.Producer(connection) as producer:
            for task in tasks:
                self._app.send_task(TASK, args=(self._run_id, number, task), producer=producer, retry=False)

    def _lost(self, number: int, missing: list[int]) -> list[int]:
        """Tasks that nobody works on while the queue is empty."""
        if self._redis.llen(QUEUE):
            return []
        claimed = self._mailbox.claimed(number, missing)
        return [i for i in missing if i not in claimed]

    def _unreachable(self, error: Exception) -> UnavailableError:
        return UnavailableError(
            f"The broker {shown(self._broker)} cannot be reached ({error}); the run goes on from its last checkpoint.",
            field="broker",
        )


class _Collector(Generic[R]):
    """Takes results in and says what is missing."""

    def __init__(
        self,
        mailbox: Mailbox,
        decode: Callable[[Any], R],
        task: str,
        number: int,
        digests: list[str],
        found: dict[int, R],
        on_result: Callable[[int, R], None],
    ) -> None:
        self._mailbox = mailbox
        self._decode = decode
        self._task = task
        self._number = number
        self._digests = digests
        self._found = found
        self._on_result = on_result
        self._failures: dict[int, int] = {}

    @property
    def missing(self) -> list[int]:
        """Tasks without a result."""
        return [i for i in range(len(self._digests)) if i not in self._found]

    def read(self) -> list[int]:
        """Take in what has come; returns the tasks that must be asked for again."""
        again = []
        for task, raw in sorted(self._mailbox.results(self._number).items()):
            if task in self._found or task >= len(self._digests):
                continue
            try:
                answer = read_answer(raw, wanted=self._digests[task])
                if answer.error:
                    raise DataError(answer.error)
                result = self._decode(answer.result)
            except DataError as error:
                self._fail(task, error.message)
                again.append(task)
                continue
            self._found[task] = result
            self._on_result(task, result)
        return again

    def _fail(self, task: int, why: str) -> None:
        self._mailbox.drop_result(self._number, task)
        self._failures[task] = self._failures.get(task, 0) + 1
        if self._failures[task] >= _ATTEMPTS:
            raise UnavailableError(
                f"{self._task.capitalize()} {task} of round {self._number} could not be measured {_ATTEMPTS} times: {why}"
            )
