"""What `fugu-ultra` needs beside the loop's parts: the Conductor, a place to park workflows, the tool-call memory."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import orjson
import structlog

from kubefugu_coordination.clock import Clock
from kubefugu_coordination.loop.router import Router
from kubefugu_coordination.loop.runner import LoopSettings
from kubefugu_coordination.memory import ToolCallMemory
from kubefugu_coordination.workflow.parking import ParkingLot
from kubefugu_coordination.workflow.runner import WorkflowParts
from kubefugu_coordination.workflow.settings import WorkflowSettings
from kubefugu_core.errors import DataError, UnavailableError
from kubefugu_core.stores import open_state_store
from kubefugu_core.stores.state import StateStore
from kubefugu_executor.conductor_client import GrpcConductor
from kubefugu_executor.settings import ExecutorSettings

_log = structlog.get_logger()
_RETRY_S = 1.0
_FIRST_TRY_S = 5.0
"""How long a starting executor waits for the state store's first answer before it serves without."""


class Workflows:
    """Opened parts of workflows. Until the state store answers for the first time, workflows run without tools."""

    def __init__(self, settings: ExecutorSettings, *, router: Router, loop_settings: LoopSettings, clock: Clock) -> None:
        """Raises DataError for a store, key or strengths file that cannot be used."""
        self._clock = clock
        self._tried = asyncio.Event()
        self._store: StateStore = open_state_store(settings.state_store_url())
        self._secret = _read_key(settings.workflow_key_file)
        self._conductor = GrpcConductor(settings.conductor_target, clock=clock)
        workflow = WorkflowSettings(
            planner_timeout_s=settings.planner_timeout_seconds,
            recursion_depth=settings.recursion_depth,
            max_tokens=settings.workflow_max_tokens,
            progress_s=settings.progress_seconds,
            router_timeout_s=settings.router_timeout_seconds,
            parked_ttl_s=settings.parked_seconds,
            keep_text=settings.record_content,
        )
        self._parts = WorkflowParts(
            planner=self._conductor,
            router=router,
            parking_pending=True,
            memory=ToolCallMemory(self._store),
            strengths=read_strengths(settings.strengths_file),
            settings=workflow,
            loop_settings=loop_settings,
        )

    @property
    def parts(self) -> WorkflowParts:
        """What a request is run with now."""
        return self._parts

    async def connect(self) -> None:
        """Wait for the state store; replicas agree on the key of tool call ids through it where none is configured."""
        ttl_s = self._parts.settings.parked_ttl_s
        while self._parts.parking is None:
            try:
                parking = await ParkingLot.open(self._store, ttl_s=ttl_s, secret=self._secret)
            except UnavailableError as error:
                _log.warning("state_store_unavailable", reason=error.message)
                self._tried.set()
                await self._clock.sleep(_RETRY_S)
                continue
            self._parts = self._parts.with_parking(parking)
            self._tried.set()

    async def first_try(self) -> None:
        """Wait until the state store was reached or refused once: the first requests are to find it where it is there."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._tried.wait(), _FIRST_TRY_S)

    async def close(self) -> None:
        """Close connections."""
        await asyncio.gather(self._conductor.close(), self._store.close())


def _read_key(path: Path | None) -> bytes | None:
    if path is None:
        return None
    try:
        key = path.read_bytes().strip()
    except OSError as error:
        raise DataError(f"The workflow key file {path} cannot be read: {error}.", field="workflow_key_file") from error
    if len(key) < 16:
        raise DataError(f"The workflow key in {path} has fewer than 16 bytes.", field="workflow_key_file")
    return key


def read_strengths(path: Path | None) -> dict[str, dict[str, float]]:
    """`{"WORKER": {"GROUP": mean score}}` as JSON; {} without a file. Raises DataError."""
    if path is None:
        return {}
    try:
        document = orjson.loads(path.read_bytes())
        return {
            str(worker): {str(group): float(score) for group, score in groups.items()} for worker, groups in document.items()
        }
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise DataError(f"{path}: not a table of worker, group and mean score: {error}", field="strengths_file") from error
