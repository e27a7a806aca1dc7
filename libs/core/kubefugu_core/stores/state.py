"""Values and bounded logs that expire, shared by all replicas that open the same URL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol
from urllib.parse import quote


class StateStore(Protocol):
    """Bytes by key. Every method may raise UnavailableError."""

    async def put(self, key: str, value: bytes, *, ttl_s: float) -> None:
        """Store or replace a value for `ttl_s` seconds. Durable once it returns: it survives a kill of this process."""
        ...

    async def get(self, key: str) -> bytes | None:
        """The value; None where there is none or it has expired."""
        ...

    async def put_once(self, key: str, value: bytes) -> bytes:
        """Store a value for good unless there is one already; returns the one that is stored."""
        ...

    async def append(self, key: str, entries: Sequence[bytes], *, keep: int, ttl_s: float) -> None:
        """Add entries to a log of which the last `keep` stay; the whole log expires `ttl_s` seconds after its last entry."""
        ...

    async def read(self, key: str) -> list[bytes]:
        """The log's entries, oldest first; [] where there is none or it has expired."""
        ...

    async def close(self) -> None:
        """Let go of files and connections."""
        ...


def state_key(kind: str, tenant: str, name: str) -> str:
    """Key of one tenant's entry. Parts are quoted, so that no tenant or name can reach into another one's keys."""
    return f"{kind}:{quote(tenant, safe='')}:{quote(name, safe='')}"
