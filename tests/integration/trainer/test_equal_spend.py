"""fugu-ultra against its alternatives: real gateway, executor and Conductor; workers and planner on script."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import orjson
import pytest
from support.conductors import conductor_service
from support.executors import executor_stand
from support.gateway import running_gateway
from support.pools import pool_of, worker
from support.upstream import Script, Upstream
from support.workflows import plan_text

from kubefugu_core.pool import WorkerPool
from kubefugu_trainer.equal_spend.report import table
from kubefugu_trainer.equal_spend.run import Comparison, Evaluation
from kubefugu_trainer.runs.progress import SilentReporter

JOINED = plan_text((0, "Find A.", []), (1, "Find B.", []), (2, "Both.", [0, 1]))
ANSWERS = {"alpha-model": "A is 1.", "beta-model": "B is 2."}
N = 6


@pytest.fixture
async def stand(tmp_path: Path) -> AsyncIterator[tuple[str, WorkerPool, Upstream]]:
    async with AsyncExitStack() as stack:
        planner, conductor = await stack.enter_async_context(conductor_service())
        planner.default = Script(text=JOINED)
        made = executor_stand(
            tmp_path,
            *("alpha", "beta"),
            respond=lambda body: Script(text=ANSWERS[body["model"]]),
            conductor_target=conductor,
            state_url=f"sqlite:///{tmp_path}/state.db",
        )
        executor = await stack.enter_async_context(made)
        gateway = await stack.enter_async_context(running_gateway(executor.target))
        url = executor.upstream.url
        yield f"{gateway.url}/v1", pool_of(worker("alpha", url), worker("beta", url)), executor.upstream


def tasks(tmp_path: Path) -> str:
    """Questions that only both workers together answer."""
    file = tmp_path / "tasks.jsonl"
    lines: list[dict[str, Any]] = [
        {"prompt": f"Find A and B of {n}.", "answer": "A is 1.\n\nB is 2.", "kind": "exact"} for n in range(N)
    ]
    file.write_bytes(b"\n".join(orjson.dumps(line) for line in lines))
    return str(file)


async def test_every_method_is_measured_with_what_it_spends_and_goes_on_where_it_was(
    stand: tuple[str, WorkerPool, Upstream], tmp_path: Path
) -> None:
    url, pool, upstream = stand
    comparison = Comparison(tasks=tasks(tmp_path), n=N, max_samples=3)
    out = tmp_path / "report.json"

    async def run() -> dict[str, Any]:
        return await Evaluation(comparison, pool, url=url, out=out, reporter=SilentReporter()).run()

    result = await run()
    assert result["fugu-ultra"]["accuracy"] == 1.0
    assert result["fugu-ultra"]["tokens"] == 3 * 18, "planner and two workers; the join is free"
    assert result["fugu-ultra"]["calls"] == 3
    assert {name for name, row in result.items() if row["accuracy"] == 0.0} == result.keys() - {"fugu-ultra"}
    assert result["self-consistency alpha"]["tokens"] == 3 * 18, "no more than fugu-ultra took"
    assert result["self-consistency alpha"]["calls"] == 3
    assert result["fugu"]["against"]["p"] == pytest.approx(2 * 0.5**N)
    assert sum(name.startswith(("chain", "parallel")) for name in result) == 2
    assert table(result, against="fugu-ultra").splitlines()[2].startswith("| fugu-ultra | 6 | 100.0")
    asked = len(upstream.requests)
    assert await run() == result
    assert len(upstream.requests) == asked, "every answer was on disk"
    told = orjson.loads(out.read_bytes())
    assert told["methods"].keys() == result.keys()
    lines = [orjson.loads(line) for line in (tmp_path / "report.json.journal.jsonl").read_bytes().splitlines()]
    steps = next(line["facts"]["steps"] for line in lines[1:] if line["method"] == "fugu-ultra")
    assert [step[0] for step in steps] == ["alpha", "beta", "@join"]
