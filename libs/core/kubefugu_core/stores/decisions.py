"""Decision records: what is stored, for how long, and the Protocol of a store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


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
