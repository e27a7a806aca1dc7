"""The parent's side: a few children, each with one question at a time, killed and replaced when they take too long."""

from __future__ import annotations

import asyncio
import multiprocessing
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from typing import Any

import structlog

from kubefugu_core.errors import InternalError, UnavailableError
from kubefugu_experts.engines.base import Answer, Declined, Question, Reply
from kubefugu_experts.engines.registry import EngineSpec
from kubefugu_experts.sandbox.child import serve
from kubefugu_experts.sandbox.limits import SandboxLimits
from kubefugu_experts.sandbox.preloads import module_of

_log = structlog.get_logger()
_LAST_MOMENTS_S = 1.0
"""For the exit code of a child whose pipe has closed."""


@dataclass(slots=True)
class _Child:
    """A running child and our end of its pipe."""

    process: Any
    connection: Connection

    def kill(self) -> None:
        """End it at once."""
        self.process.kill()
        self.process.join()
        self.process.close()
        self.connection.close()


class Sandbox:
    """Children that answer. `start` before use, `close` after."""

    def __init__(self, specs: Sequence[EngineSpec], *, children: int, limits: SandboxLimits) -> None:
        self._specs = tuple(specs)
        self._size = children
        self._limits = limits
        self._idle: asyncio.Queue[_Child] = asyncio.Queue()
        self._children: dict[int, _Child] = {}
        self._replacing: set[asyncio.Task[None]] = set()
        self._context = multiprocessing.get_context("forkserver")
        preloads = [module for spec in self._specs if (module := module_of(spec))]
        self._context.set_forkserver_preload(["kubefugu_experts.sandbox.child", *preloads])
        self.left_out: dict[str, str] = {}
        """Engines that cannot be used here, and why."""

    @property
    def idle_children(self) -> int:
        """Children that wait for a question."""
        return self._idle.qsize()

    def prepare(self) -> None:
        """Start the fork server, which loads the engines while the caller does something else."""
        forkserver.ensure_running()

    async def start(self) -> None:
        """Start the children. Raises UnavailableError where not even one engine can be loaded."""
        async with asyncio.TaskGroup() as group:
            for _ in range(self._size):
                group.create_task(self._spawn())
        if len(self.left_out) == len(self._specs):
            raise UnavailableError(f"No engine can be used. {' '.join(self.left_out.values())}")

    async def close(self) -> None:
        """Kill the children."""
        for task in list(self._replacing):
            task.cancel()
        await asyncio.gather(*self._replacing, return_exceptions=True)
        for child in list(self._children.values()):
            child.kill()
        self._children.clear()

    async def answer(self, name: str, question: Question) -> Reply:
        """Ask an engine. A question that takes too long is declined; the caller's cancellation ends the computation.

        Raises InternalError for a defect of the engine.
        """
        try:
            async with self._borrowed() as child:
                reply = await self._ask(child, name, question)
        except _TookTooLongError as error:
            _log.warning("answer_took_too_long", engine=name, limit_s=error.limit_s)
            return Declined(f"I could not finish this within {error.limit_s:g} seconds.")
        except _DiedError:
            _log.warning("child_died", engine=name)
            return Declined("This needs more memory than one question may have.")
        if isinstance(reply, Answer | Declined):
            return reply
        _log.error("engine_failed", engine=name, error=str(reply))
        raise InternalError(f"The engine {name} failed on this question.")

    async def _ask(self, child: _Child, name: str, question: Question) -> Any:
        try:
            child.connection.send((name, question))
            if not await _readable(child.connection, self._limits.answer_timeout_s):
                raise _TookTooLongError(self._limits.answer_timeout_s)
            return child.connection.recv()
        except (EOFError, OSError) as error:
            child.process.join(timeout=_LAST_MOMENTS_S)
            if child.process.exitcode == -signal.SIGPROF:
                raise _TookTooLongError(self._limits.answer_cpu_s) from error
            raise _DiedError from error

    @asynccontextmanager
    async def _borrowed(self) -> AsyncIterator[_Child]:
        """An idle child. It is replaced where the block raises, cancellation included."""
        child = await self._idle.get()
        try:
            yield child
        except BaseException:
            self._replace(child)
            raise
        self._idle.put_nowait(child)

    def _replace(self, child: _Child) -> None:
        del self._children[id(child)]
        child.kill()
        task = asyncio.create_task(self._spawn())
        self._replacing.add(task)
        task.add_done_callback(self._replacing.discard)

    async def _spawn(self) -> None:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=serve, args=(theirs, self._specs, self._limits), daemon=True)
        await asyncio.to_thread(process.start)
        theirs.close()
        child = _Child(process, ours)
        try:
            if not await _readable(ours, self._limits.start_timeout_s):
                raise UnavailableError("The engines did not load in time.")
            self.left_out = ours.recv()
        except BaseException:
            child.kill()
            raise
        self._children[id(child)] = child
        self._idle.put_nowait(child)


class _TookTooLongError(Exception):
    """The answer's time is over."""

    def __init__(self, limit_s: float) -> None:
        super().__init__(limit_s)
        self.limit_s = limit_s


class _DiedError(Exception):
    """The child ended while it computed (out of memory, a crash of native code)."""


async def _readable(connection: Connection, timeout_s: float) -> bool:
    """Wait until the pipe has something to read (or is closed); False: not in time."""
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(connection.fileno(), ready.set)
    try:
        async with asyncio.timeout(timeout_s):
            await ready.wait()
    except TimeoutError:
        return False
    finally:
        loop.remove_reader(connection.fileno())
    return True
