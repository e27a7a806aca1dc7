"""Asks a worker's endpoint for its models: reachable, and does it take our key? The cheapest call that every server knows."""

from __future__ import annotations

import errno
import os
import statistics
import time
from dataclasses import dataclass, field, replace

import aiohttp

from kubefugu_operators.workerpool.observed import Health, Probe

_BUSY = 429
_NOT_THERE = frozenset({404, 405, 501})
_RECENT = 5
"""Two slow probes in a row among so many move no median."""


@dataclass(frozen=True, slots=True)
class ProbeTarget:
    """An endpoint and its key."""

    url: str
    key: str = field(default="", repr=False)


class WorkerProber:
    """Probes over one HTTP session."""

    def __init__(self, session: aiohttp.ClientSession, *, timeout_s: float = 10.0) -> None:
        self._session = session
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)

    async def ask(self, target: ProbeTarget) -> Probe:
        """Never raises; what went wrong is in the answer."""
        headers = {"Authorization": f"Bearer {target.key}"} if target.key else {}
        url = f"{target.url.rstrip('/')}/models"
        started = time.perf_counter()
        try:
            async with self._session.get(url, headers=headers, timeout=self._timeout, allow_redirects=False) as answer:
                status = answer.status
        except TimeoutError:
            return Probe(Health.UNREACHABLE, message=f"no answer from {url} in time")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return Probe(Health.UNREACHABLE, message=f"{url}: {_why(error)}")
        latency_ms = (time.perf_counter() - started) * 1000
        if status in (401, 403):
            return Probe(Health.KEY_REFUSED, latency_ms, f"{url} answered {status}")
        # Busy is alive; a server without a model list is one that serves a single model.
        if status < 400 or status == _BUSY or status in _NOT_THERE:
            return Probe(Health.OK, latency_ms)
        return Probe(Health.FAILING, latency_ms, f"{url} answered {status}")


def _why(error: Exception) -> str:
    """The cause in words that stay the same while the cause does: resolvers word one outage differently each time."""
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return f"the name {error.host} can't be resolved"
    if isinstance(error, aiohttp.ClientSSLError):
        return f"TLS: {error}"
    code = error.errno if isinstance(error, OSError) else None
    if isinstance(error, aiohttp.ServerDisconnectedError) or code in (errno.ECONNRESET, errno.EPIPE):
        return "the connection was closed without an answer"
    if code is not None and code > 0:
        return os.strerror(code)
    return str(error) or type(error).__name__


def follow(before: Probe | None, now: Probe) -> Probe:
    """The probe with the latencies before it: a single slow answer is no news of a worker."""
    if now.health is not Health.OK:
        return now
    recent = (*(before.recent if before is not None else ()), now.latency_ms)[-_RECENT:]
    return replace(now, latency_ms=statistics.median(recent), recent=recent)


def changed(before: Probe | None, now: Probe) -> bool:
    """True where the owner's status may have to change."""
    if before is None or before.health is not now.health or before.message != now.message:
        return True
    low, high = sorted((before.latency_ms, now.latency_ms))
    return high > 2 * low + 5
