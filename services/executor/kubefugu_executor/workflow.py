"""The seam for `fugu-ultra`: whatever plans and runs workflows implements WorkflowRunner and is handed in by main."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Protocol

from kubefugu_coordination.clock import Deadline
from kubefugu_coordination.events import Event
from kubefugu_coordination.job import Job
from kubefugu_coordination.workers import PoolSnapshot


class WorkflowRunner(Protocol):
    """Plans a request and runs its workflow."""

    def run(self, job: Job, *, pool: PoolSnapshot, deadline: Deadline) -> AsyncGenerator[Event, None]:
        """The request's events, the last one Done; for a streamed request the final text comes as Deltas that end in [DONE].

        Raises what the error table knows. Closing the generator cancels everything downstream.
        """
        ...

    async def close(self) -> None:
        """Release connections."""
        ...
