"""Reading a request's body: its type, its size, in time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

from starlette.exceptions import HTTPException

from kubefugu_core.errors import RequestCancelledError

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]


async def read_json_bytes(
    receive: Receive, headers: Iterable[tuple[bytes, bytes]], *, max_bytes: int, timeout_s: float
) -> bytes:
    """The body of a request whose content type is JSON. Raises HTTPException 408, 413 or 415, RequestCancelledError.

    Insisting on application/json also keeps web pages of other origins from posting here without a preflight. A body that is
    refused unread is not a reason to close: the server skips it, whereas closing would reset the connection under a client
    that still writes, before it has read why.
    """
    named = dict(headers)
    kind = named.get(b"content-type", b"").partition(b";")[0].strip().lower()
    if kind != b"application/json":
        raise HTTPException(415, "The body must be JSON: send the header 'Content-Type: application/json'.")
    if named.get(b"content-encoding", b"identity").strip().lower() not in (b"identity", b""):
        raise HTTPException(415, "Compressed request bodies are not supported.")
    length = named.get(b"content-length", b"")
    if length.isdigit() and int(length) > max_bytes:
        raise _too_large(max_bytes)
    try:
        async with asyncio.timeout(timeout_s):
            return await _read(receive, max_bytes)
    except TimeoutError as error:
        raise HTTPException(408, f"The body did not arrive within {timeout_s:g} s.", headers={"connection": "close"}) from error


async def _read(receive: Receive, max_bytes: int) -> bytes:
    message = await receive()
    if message["type"] == "http.request" and not message.get("more_body", False) and len(message["body"]) <= max_bytes:
        return bytes(message["body"])
    pieces, total = list[bytes](), 0
    while True:
        if message["type"] == "http.disconnect":
            raise RequestCancelledError("The client went away while it sent its request.")
        piece = message.get("body", b"")
        total += len(piece)
        if total > max_bytes:
            raise _too_large(max_bytes)
        pieces.append(piece)
        if not message.get("more_body", False):
            return b"".join(pieces)
        message = await receive()


def _too_large(max_bytes: int) -> HTTPException:
    return HTTPException(413, f"The body is too large: at most {max_bytes} bytes are accepted.")
