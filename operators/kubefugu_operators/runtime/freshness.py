"""Whether watches deliver: what a listing shows must arrive as an event within a grace time, else the watch is dead.

An operator that looks alive but watches nothing is the known failure of this design. The check costs one listing a kind and
resync, writes nothing, and needs no object of its own. An API server that can't be reached is not our death: a restart would
not help.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import structlog

from kubefugu_operators.cluster.objects import Api, ApiError, Body, Ref, ref_of
from kubefugu_operators.runtime.metrics import Metrics
from kubefugu_operators.runtime.queue import WorkQueue

_log = structlog.get_logger()


class Freshness:
    """Compares listings with the events that have come."""

    def __init__(self, *, clock: Callable[[], float], wall: Callable[[], float], grace_s: float, metrics: Metrics) -> None:
        self._clock = clock
        self._wall = wall
        self._grace_s = grace_s
        self._metrics = metrics
        self._versions: dict[Ref, str] = {}
        self._arrivals: dict[Ref, float] = {}
        self._missing: dict[Ref, tuple[str, float]] = {}

    def seen(self, ref: Ref, version: str, *, gone: bool = False) -> None:
        """An event has come."""
        self._missing.pop(ref, None)
        if gone:
            self._versions.pop(ref, None)
            self._arrivals.pop(ref, None)
        else:
            self._versions[ref] = version
            self._arrivals[ref] = self._clock()

    def listed(self, kind: str, objects: Sequence[Body], *, began: float) -> None:
        """A listing that began at monotonic time `began` shows these objects."""
        shown = set()
        for body in objects:
            ref = ref_of(body)
            shown.add(ref)
            version = body["metadata"]["resourceVersion"]
            # An event after the listing began may be newer than what it shows; it proves the watch as well.
            if self._versions.get(ref) == version or self._arrivals.get(ref, -1.0) >= began:
                self._missing.pop(ref, None)
            elif self._missing.get(ref, ("", 0.0))[0] != version:
                self._missing[ref] = (version, self._clock())
        for ref in [ref for ref in self._missing if ref.kind == kind and ref not in shown]:
            del self._missing[ref]
        if not any(ref.kind == kind for ref in self._missing):
            self._metrics.watch_verified(kind, self._wall())

    def dead(self) -> str:
        """Which object's event is overdue; empty where none is."""
        limit = self._clock() - self._grace_s
        for ref, (version, since) in self._missing.items():
            if since < limit:
                return f"no event for {ref} (resourceVersion {version}) within {self._grace_s:g} s"
        return ""


async def resync(
    api: Api,
    *,
    kinds: Sequence[str],
    namespaces: Sequence[str],
    freshness: Freshness,
    queue: WorkQueue,
    clock: Callable[[], float],
) -> bool:
    """List all objects of our kinds, queue them and check the watches; False where the API server did not answer."""
    for kind in kinds:
        began = clock()
        objects: list[Body] = []
        try:
            for namespace in namespaces or [""]:
                objects += await api.list(kind, namespace)
        except ApiError as error:
            _log.warning("resync_failed", kind=kind, error=str(error)[:300])
            return False
        freshness.listed(kind, objects, began=began)
        for body in objects:
            queue.add(ref_of(body))
    return True
