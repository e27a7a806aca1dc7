"""The workers of a pool as callable clients, replaced as a whole when the pool file changes.

A request takes the current `PoolSnapshot` once and keeps it: a change in between neither loses nor redirects it. A worker whose
entry did not change keeps its client, hence its circuit, limits and counters.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import structlog

from kubefugu_coordination.clock import Clock, SystemClock
from kubefugu_coordination.workers.admission import CallObserver
from kubefugu_coordination.workers.cache import ReplyCache
from kubefugu_coordination.workers.client import DEFAULT_RETRY, RetryPolicy, WorkerClient
from kubefugu_coordination.workers.endpoint import KeySource
from kubefugu_coordination.workers.transport import AiohttpTransport, HttpTransport
from kubefugu_core.errors import KubefuguError, ModelNotFoundError
from kubefugu_core.pool import WorkerPool, WorkerSpec, load_pool

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class PoolSnapshot:
    """A pool and a client for each of its workers, in the pool's order."""

    pool: WorkerPool
    clients: Mapping[str, WorkerClient]

    @property
    def name(self) -> str:
        """The pool's name."""
        return self.pool.metadata.name

    def client(self, worker: str) -> WorkerClient:
        """The worker's client. Raises ModelNotFoundError."""
        try:
            return self.clients[worker]
        except KeyError:
            raise ModelNotFoundError(f"The pool {self.name} has no worker {worker!r}.", field="model") from None


class WorkerSet:
    """Holds the current snapshot and the transport that all clients share."""

    def __init__(
        self,
        pool: WorkerPool,
        *,
        transport: HttpTransport | None = None,
        clock: Clock | None = None,
        keys: KeySource | None = None,
        retry: RetryPolicy = DEFAULT_RETRY,
        cache: ReplyCache | None = None,
        observer: CallObserver | None = None,
    ) -> None:
        self._transport = transport or AiohttpTransport()
        self._clock: Clock = clock or SystemClock()
        self._keys = keys or KeySource()
        self._retry = retry
        self._cache = cache
        self._observer = observer
        self._snapshot = PoolSnapshot(pool, {})
        self.update(pool)

    def snapshot(self) -> PoolSnapshot:
        """The pool as it is now."""
        return self._snapshot

    def client(self, worker: str) -> WorkerClient:
        """Shorthand for `snapshot().client(worker)`."""
        return self._snapshot.client(worker)

    def update(self, pool: WorkerPool) -> None:
        """Serve this pool from now on. Requests in flight keep what they have."""
        same_pool = pool.metadata.name == self._snapshot.name
        clients = {}
        for spec in pool.spec.workers:
            known = self._snapshot.clients.get(spec.name)
            clients[spec.name] = known if same_pool and known is not None and known.spec == spec else self._make(spec, pool)
        self._snapshot = PoolSnapshot(pool, clients)

    def _make(self, spec: WorkerSpec, pool: WorkerPool) -> WorkerClient:
        return WorkerClient(
            spec,
            pool=pool.metadata.name,
            transport=self._transport,
            keys=self._keys,
            clock=self._clock,
            retry=self._retry,
            cache=self._cache,
            observer=self._observer,
        )

    async def close(self) -> None:
        """Close the shared transport."""
        await self._transport.close()


class PoolFile:
    """Re-reads a pool file when it changes. A file that cannot be used is reported and the last good pool stays."""

    def __init__(self, path: Path, *, on_change: Callable[[WorkerPool], None], clock: Clock | None = None) -> None:
        self._path = path
        self._on_change = on_change
        self._clock: Clock = clock or SystemClock()
        self._stamp = self._read_stamp()

    def _read_stamp(self) -> tuple[int, int, int] | None:
        try:
            stat = self._path.stat()
        except OSError:
            return None
        return stat.st_mtime_ns, stat.st_size, stat.st_ino

    async def check(self) -> bool:
        """Look once; True when a changed pool was taken over."""
        stamp = self._read_stamp()
        if stamp is None or stamp == self._stamp:
            return False
        self._stamp = stamp
        try:
            pool = await asyncio.to_thread(load_pool, self._path)
            self._on_change(pool)
        except KubefuguError as error:
            _log.error("pool_file_refused", path=str(self._path), reason=error.message)
            return False
        _log.info("pool_changed", pool=pool.metadata.name, workers=len(pool.spec.workers))
        return True

    async def watch(self, *, every_s: float = 1.0) -> None:
        """Look again and again until cancelled."""
        while True:
            await self._clock.sleep(every_s)
            await self.check()
