"""Values and bounded logs that expire, shared by all replicas that open the same URL."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol
from urllib.parse import quote, urlsplit

from kubefugu_core.errors import DataError


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


def open_state_store(url: str) -> StateStore:
    """A store by URL: `sqlite:///relative.db`, `sqlite:////absolute.db`, `redis://`, `rediss://` or `unix://` (Redis's socket).

    It connects on first use. Raises DataError for another scheme, or where the Redis client is not installed.
    """
    scheme = urlsplit(url).scheme
    path = url.removeprefix("sqlite:///")
    if url.startswith("sqlite:///") and path:
        from kubefugu_core.stores.state_sqlite import SqliteState

        return SqliteState(Path(path))
    if scheme in ("redis", "rediss", "unix"):
        from kubefugu_core.stores.state_redis import RedisState

        return RedisState(url)
    raise DataError("A state store's URL is sqlite:///path, redis://, rediss:// or unix://.", field="state_url")
