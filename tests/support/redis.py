"""A real redis-server on a unix socket of its own, without persistence."""

from __future__ import annotations

import asyncio
import shutil
import socket as sockets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from support.waiting import until


@asynccontextmanager
async def redis_server(folder: Path) -> AsyncIterator[str]:
    """Start one; yields its URL. The test is skipped where redis-server is not installed."""
    binary = shutil.which("redis-server")
    if binary is None:
        pytest.skip("needs the program redis-server (Debian package redis-server), which is not installed")
    socket = folder / "redis.sock"
    process = await asyncio.create_subprocess_exec(
        binary, "--port", "0", "--unixsocket", str(socket), "--save", "", "--appendonly", "no", "--dir", str(folder),
        stdout=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        await until(lambda: listens(socket))
        yield f"unix://{socket}"
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


def listens(path: Path) -> bool:
    """Whether a server listens on the socket: its file is there a moment before."""
    with sockets.socket(sockets.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0
