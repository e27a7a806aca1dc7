"""The child's side: load the engines, then answer one question after the other over a pipe.

A child is forked from multiprocessing's fork server, which has built the engines already (preloads): replacing a killed one
takes milliseconds, and the engines' data is in memory once. A child ends when its pipe closes, and by an alarm of its own: it
used up its processor time, or its parent is gone while it computes.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import sys
from multiprocessing.connection import Connection
from typing import Any

from kubefugu_experts.engines.base import Answer, Declined, Question, Reply
from kubefugu_experts.engines.registry import EngineSpec, load_all
from kubefugu_experts.sandbox.limits import SandboxLimits


def serve(connection: Connection, specs: tuple[EngineSpec, ...], limits: SandboxLimits) -> None:
    """Answer until the pipe closes. First message: the reasons of engines that are left out."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (limits.memory_bytes, limits.memory_bytes))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sys.setrecursionlimit(4000)
    engines, left_out = load_all(specs)
    connection.send(left_out)
    _warm_up(connection, specs, engines, limits)
    while True:
        try:
            name, question = connection.recv()
        except (EOFError, OSError):
            os._exit(0)
        reply = _limited(engines[name], question, limits)
        try:
            connection.send(reply)
        except (BrokenPipeError, OSError):
            os._exit(0)


def _warm_up(connection: Connection, specs: tuple[EngineSpec, ...], engines: dict[str, Any], limits: SandboxLimits) -> None:
    """While nobody asks: questions whose answers fill the libraries' caches."""
    for spec in specs:
        for text in spec.warm_up if spec.name in engines else ():
            if connection.poll():
                return
            _limited(engines[spec.name], Question(text=text), limits)


def _limited(engine: Any, question: Question, limits: SandboxLimits) -> Reply | Exception:
    """Answer with both clocks set; the default action of their signals ends the process, in native code too."""
    signal.setitimer(signal.ITIMER_PROF, limits.answer_cpu_s)
    signal.setitimer(signal.ITIMER_REAL, limits.answer_timeout_s * 2)
    reply = _answer(engine, question)
    signal.setitimer(signal.ITIMER_PROF, 0)
    signal.setitimer(signal.ITIMER_REAL, 0)
    return reply


def _answer(engine: Any, question: Question) -> Reply | Exception:
    """The engine's reply; what it raised is a defect of ours and travels as an exception."""
    try:
        reply = engine.answer(question)
    except (MemoryError, RecursionError):
        return Declined("The question needs more memory than one question may have.")
    except Exception as error:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return reply if isinstance(reply, Answer | Declined) else RuntimeError(f"the engine returned {type(reply).__name__}")
