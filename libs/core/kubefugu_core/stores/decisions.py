"""Decision records: what is stored, for how long, and the Protocol of a store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from kubefugu_core.errors import DataError


@dataclass(frozen=True, slots=True)
class StoredDecision:
    """One record. `payload` is JSON; tenant and id together are its key."""

    tenant: str
    record_id: str
    created: float
    """Seconds since the epoch."""
    payload: bytes


@dataclass(frozen=True, slots=True)
class Retention:
    """How long records stay. Both bounds hold; the oldest go first."""

    ttl_s: float = 7 * 24 * 3600.0
    """Age at which a record is no longer found."""
    max_records: int = 100_000
    """Records of all tenants together."""


DEFAULT_RETENTION = Retention()


class DecisionStore(Protocol):
    """Keeps decision records by tenant and id. A tenant never reads another's."""

    async def put_many(self, records: Sequence[StoredDecision]) -> None:
        """Write records; one with a known key replaces it. Raises UnavailableError where the store cannot be reached."""
        ...

    async def get(self, tenant: str, record_id: str) -> bytes | None:
        """The payload, None where there is none (any more). Raises UnavailableError."""
        ...

    async def close(self) -> None:
        """Close connections; nothing is written any more."""
        ...


def open_decision_store(url: str, *, retention: Retention = DEFAULT_RETENTION) -> DecisionStore:
    """A store by URL: `sqlite:///relative.db`, `sqlite:////absolute.db`, `redis://`, `rediss://` or `unix://` (Redis's socket).

    Raises DataError for another scheme, or where the Redis client is not installed.
    """
    scheme = urlsplit(url).scheme
    if url.startswith("sqlite:///"):
        from kubefugu_core.stores.sqlite import SqliteDecisions

        return SqliteDecisions(Path(url.removeprefix("sqlite:///")), retention=retention)
    if scheme in ("redis", "rediss", "unix"):
        from kubefugu_core.stores.redis import RedisDecisions

        return RedisDecisions(url, retention=retention)
    raise DataError(f"The decision store's URL has an unknown scheme: {scheme or 'none'}.", field="decisions_url")
