"""What a probe says of an endpoint that can't be reached: the same words each time, so that no status moves by itself."""

from __future__ import annotations

import asyncio
import errno
import socket

import aiohttp
import pytest
from aiohttp.client_reqrep import ConnectionKey

from kubefugu_operators.workerpool.observed import Health, Probe
from kubefugu_operators.workerpool.probe import ProbeTarget, WorkerProber, _why, changed, follow


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


def test_one_slow_answer_is_no_news_and_lasting_slowness_is() -> None:
    kept, told = None, []
    for latency_ms in (10, 12, 900, 11, 900, 10, 900, 900, 900):
        before, kept = kept, follow(kept, Probe(Health.OK, latency_ms))
        told.append(changed(before, kept))
    assert kept is not None
    assert kept.latency_ms == 900
    assert told == [True, False, False, False, False, False, True, False, False]


def test_failed_probe_is_told_at_once_and_begins_anew() -> None:
    steady = follow(Probe(Health.OK, 10, recent=(10, 10)), Probe(Health.OK, 10))
    failed = follow(steady, Probe(Health.UNREACHABLE, message="gone"))
    assert changed(steady, failed)
    assert follow(failed, Probe(Health.OK, 900)).recent == (900,)
