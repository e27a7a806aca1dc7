"""`kubefugu up --pool FILE --foreground` with workers of one's own and no trained head: honest, and gone when it is ended."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
from pathlib import Path

import httpx
import pytest
from support.pools import pool_of, worker
from support.upstream import Script, Upstream
from support.waiting import until

from kubefugu_cli.stack.model import StackPhase
from kubefugu_cli.stack.running import running_state

from .conftest import LocalStack, make_stack

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]


def is_ready(stack: LocalStack) -> bool:
    state = running_state(stack.layout)
    return state is not None and state.phase is StackPhase.READY


async def ready(stack: LocalStack, process: subprocess.Popen[str]) -> None:
    await until(lambda: process.poll() is not None or is_ready(stack), what="the stack is ready", timeout_s=90)
    assert process.poll() is None, process.communicate()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
async def test_a_pool_of_ones_own_in_the_foreground(tmp_path: Path, number: signal.Signals) -> None:
    stack = make_stack(tmp_path / "home")
    async with Upstream(Script(text="from the first")) as first, Upstream(Script(text="from the last")) as last:
        pool = pool_of(worker("last", last.url), worker("first", first.url, fallback=True))
        path = tmp_path / "mine.yaml"
        path.write_text(json.dumps(pool.model_dump(mode="json", by_alias=True, exclude_unset=True)))
        command = stack.command("up", "--pool", str(path), "--port", str(stack.port), "--foreground", "--question", "")
        process = subprocess.Popen(  # noqa: ASYNC220
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=stack.environment
        )
        try:
            await ready(stack, process)
            async with httpx.AsyncClient(timeout=30) as client:
                body = {"model": "fugu", "messages": [{"role": "user", "content": "Who are you?"}]}
                reply = await client.post(f"{stack.url}/v1/chat/completions", json=body)
                assert reply.status_code == 200, reply.text
                assert reply.json()["choices"][0]["message"]["content"] == "from the first"
                first.default = Script(status=500)
                reply = await client.post(f"{stack.url}/v1/chat/completions", json=body)
                assert reply.json()["choices"][0]["message"]["content"] == "from the last"
            process.send_signal(number)
            said, complained = await asyncio.to_thread(process.communicate, timeout=60)
        finally:
            process.kill()
            await asyncio.to_thread(process.wait)
        assert process.returncode == (-9 if number is signal.SIGKILL else 0), said + complained
        assert stack.url in said
        assert "no trained head" in complained
        await until(lambda: stack.processes() == [], what="no process is left")
