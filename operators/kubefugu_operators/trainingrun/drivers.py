"""Talks to training drivers over gRPC (kubefugu.trainer.v1): progress, the finished artifact, and that they may end."""

from __future__ import annotations

from dataclasses import dataclass

import grpc
import structlog

from kubefugu.trainer.v1 import trainer_pb2, trainer_pb2_grpc
from kubefugu_core.rpc import from_rpc_error, open_channel
from kubefugu_operators.trainingrun.observed import Collected, RunView

_log = structlog.get_logger()
_STATES = {
    trainer_pb2.RUN_STATE_PREPARING: "preparing",
    trainer_pb2.RUN_STATE_RUNNING: "running",
    trainer_pb2.RUN_STATE_EVALUATING: "evaluating",
    trainer_pb2.RUN_STATE_SUCCEEDED: "succeeded",
    trainer_pb2.RUN_STATE_FAILED: "failed",
    trainer_pb2.RUN_STATE_STOPPED: "stopped",
}


@dataclass(frozen=True, slots=True)
class DriverTarget:
    """A driver's gRPC address and its pod's uid."""

    address: str
    uid: str


class Drivers:
    """The three calls."""

    def __init__(self, *, timeout_s: float = 5.0, collect_timeout_s: float = 20.0) -> None:
        self._timeout_s = timeout_s
        self._collect_timeout_s = collect_timeout_s

    async def view(self, target: DriverTarget) -> RunView:
        """GetRun. Never raises."""
        try:
            async with open_channel(target.address) as channel:
                stub = trainer_pb2_grpc.TrainerServiceStub(channel)
                run = (await stub.GetRun(trainer_pb2.GetRunRequest(), timeout=self._timeout_s)).run
        except grpc.aio.AioRpcError as error:
            return RunView(reachable=False, message=from_rpc_error(error).message)
        return RunView(
            reachable=True,
            state=_STATES.get(run.state, ""),
            step=run.step,
            total_steps=run.total_steps,
            mean_fitness=run.mean_fitness,
            best_fitness=run.best_fitness,
            sigma=run.sigma,
            eta_seconds=run.eta_seconds,
            cost_usd=run.cost_usd,
            checkpoint=run.checkpoint_uri,
            message=run.message,
        )

    async def collect(self, address: str) -> Collected | None:
        """GetArtifact; None where the driver can't give it now."""
        try:
            async with open_channel(address) as channel:
                stub = trainer_pb2_grpc.TrainerServiceStub(channel)
                answer = await stub.GetArtifact(trainer_pb2.GetArtifactRequest(), timeout=self._collect_timeout_s)
        except grpc.aio.AioRpcError as error:
            _log.warning("artifact_not_collected", address=address, error=from_rpc_error(error).message)
            return None
        return Collected(
            content=answer.content, sha256=answer.sha256, report=answer.report_json.decode("utf-8", errors="replace")
        )

    async def release(self, address: str) -> None:
        """ReleaseRun. A driver that is gone needs no word."""
        try:
            async with open_channel(address) as channel:
                stub = trainer_pb2_grpc.TrainerServiceStub(channel)
                await stub.ReleaseRun(trainer_pb2.ReleaseRunRequest(), timeout=self._timeout_s)
        except grpc.aio.AioRpcError as error:
            _log.info("driver_not_released", address=address, error=from_rpc_error(error).message)
