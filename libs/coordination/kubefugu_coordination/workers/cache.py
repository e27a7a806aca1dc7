"""Hook for a reply cache, keyed by everything that goes into a call.

A key over a shortened or partial request returns stale verdicts, a known failure of earlier systems; here it covers the
endpoint and the whole body as sent.
"""

from __future__ import annotations

import hashlib
from typing import Protocol

import orjson


class ReplyCache(Protocol):
    """Where training keeps replies."""

    async def get(self, key: str) -> bytes | None:
        """The stored chat.completion as JSON, None where there is none."""
        ...

    async def put(self, key: str, completion: bytes) -> None:
        """Store a successful chat.completion."""
        ...


def request_key(url: str, body: dict[str, object]) -> str:
    """sha256 (hex) of the endpoint and the full request, independent of the order of its keys."""
    canonical = orjson.dumps([url, body], option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(canonical).hexdigest()


class MemoryReplyCache:
    """Keeps replies in memory, for one process."""

    def __init__(self) -> None:
        self._entries: dict[str, bytes] = {}

    async def get(self, key: str) -> bytes | None:
        """See ReplyCache."""
        return self._entries.get(key)

    async def put(self, key: str, completion: bytes) -> None:
        """See ReplyCache."""
        self._entries[key] = completion
