"""`kubefugu pool check` against real servers, healthy and not."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
import yaml
from support.pools import pool_of, worker
from support.upstream import Script, Upstream
from typer.testing import CliRunner

from kubefugu_cli import checking
from kubefugu_cli.main import app
from kubefugu_core.pool import WorkerPool


async def checked(pool: WorkerPool, timeout_s: float = 60.0) -> dict[str, checking.CheckResult]:
    results = await asyncio.to_thread(checking.check_pool, pool, question="Capital of France?", timeout_s=timeout_s)
    assert [one.name for one in results] == [one.name for one in pool.spec.workers]
    return {one.name: one for one in results}


async def test_each_worker_is_called_once_and_judged_by_what_it_does() -> None:
    async with (
        Upstream(Script(text="Paris")) as good,
        Upstream(Script(text=None, refusal="Not mine.")) as shy,
        Upstream(Script(status=401, body=b'{"error": {"message": "bad key"}}')) as locked,
    ):
        pool = pool_of(
            worker("good", good.url),
            worker("specialist", shy.url, specialist=True),
            worker("refuses", shy.url),
            worker("locked", locked.url),
            worker("away", "http://127.0.0.1:9/v1"),
            {"name": "local", "model": "m", "process": {"kind": "expert", "model": "units"}},
        )
        results = await checked(pool)
    assert results["good"].works
    assert (results["good"].outcome, results["good"].says) == ("ok", "Paris")
    assert (results["good"].prompt_tokens, results["good"].completion_tokens) == (11, 7)
    assert len(good.requests) == 1
    assert good.requests[0].body["max_tokens"] == 16
    assert (results["specialist"].outcome, results["specialist"].works) == ("declined", True)
    assert (results["refuses"].outcome, results["refuses"].works) == ("declined", False)
    assert (results["locked"].outcome, results["locked"].works) == ("worker_misconfigured", False)
    assert (results["away"].outcome, results["away"].works) == ("worker_unreachable", False)
    assert (results["local"].outcome, results["local"].works) == ("not running", False)


async def test_a_worker_that_hangs_is_late_and_does_not_hold_up_the_others() -> None:
    async with Upstream(Script(hang=True)) as slow, Upstream(Script(text="Paris")) as good:
        results = await checked(pool_of(worker("slow", slow.url), worker("good", good.url)), timeout_s=1.5)
    assert (results["slow"].outcome, results["slow"].works) == ("deadline_exceeded", False)
    assert results["good"].works


async def test_the_command_reads_a_key_file_beside_the_pool_and_fails_where_a_worker_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBEFUGU_HOME", str(tmp_path / "home"))
    (tmp_path / "key").write_text("secret\n")
    async with Upstream(Script(text="Paris")) as good:
        pool = pool_of(worker("good", good.url, auth={"file": "key"}))
        path = tmp_path / "pool.yaml"
        path.write_text(yaml.safe_dump(pool.model_dump(mode="json", by_alias=True, exclude_unset=True)))
        fine = await asyncio.to_thread(CliRunner().invoke, app, ["pool", "check", str(path), "--json"])
        assert good.requests[0].headers["authorization"] == "Bearer secret"
        good.default = Script(status=500)
        bad = await asyncio.to_thread(CliRunner().invoke, app, ["pool", "check", str(path)])
    assert fine.exit_code == 0, fine.output
    assert json.loads(fine.stdout)["workers"][0]["outcome"] == "ok"
    assert "secret" not in fine.output
    assert bad.exit_code == 1
