"""kubefugu.trainer.v1 as a driver serves it."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path
from typing import TypeAlias

import grpc

from kubefugu.trainer.v1 import trainer_pb2, trainer_pb2_grpc
from kubefugu_core.errors import ConflictError, RunNotFoundError
from kubefugu_core.policy_sets.published import MAX_ARTIFACT_BYTES
from kubefugu_trainer.driver.report import Report
from kubefugu_trainer.driver.state import RunProgress

MAX_INLINE_BYTES = 3 << 20
"""The most that goes into an answer."""

Context: TypeAlias = "grpc.aio.ServicerContext[object, object]"


class TrainerServicer(trainer_pb2_grpc.TrainerServiceServicer):
    """Progress, artifact, release."""

    def __init__(self, progress: RunProgress) -> None:
        self._progress = progress
        self._finished: tuple[Path, Report] | None = None
        self.released = asyncio.Event()

    def finish(self, artifact: Path, report: Report) -> None:
        """The run is over; the artifact may be collected."""
        self._finished = (artifact, report)
        self._progress.update(
            state=trainer_pb2.RUN_STATE_SUCCEEDED,
            artifact_uri=report.artifact_uri,
            artifact_sha256=report.artifact_sha256,
            message="The artifact waits to be collected.",
        )

    async def GetRun(self, request: trainer_pb2.GetRunRequest, context: Context) -> trainer_pb2.GetRunResponse:
        """See the proto."""
        self._check(request.run_id)
        return trainer_pb2.GetRunResponse(run=self._progress.snapshot())

    async def GetArtifact(self, request: trainer_pb2.GetArtifactRequest, context: Context) -> trainer_pb2.GetArtifactResponse:
        """See the proto."""
        self._check(request.run_id)
        if self._finished is None:
            raise ConflictError("This run has no artifact yet.")
        path, report = self._finished
        elsewhere = "://" in report.artifact_uri and not report.artifact_uri.startswith("file://")
        most = MAX_ARTIFACT_BYTES if elsewhere else MAX_INLINE_BYTES  # what has a URL need not be squeezed into the cluster
        told, sha256, content = report.to_json().encode(), report.artifact_sha256, b""
        if path.stat().st_size <= most:
            content = await asyncio.to_thread(path.read_bytes)
            sha256 = hashlib.sha256(content).hexdigest()
        return trainer_pb2.GetArtifactResponse(content=content, sha256=sha256, report_json=told)

    async def ReleaseRun(self, request: trainer_pb2.ReleaseRunRequest, context: Context) -> trainer_pb2.ReleaseRunResponse:
        """See the proto."""
        self._check(request.run_id)
        if self._finished is None:
            raise ConflictError("This run is not over; its driver can't be released.")
        self.released.set()
        return trainer_pb2.ReleaseRunResponse()

    def _check(self, run_id: str) -> None:
        if run_id and run_id != self._progress.snapshot().run_id:
            raise RunNotFoundError(f"This driver has no run {run_id}.", field="run_id")
