"""`kubefugu plan` against a real Conductor: table, explanation, picture."""

from __future__ import annotations

import asyncio
import sys
import xml.etree.ElementTree as ElementTree
from asyncio.subprocess import PIPE, STDOUT
from pathlib import Path

from support.conductors import conductor_service
from support.pools import pool_of, worker
from support.upstream import Script
from support.workflows import plan_text


async def run(*arguments: str) -> tuple[int | None, str]:
    command = (sys.executable, "-m", "kubefugu_cli", "plan", *arguments)
    process = await asyncio.create_subprocess_exec(*command, stdout=PIPE, stderr=STDOUT)
    output, _ = await asyncio.wait_for(process.communicate(), 60)
    return process.returncode, output.decode()


async def test_a_plan_is_shown_explained_and_drawn(tmp_path: Path) -> None:
    pool = tmp_path / "pool.json"
    entries = [worker(name, "http://127.0.0.1:9/v1") for name in ("writer", "units")]
    pool.write_text(pool_of(*entries).model_dump_json(by_alias=True, exclude_none=True))
    async with conductor_service() as (planner, target):
        planner.default = Script(text=plan_text((1, "Convert it.", []), (0, "Say it.", [0]), (0, "", [])))
        arguments = ("How far?", "--pool", str(pool), "--conductor", target, "--svg", str(tmp_path / "plan.svg"))
        code, output = await run(*arguments, "--explain")
    assert code == 0, output
    assert "Convert it." in output
    assert "TRAILING_STEP_EMPTY" in output
    root = ElementTree.parse(tmp_path / "plan.svg").getroot()
    assert len(root.findall(".//{http://www.w3.org/2000/svg}rect")) == 2


async def test_no_plan_is_an_error_that_names_the_diagnosis(tmp_path: Path) -> None:
    pool = tmp_path / "pool.json"
    pool.write_text(pool_of(worker("writer", "http://127.0.0.1:9/v1")).model_dump_json(by_alias=True, exclude_none=True))
    async with conductor_service() as (planner, target):
        planner.default = Script(text="no plan")
        code, output = await run("How far?", "--pool", str(pool), "--conductor", target)
    assert code not in (0, None)
    assert "LIST_MISSING" in output
    assert "Traceback" not in output
