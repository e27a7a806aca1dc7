"""Decision records in Redis: one key a record with an expiry, and one sorted set by age that bounds their number.

https://redis.io/docs/latest/commands/set/, https://redis.io/docs/latest/commands/zpopmin/
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import quote, urlsplit

from kubefugu_core.errors import DataError, UnavailableError
from kubefugu_core.stores.decisions import DEFAULT_RETENTION, Retention, StoredDecision

_PREFIX = "kubefugu:decision"
_AGES = "kubefugu:decisions:created"


def record_key(tenant: str, record_id: str) -> str:
    """Key of a record; quoting keeps tenants apart whatever characters they contain."""
    return f"{_PREFIX}:{quote(tenant, safe='')}:{quote(record_id, safe='')}"


class RedisDecisions:
    """See DecisionStore. Shared by every replica."""

    def __init__(self, url: str, *, retention: Retention = DEFAULT_RETENTION, now: Callable[[], float] = time.time) -> None:
        try:
            import redis.asyncio as client
            from redis.exceptions import RedisError
        except ImportError as error:
            raise DataError("A Redis decision store needs the package redis.", field="decisions_url") from error
        self._failure = RedisError
        # Credentials stay out of messages.
        self._where = urlsplit(url)._replace(netloc=urlsplit(url).netloc.rsplit("@", 1)[-1], query="").geturl()
        self._redis: Any = client.Redis.from_url(url, socket_timeout=5.0, socket_connect_timeout=5.0)
        self._retention = retention
        self._now = now

    def _unavailable(self, error: Exception) -> UnavailableError:
        return UnavailableError(f"The decision store {self._where} cannot be used: {type(error).__name__}.")

    async def put_many(self, records: Sequence[StoredDecision]) -> None:
        """See DecisionStore."""
        try:
            async with self._redis.pipeline(transaction=False) as pipe:
                for record in records:
                    key = record_key(record.tenant, record.record_id)
                    pipe.set(key, record.payload, ex=max(1, round(self._retention.ttl_s)))
                    pipe.zadd(_AGES, {key: record.created})
                pipe.zremrangebyscore(_AGES, "-inf", self._now() - self._retention.ttl_s)
                pipe.zcard(_AGES)
                excess = (await pipe.execute())[-1] - self._retention.max_records
            if excess > 0:
                oldest = await self._redis.zpopmin(_AGES, excess)
                await self._redis.unlink(*(key for key, _ in oldest))
        except (self._failure, OSError) as error:
            raise self._unavailable(error) from error

    async def get(self, tenant: str, record_id: str) -> bytes | None:
        """See DecisionStore."""
        try:
            payload: bytes | None = await self._redis.get(record_key(tenant, record_id))
        except (self._failure, OSError) as error:
            raise self._unavailable(error) from error
        return payload

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose()
