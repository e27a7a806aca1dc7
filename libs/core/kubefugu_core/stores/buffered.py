"""Takes records without waiting and writes them in batches behind the requests' backs.

What is not written yet can be read already. A store that cannot be reached is tried again; the buffer is bounded, the oldest
records are dropped first and counted.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from kubefugu_core.errors import UnavailableError
from kubefugu_core.stores.decisions import DecisionStore, StoredDecision

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class PendingDecision:
    """A record whose JSON is made only when it is written or read."""

    tenant: str
    record_id: str
    created: float
    render: Callable[[], bytes]

    def stored(self) -> StoredDecision:
        """The record to write."""
        return StoredDecision(self.tenant, self.record_id, self.created, self.render())


class BufferedDecisions:
    """A write-behind buffer over a DecisionStore. `run` is its task; `close` writes what is left."""

    def __init__(self, store: DecisionStore, *, every_s: float = 0.5, max_pending: int = 10_000, max_batch: int = 500) -> None:
        self._store = store
        self._every_s = every_s
        self._max_pending = max_pending
        self._max_batch = max_batch
        self._pending: OrderedDict[tuple[str, str], PendingDecision] = OrderedDict()
        self._wake = asyncio.Event()
        self.dropped = 0
        """Records lost because the store could not be reached for too long."""

    def put(self, record: PendingDecision) -> None:
        """Take a record; returns at once."""
        key = (record.tenant, record.record_id)
        self._pending[key] = record
        self._pending.move_to_end(key)
        if len(self._pending) > self._max_pending:
            self._pending.popitem(last=False)
            self.dropped += 1
        self._wake.set()

    async def get(self, tenant: str, record_id: str) -> bytes | None:
        """The record as JSON, None where there is none."""
        pending = self._pending.get((tenant, record_id))
        if pending is not None:
            return pending.render()
        return await self._store.get(tenant, record_id)

    async def flush(self) -> None:
        """Write everything pending. Raises UnavailableError; then what is not written stays pending."""
        while self._pending:
            batch = list(self._pending.items())[: self._max_batch]
            await self._store.put_many([stored for _, record in batch if (stored := self._stored(record)) is not None])
            for key, record in batch:
                # A newer version of the same record may have come in meanwhile.
                if self._pending.get(key) is record:
                    del self._pending[key]

    def _stored(self, record: PendingDecision) -> StoredDecision | None:
        try:
            return record.stored()
        except (TypeError, ValueError) as error:
            # One record that cannot be written as JSON must not hold up the others.
            _log.error("decision_not_renderable", record_id=record.record_id, reason=str(error))
            self.dropped += 1
            return None

    async def run(self) -> None:
        """Write what comes in, until cancelled."""
        pause_s = self._every_s
        while True:
            await self._wake.wait()
            await asyncio.sleep(pause_s)
            self._wake.clear()
            try:
                await self.flush()
                pause_s = self._every_s
            except UnavailableError as error:
                _log.warning("decisions_not_written", reason=error.message, pending=len(self._pending), dropped=self.dropped)
                pause_s = min(pause_s * 2, 30.0)
                self._wake.set()

    async def close(self, *, within_s: float = 10.0) -> None:
        """Write what is left, then close the store. Records that cannot be written are told in the log."""
        try:
            async with asyncio.timeout(within_s):
                await self.flush()
        except (UnavailableError, TimeoutError):
            _log.error("decisions_lost", records=len(self._pending))
        await self._store.close()
