"""An evaluator process: takes tasks from the queue, does them, leaves the results in the mailbox.

Stateless but for the problems it keeps loaded. The pool is prefork with one child, where the accelerator is initialised and
which can be replaced when it is killed; soft shutdown lets the task in hand end.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import structlog

from kubefugu_coordination.workers.endpoint import KeySource
from kubefugu_core.errors import KubefuguError
from kubefugu_trainer.queue.app import QUEUE, TASK, connect, make_app
from kubefugu_trainer.queue.mailbox import Answer, BrokerError, Mailbox
from kubefugu_trainer.queue.problems import Solver, solver_of

_CLAIM_S = 4.0
_KEPT_PROBLEMS = 2
_log = structlog.get_logger()


class Desk:
    """What one evaluator process (the pool's child) works with; connections and problems are made there, on first use."""

    def __init__(self, broker: str, *, device: str, keys: KeySource | None = None) -> None:
        """`keys`: of the workers that runs call."""
        self._keys = keys
        self._broker = broker
        self._device = device
        self._redis: Any = None
        self._solvers: OrderedDict[str, Solver] = OrderedDict()

    def evaluate(self, run_id: str, number: int, task: int) -> None:
        """Do a task, unless its round is over or another evaluator was faster."""
        if self._redis is None:
            self._redis = connect(self._broker)
        mailbox = Mailbox(self._redis, run_id)
        work = mailbox.work(number, task)
        if work is None or mailbox.answered(number, task, work.digest):
            return
        with self._claimed(mailbox, number, task):
            try:
                solver = self._load(run_id, mailbox)
                if solver is None:
                    return
                answer = Answer(solver.solve(work.part, work.shared))
            except KubefuguError as error:
                answer = Answer(None, error.message)
            except (RuntimeError, ValueError, OSError, MemoryError) as error:  # out of memory, a device that fails
                _log.warning("task_failed", round=number, task=task, exc_info=error)
                answer = Answer(None, f"{type(error).__name__}: {error}")
            mailbox.answer(number, task, work.digest, answer)

    def _load(self, run_id: str, mailbox: Mailbox) -> Solver | None:
        if run_id in self._solvers:
            self._solvers.move_to_end(run_id)
            return self._solvers[run_id]
        raw = mailbox.problem()
        if raw is None:
            return None
        while len(self._solvers) >= _KEPT_PROBLEMS:
            _, dropped = self._solvers.popitem(last=False)
            dropped.close()
        self._solvers[run_id] = solver_of(raw, device=self._device, keys=self._keys)
        return self._solvers[run_id]

    @contextmanager
    def _claimed(self, mailbox: Mailbox, number: int, task: int) -> Iterator[None]:
        """Keep the claim alive from a thread of its own while the task is done."""
        done = threading.Event()
        holder = f"{os.getpid()}"
        mailbox.claim(number, task, holder=holder, ttl_s=_CLAIM_S)

        def keep() -> None:
            while not done.wait(_CLAIM_S / 4):
                try:
                    mailbox.claim(number, task, holder=holder, ttl_s=_CLAIM_S)
                except BrokerError:  # the next try, or the driver, makes up for it
                    continue

        thread = threading.Thread(target=keep, daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()
            mailbox.release(number, task)


def _say_ready(**_: Any) -> None:
    _log.info("evaluator_ready", pid=os.getpid())


def serve(broker: str, *, device: str, log_level: str, grace_s: float, keys: KeySource | None = None) -> int:
    """Work until SIGTERM; the exit code. REMAP_SIGTERM must be set before Celery is imported (`queue.command` does)."""
    from celery.signals import worker_ready

    desk = Desk(broker, device=device, keys=keys)
    app = make_app(broker, grace_s=grace_s)
    app.task(name=TASK)(desk.evaluate)
    worker_ready.connect(_say_ready)
    arguments = ["--quiet", "worker", "--pool=prefork", "--concurrency=1", f"--queues={QUEUE}", f"--loglevel={log_level}"]
    arguments += ["--without-gossip", "--without-mingle", f"--hostname=evaluator-{os.getpid()}@%h"]
    app.worker_main(arguments)
    return 0
