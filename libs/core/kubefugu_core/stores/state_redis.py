"""The state store in Redis or Valkey, shared by every replica. Expiry is the server's own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kubefugu_core.errors import DataError, UnavailableError

_PREFIX = "kubefugu:state:"
_TIMEOUT_S = 5.0


class RedisState:
    """See StateStore."""

    def __init__(self, url: str) -> None:
        try:
            import redis.asyncio as client
            from redis.exceptions import RedisError
        except ImportError as error:
            raise DataError("A Redis state store needs the package redis.", field="state_url") from error
        self._failure = RedisError
        self._client: Any = client.Redis.from_url(url, socket_timeout=_TIMEOUT_S, socket_connect_timeout=_TIMEOUT_S)

    async def put(self, key: str, value: bytes, *, ttl_s: float) -> None:
        """See StateStore."""
        await self._call(self._client.set(_PREFIX + key, value, px=_ms(ttl_s)))

    async def get(self, key: str) -> bytes | None:
        """See StateStore."""
        value = await self._call(self._client.get(_PREFIX + key))
        return None if value is None else bytes(value)

    async def put_once(self, key: str, value: bytes) -> bytes:
        """See StateStore."""
        await self._call(self._client.set(_PREFIX + key, value, nx=True))
        stored = await self.get(key)
        if stored is None:
            raise UnavailableError("The state store lost a value that it had just taken.")
        return stored

    async def append(self, key: str, entries: Sequence[bytes], *, keep: int, ttl_s: float) -> None:
        """See StateStore."""
        if not entries:
            return
        async with self._client.pipeline(transaction=True) as pipe:
            pipe.rpush(_PREFIX + key, *entries)
            pipe.ltrim(_PREFIX + key, -keep, -1)
            pipe.pexpire(_PREFIX + key, _ms(ttl_s))
            await self._call(pipe.execute())

    async def read(self, key: str) -> list[bytes]:
        """See StateStore."""
        return [bytes(entry) for entry in await self._call(self._client.lrange(_PREFIX + key, 0, -1))]

    async def close(self) -> None:
        """See StateStore."""
        await self._client.aclose()

    async def _call(self, awaitable: Any) -> Any:
        try:
            return await awaitable
        except (self._failure, OSError) as error:
            raise UnavailableError(f"The state store cannot be used: {type(error).__name__}.") from error


def _ms(seconds: float) -> int:
    return max(1, round(seconds * 1e3))
