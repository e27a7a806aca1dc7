"""Services as real processes: started as users start them, found by the address that their log names, stopped by signal."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from support.paths import REPO
from support.waiting import until


class Service:
    """A running `python -m MODULE`. `events` are its log lines that are JSON, `lines` are all of them."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.lines: list[str] = []
        self.events: list[dict[str, Any]] = []
        self._reader = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self._process.stderr is not None
        async for raw in self._process.stderr:
            line = raw.decode(errors="replace").rstrip()
            self.lines.append(line)
            try:
                event = json.loads(line)
            except ValueError:
                continue
            if isinstance(event, dict):
                self.events.append(event)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        return self._process.returncode

    def event(self, name: str) -> dict[str, Any] | None:
        """The first log event of this name so far."""
        return next((event for event in self.events if event.get("event") == name), None)

    async def wait_for(self, name: str, *, timeout_s: float = 60.0) -> dict[str, Any]:
        """Wait until the log names an event; fails with the log if the process ends first."""
        await until(
            lambda: self.event(name) or self.returncode is not None or self._reader.done(),
            what=f"{name} in the log",
            timeout_s=timeout_s,
        )
        found = self.event(name)
        assert found is not None, "the process ended:\n" + "\n".join(self.lines)
        return found

    def terminate(self) -> None:
        """SIGTERM."""
        self._process.send_signal(signal.SIGTERM)

    async def ended(self, *, timeout_s: float = 60.0) -> int:
        """Wait for the end; the exit code."""
        code = await asyncio.wait_for(self._process.wait(), timeout_s)
        await self._reader
        return code

    async def stop(self) -> None:
        """SIGTERM, then SIGKILL."""
        if self.returncode is None:
            self.terminate()
            try:
                await self.ended(timeout_s=10)
            except TimeoutError:
                self._process.kill()
                await self._process.wait()
        self._reader.cancel()


@asynccontextmanager
async def service(module: str, *flags: str, environment: dict[str, str] | None = None) -> AsyncIterator[Service]:
    """Run `python -m MODULE FLAGS`, without this process's own KUBEFUGU_* variables, until the block ends."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("KUBEFUGU_")}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        module,
        *flags,
        cwd=REPO,
        env=inherited | {"OMP_NUM_THREADS": "1"} | (environment or {}),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    running = Service(process)
    try:
        yield running
    finally:
        await running.stop()
