"""What a probe says of an endpoint that can't be reached: the same words each time, so that no status moves by itself."""

from __future__ import annotations

import asyncio
import errno
import socket

import aiohttp
import pytest
from aiohttp.client_reqrep import ConnectionKey

from kubefugu_operators.workerpool.observed import Health
from kubefugu_operators.workerpool.probe import ProbeTarget, WorkerProber, _why


async def test_refused_and_closed_connections() -> None:
    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with aiohttp.ClientSession() as session:
        prober = WorkerProber(session)
        closed = await prober.ask(ProbeTarget(f"http://127.0.0.1:{port}/v1"))
        server.close()
        await server.wait_closed()
        refused = await prober.ask(ProbeTarget(f"http://127.0.0.1:{port}/v1"))
    assert (closed.health, refused.health) == (Health.UNREACHABLE, Health.UNREACHABLE)
    assert closed.message == f"http://127.0.0.1:{port}/v1/models: the connection was closed without an answer"
    assert refused.message == f"http://127.0.0.1:{port}/v1/models: Connection refused"


@pytest.mark.parametrize(
    "error",
    [
        OSError(None, "Timeout while contacting DNS servers"),
        socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution"),
        socket.gaierror(socket.EAI_NONAME, "Name or service not known"),
    ],
    ids=["timeout", "again", "noname"],
)
def test_every_failure_of_a_name_is_told_alike(error: OSError) -> None:
    key = ConnectionKey("worker", 80, False, True, None, None, None)
    assert _why(aiohttp.ClientConnectorDNSError(key, error)) == "the name worker can't be resolved"
    assert _why(aiohttp.ClientConnectorError(key, OSError(errno.ENETUNREACH, "x"))) == "Network is unreachable"
