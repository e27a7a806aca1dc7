from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import pytest

from kubefugu_core.errors import DataError, WorkerUnreachableError
from kubefugu_trainer.outcomes.assemble import assemble
from kubefugu_trainer.outcomes.collect import CollectConfig, Collector, CollectResult, Reply
from kubefugu_trainer.outcomes.journal import Journal, Measurement
from kubefugu_trainer.runs.progress import SilentReporter
from kubefugu_trainer.tasks.sets import SplitQuestion, build

ROWS = build("algebra", n=12, seed=1)
LIMITS = {"good": 2, "shy": 1}


class Callers:
    """`good` answers 1, `shy` declines; `failing` lists how often each call fails first."""

    def __init__(self, *, failing: int = 0, dead: frozenset[str] = frozenset(), cost_usd: float = 0.0) -> None:
        self.failing, self.dead, self.cost_usd = failing, dead, cost_usd
        self.calls: Counter[tuple[str, str, int]] = Counter()
        self.in_flight: Counter[str] = Counter()
        self.most: Counter[str] = Counter()

    def worst_cost_usd(self, worker: str, prompt: str) -> float:
        return self.cost_usd

    async def ask(self, worker: str, prompt: str, *, seed: int) -> Reply:
        self.calls[(worker, prompt, seed)] += 1
        self.in_flight[worker] += 1
        self.most[worker] = max(self.most[worker], self.in_flight[worker])
        try:
            await asyncio.sleep(0)
            if worker in self.dead or self.calls[(worker, prompt, seed)] <= self.failing:
                raise WorkerUnreachableError(f"{worker} is not there")
        finally:
            self.in_flight[worker] -= 1
        return Reply(
            text="1", declined=worker == "shy", prompt_tokens=5, completion_tokens=2, cost_usd=self.cost_usd, latency_ms=1.0,
            finish_reason="stop",
        )  # fmt: skip


async def collect(
    path: Path, callers: Callers, *, rows: list[SplitQuestion] = ROWS, **config: object
) -> tuple[CollectResult, dict[tuple[str, str, int], Measurement]]:
    journal = Journal(path, config={"n": len(rows)})
    try:
        collector = Collector(
            callers,
            journal,
            config=CollectConfig(**config),
            limits=LIMITS,
            reporter=SilentReporter(),  # type: ignore[arg-type]
        )
        return await collector.run(rows), dict(journal.measurements)
    finally:
        journal.close()


async def test_every_worker_answers_every_question_as_often_as_asked_within_its_limit(tmp_path: Path) -> None:
    callers = Callers()
    result, measurements = await collect(tmp_path / "j", callers, repeats=3, seed=7)
    assert (result.recorded, result.missing) == (72, 0)
    assert len(measurements) == 72
    assert set(callers.calls.values()) == {1}
    assert {seed for _, _, seed in callers.calls} == {7, 8, 9}
    assert callers.most == {"good": 2, "shy": 1}


async def test_a_failed_call_is_repeated_and_never_recorded_as_wrong(tmp_path: Path) -> None:
    result, measurements = await collect(tmp_path / "j", Callers(failing=1), rounds=2)
    assert (result.recorded, result.missing) == (24, 0)
    assert all(m.reply == "1" for m in measurements.values())


async def test_what_could_not_be_asked_is_missing_and_not_zero(tmp_path: Path) -> None:
    result, measurements = await collect(tmp_path / "j", Callers(dead=frozenset({"good"})), give_up_after=4)
    assert (result.recorded, result.missing) == (12, 12)
    assert result.problems == {"good": "good is not there"}
    assert {m.worker for m in measurements.values()} == {"shy"}


async def test_a_worker_that_only_fails_is_given_up(tmp_path: Path) -> None:
    callers = Callers(dead=frozenset({"good"}))
    await collect(tmp_path / "j", callers, give_up_after=4, rounds=3)
    assert sum(count for (worker, _, _), count in callers.calls.items() if worker == "good") <= 6


async def test_a_refusal_is_a_measurement_of_zero(tmp_path: Path) -> None:
    _, measurements = await collect(tmp_path / "j", Callers())
    assert all(m.declined and m.score == 0 for m in measurements.values() if m.worker == "shy")


async def test_a_second_run_asks_only_what_is_missing(tmp_path: Path) -> None:
    await collect(tmp_path / "j", Callers(dead=frozenset({"good"})), give_up_after=2)
    callers = Callers()
    result, _ = await collect(tmp_path / "j", callers)
    assert result.missing == 0
    assert {worker for worker, _, _ in callers.calls} == {"good"}


async def test_a_cancelled_run_keeps_what_was_recorded(tmp_path: Path) -> None:
    callers = Callers()
    task = asyncio.create_task(collect(tmp_path / "j", callers, repeats=50))
    while sum(callers.calls.values()) < 40:
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    again = Callers()
    result, _ = await collect(tmp_path / "j", again, repeats=50)
    assert result.missing == 0
    assert sum(again.calls.values()) < 1200


async def test_the_cost_cap_is_not_passed_and_can_be_raised(tmp_path: Path) -> None:
    result, _ = await collect(tmp_path / "j", Callers(cost_usd=0.01), max_cost_usd=0.105)
    assert result.capped
    assert result.cost_usd == pytest.approx(0.10)
    result, _ = await collect(tmp_path / "j", Callers(cost_usd=0.01), max_cost_usd=1.0)
    assert not result.capped
    assert result.cost_usd == pytest.approx(0.24)


async def test_a_cut_last_line_is_dropped(tmp_path: Path) -> None:
    await collect(tmp_path / "j", Callers())
    raw = (tmp_path / "j").read_bytes()
    (tmp_path / "j").write_bytes(raw[:-9])
    callers = Callers()
    result, _ = await collect(tmp_path / "j", callers)
    assert result.missing == 0
    assert sum(callers.calls.values()) == 1


def test_a_journal_of_another_collection_is_refused(tmp_path: Path) -> None:
    Journal(tmp_path / "j", config={"n": 3, "seed": 1}).close()
    Journal(tmp_path / "j", config={"n": 3, "seed": 1}).close()
    with pytest.raises(DataError, match=r"begun with seed = 1, not 2"):
        Journal(tmp_path / "j", config={"n": 3, "seed": 2})


async def test_the_table_has_complete_rows_only(tmp_path: Path) -> None:
    _, measurements = await collect(tmp_path / "j", Callers(cost_usd=0.01), repeats=2)
    lost = next(key for key in measurements if key[1] == "good")
    del measurements[lost]
    table = assemble(ROWS, measurements, workers=("shy", "good"), repeats=2, provenance={"pool": "p"})
    assert len(table) == len(ROWS) - 1
    assert table.workers == ("shy", "good")
    assert table.scores[:, 0].max() == 0
    assert table.repeats is not None
    assert all(len(cell) == 2 for row in table.repeats for cell in row)
    assert table.costs is not None
    assert table.costs[0, 0] == pytest.approx(0.01)
    assert table.tokens is not None
    assert table.tokens[0, 0] == 7
    with pytest.raises(DataError, match="no table to write"):
        assemble(ROWS, {}, workers=("shy",), repeats=1, provenance={})
