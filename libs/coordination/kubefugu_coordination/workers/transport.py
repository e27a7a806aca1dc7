"""The HTTP seam under the worker client: a Protocol, and aiohttp behind it. Tests hand in their own instead of patching."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Mapping
from typing import Protocol

import aiohttp
from yarl import URL

from kubefugu_core.errors import WorkerProtocolError, WorkerStreamCutError, WorkerUnreachableError

MAX_BODY_BYTES = 16 * 1024 * 1024
"""Longest answer that is not streamed."""
_DRAIN_S = 0.5
"""How long the end of a body is awaited after the answer's final frame."""


class HttpResponse(Protocol):
    """An answer whose headers have arrived."""

    status: int
    headers: Mapping[str, str]

    async def read_some(self) -> bytes:
        """The bytes that are there, at least one; b"" at the end. Raises WorkerStreamCutError when it breaks off."""
        ...

    async def read_all(self) -> bytes:
        """The whole body. Raises WorkerStreamCutError, and WorkerProtocolError where it is too long."""
        ...

    def close(self) -> None:
        """Drop the connection at once unless the body was read to its end; a pending read ends in WorkerStreamCutError."""
        ...

    def finish(self) -> None:
        """The answer is complete: let the connection be used again once the rest of the body (a few bytes) has come."""
        ...


class HttpTransport(Protocol):
    """Sends a POST."""

    async def post(self, url: str, *, headers: Mapping[str, str], body: bytes, connect_timeout_s: float) -> HttpResponse:
        """Send and wait for the headers. Raises WorkerUnreachableError where no answer begins."""
        ...

    async def close(self) -> None:
        """Close every connection."""
        ...


class _AiohttpResponse:
    """aiohttp's response behind the Protocol."""

    def __init__(self, response: aiohttp.ClientResponse, draining: set[asyncio.Task[None]]) -> None:
        self._response = response
        self._draining = draining
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers

    async def read_some(self) -> bytes:
        try:
            return await self._response.content.readany()
        except (aiohttp.ClientError, ConnectionError) as error:
            raise WorkerStreamCutError("the connection broke off inside the answer", metadata={"stage": "body"}) from error

    async def read_all(self) -> bytes:
        parts: list[bytes] = []
        size = 0
        while part := await self.read_some():
            size += len(part)
            if size > MAX_BODY_BYTES:
                raise WorkerProtocolError(f"the answer is longer than {MAX_BODY_BYTES} bytes")
            parts.append(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def close(self) -> None:
        if self._response.content.at_eof():
            self._response.release()
        else:
            self._response.close()

    def finish(self) -> None:
        if self._response.content.at_eof():
            self._response.release()
            return
        task = asyncio.get_running_loop().create_task(self._drain())
        self._draining.add(task)
        task.add_done_callback(self._drained)

    def _drained(self, task: asyncio.Task[None]) -> None:
        # Also after a cancellation before the task's first step, when no `finally` of its own would run.
        self._draining.discard(task)
        self.close()

    async def _drain(self) -> None:
        try:
            async with asyncio.timeout(_DRAIN_S):
                while await self._response.content.readany():
                    pass
        except (aiohttp.ClientError, ConnectionError, TimeoutError):
            pass


class AiohttpTransport:
    """One aiohttp session for a process; made on first use, inside the running loop."""

    def __init__(self, *, keepalive_s: float = 15.0, tls: ssl.SSLContext | None = None) -> None:
        self._keepalive_s = keepalive_s
        self._tls = tls
        self._session: aiohttp.ClientSession | None = None
        self._draining: set[asyncio.Task[None]] = set()
        self._urls: dict[str, URL] = {}
        self._timeouts: dict[float, aiohttp.ClientTimeout] = {}

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None or self._session.closed:
            connector = aiohttp.TCPConnector(
                limit=0, keepalive_timeout=self._keepalive_s, ttl_dns_cache=30, ssl=self._tls if self._tls is not None else True
            )
            self._session = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=True,
                # Answers are passed on as bytes, so they are asked for uncompressed.
                headers={"Accept-Encoding": "identity", "Content-Type": "application/json", "User-Agent": "kubefugu"},
            )
        return self._session

    async def post(self, url: str, *, headers: Mapping[str, str], body: bytes, connect_timeout_s: float) -> HttpResponse:
        """See HttpTransport. Everything after connecting is timed by the caller."""
        parsed = self._urls.get(url)
        if parsed is None:
            parsed = self._urls[url] = URL(url)
        timeout = self._timeouts.get(connect_timeout_s)
        if timeout is None:
            timeout = self._timeouts[connect_timeout_s] = aiohttp.ClientTimeout(total=None, sock_connect=connect_timeout_s)
        try:
            response = await self._open().post(parsed, data=body, headers=headers, timeout=timeout, allow_redirects=False)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise WorkerUnreachableError(f"no connection: {_why(error)}", metadata={"stage": "connect"}) from error
        return _AiohttpResponse(response, self._draining)

    async def close(self) -> None:
        """Close the session and its connections."""
        for task in tuple(self._draining):
            task.cancel()
        await asyncio.gather(*self._draining, return_exceptions=True)
        if self._session is not None:
            await self._session.close()
            self._session = None


def _why(error: Exception) -> str:
    """The cause without the address, which is nobody's business outside."""
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "its name cannot be resolved"
    if isinstance(error, aiohttp.ClientConnectorError):
        return os.strerror(error.os_error.errno) if error.os_error.errno else "refused"
    if isinstance(error, TimeoutError):
        return "timed out"
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return "closed before an answer began"
    return type(error).__name__
