"""A starting executor and the store of parked workflows: ready once it answered or refused, but not held up for long."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from support.pools import CLOCK
from support.routers import ScriptedRouter

from kubefugu_coordination.loop.runner import LoopSettings
from kubefugu_coordination.workflow.parking import ParkingLot
from kubefugu_core.errors import UnavailableError
from kubefugu_executor import workflows
from kubefugu_executor.settings import ExecutorSettings
from kubefugu_executor.workflows import Workflows


@pytest.fixture
async def starting(tmp_path: Path) -> AsyncIterator[Workflows]:
    """Workflows whose store nobody has asked yet."""
    settings = ExecutorSettings(
        pool_file=tmp_path / "pool.yaml",
        router_target="unix:nobody.sock",
        conductor_target="unix:nobody.sock",
        state_url=f"sqlite:///{tmp_path}/state.db",
    )
    made = Workflows(settings, router=ScriptedRouter(), loop_settings=LoopSettings(), clock=CLOCK)
    yield made
    await made.close()


@pytest.mark.parametrize("refusal", [None, UnavailableError("away")])
async def test_the_first_try_ends_when_the_store_has_answered_or_refused(
    starting: Workflows, monkeypatch: pytest.MonkeyPatch, refusal: UnavailableError | None
) -> None:
    asked, answer, real = asyncio.Event(), asyncio.Event(), ParkingLot.open

    async def slow(*given: Any, **options: Any) -> ParkingLot:
        asked.set()
        await answer.wait()
        if refusal is not None:
            raise refusal
        return await real(*given, **options)

    monkeypatch.setattr(workflows, "_FIRST_TRY_S", 60.0)
    monkeypatch.setattr(ParkingLot, "open", slow)
    connecting, first = asyncio.create_task(starting.connect()), asyncio.create_task(starting.first_try())
    await asked.wait()
    assert not first.done()
    answer.set()
    await asyncio.wait_for(first, 30)
    assert (starting.parts.parking is None) is (refusal is not None)
    connecting.cancel()
    await asyncio.wait((connecting,))


async def test_a_store_that_does_not_answer_holds_nobody_up(starting: Workflows, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workflows, "_FIRST_TRY_S", 0.01)
    await starting.first_try()
    assert starting.parts.parking is None
