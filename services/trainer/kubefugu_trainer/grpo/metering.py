"""What worker calls of rollouts really cost: a reply from the cache costs nothing, whoever is charged with it in a reward."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import orjson

from kubefugu_coordination.workers.cache import ReplyCache
from kubefugu_core.pool import WorkerPool

_CHARS_PER_TOKEN = 4


class Bill:
    """US dollars spent inside a `billed` block."""

    def __init__(self) -> None:
        self.spent_usd = 0.0


_bill: ContextVar[Bill | None] = ContextVar("bill", default=None)
_worker: ContextVar[str] = ContextVar("worker", default="")


@contextmanager
def billed() -> Iterator[Bill]:
    """Calls of this block, and of the tasks begun in it, are on one bill."""
    token = _bill.set(Bill())
    try:
        yield _bill.get() or Bill()
    finally:
        _bill.reset(token)


class Meter:
    """A worker set's observer and reply cache at once: a call ends, then, in the same task, its reply is stored."""

    def __init__(self, pool: WorkerPool, cache: ReplyCache | None) -> None:
        self._cache = cache
        self._usd_per_token = {
            spec.name: (float(spec.prices.input_per_million_tokens) / 1e6, float(spec.prices.output_per_million_tokens) / 1e6)
            for spec in pool.spec.workers
        }

    def call_ended(self, worker: str, outcome: str, seconds: float) -> None:
        """See CallObserver."""
        _worker.set(worker)

    async def get(self, key: str) -> bytes | None:
        """See ReplyCache."""
        return await self._cache.get(key) if self._cache is not None else None

    async def put(self, key: str, completion: bytes) -> None:
        """See ReplyCache."""
        bill = _bill.get()
        if bill is not None:
            bill.spent_usd += self._price(completion)
        if self._cache is not None:
            await self._cache.put(key, completion)

    def _price(self, completion: bytes) -> float:
        usage = orjson.loads(completion).get("usage") or {}
        read, written = usage.get("prompt_tokens"), usage.get("completion_tokens")
        if not isinstance(read, int) or not isinstance(written, int):
            read, written = 0, len(completion) // _CHARS_PER_TOKEN  # a server that does not count: the whole reply
        input_usd, output_usd = self._usd_per_token.get(_worker.get(), (0.0, 0.0))
        return read * input_usd + written * output_usd
