"""Composition root of the driver: configuration -> training in a thread -> progress, artifact and last words.

Exit codes: 0 trained (and released, with --hold); 65 the input can't be used, repeating would not help; 75 stopped by a signal,
the next attempt goes on from the run's directory; 1 anything else.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import signal
from collections.abc import Callable
from pathlib import Path

import structlog

from kubefugu.trainer.v1 import trainer_pb2, trainer_pb2_grpc
from kubefugu_core.errors import ArtifactRefusedError, DataError, InvalidRequestError, NotFoundError
from kubefugu_core.rpc import RpcServer
from kubefugu_trainer.driver import report as reporting
from kubefugu_trainer.driver.config import DriverConfig, read_config
from kubefugu_trainer.driver.report import Report
from kubefugu_trainer.driver.service import TrainerServicer
from kubefugu_trainer.driver.state import RunProgress, ServedReporter
from kubefugu_trainer.driver.storage import RunStore
from kubefugu_trainer.runs.progress import LineReporter

EXIT_OK, EXIT_FAILED, EXIT_INVALID, EXIT_STOPPED = 0, 1, 65, 75
_INVALID = (DataError, ArtifactRefusedError, InvalidRequestError, NotFoundError)
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO})
"""The volume is to blame: the next attempt may find it larger or well, so the run must not end."""
_log = structlog.get_logger()

Train = Callable[[DriverConfig, RunProgress, ServedReporter, RunStore], tuple[Path, Report]]
"""Trains and measures; the artifact's path and the report. Continues where an earlier attempt ended."""


def algorithm(name: str) -> Train:
    """The training of an algorithm; imports it. Raises DataError for one that this driver does not have."""
    if name == "supervised":
        from kubefugu_trainer.driver.supervised import train

        return train
    if name == "sepCmaEs":
        from kubefugu_trainer.driver import evolution

        return evolution.train
    if name == "grpo":
        from kubefugu_trainer.driver import grpo

        return grpo.train
    raise DataError(f"This driver does not train {name}.", field="algorithm")


async def drive(config_file: Path, *, listen: str, hold_s: float, termination_log: Path | None) -> int:
    """Train, serve, wait to be released for at most `hold_s` seconds; returns the exit code."""
    try:
        config = read_config(config_file)
    except DataError as error:
        reporting.leave(termination_log, reporting.of_error(error))
        _log.error("run_refused", message=error.message)
        return EXIT_INVALID
    progress = RunProgress(run_id=config.run.uid, algorithm=config.algorithm)
    servicer = TrainerServicer(progress)
    server = RpcServer(listen, services=["kubefugu.trainer.v1.TrainerService"])
    trainer_pb2_grpc.add_TrainerServiceServicer_to_server(servicer, server.grpc)
    await server.start()
    await server.set_serving(True)
    _exit_on_signal(progress, termination_log)
    try:
        return await _train(config, progress, servicer, hold_s=hold_s, termination_log=termination_log)
    finally:
        await server.stop(1.0)


async def _train(
    config: DriverConfig, progress: RunProgress, servicer: TrainerServicer, *, hold_s: float, termination_log: Path | None
) -> int:
    try:
        artifact, report = await asyncio.to_thread(_run, config, progress)
    except _INVALID as error:
        return _failed(error, progress, termination_log, EXIT_FAILED if _volume_failed(error) else EXIT_INVALID)
    except Exception as error:
        return _failed(error, progress, termination_log, EXIT_FAILED)
    servicer.finish(artifact, report)
    reporting.leave(termination_log, report)
    _log.info("run_trained", sha256=report.artifact_sha256, gain=report.gain)
    if hold_s > 0:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(hold_s):
                await servicer.released.wait()
    return EXIT_OK


def _run(config: DriverConfig, progress: RunProgress) -> tuple[Path, Report]:
    train = algorithm(config.algorithm)
    store = RunStore(config)
    store.fetch()
    artifact, report = train(config, progress, ServedReporter(progress, LineReporter(), on_stage=store.safe), store)
    store.keep()
    return artifact, report.model_copy(update={"artifact_uri": store.uri(artifact)})


def _volume_failed(error: BaseException) -> bool:
    """True where an error goes back to a full or failing disk."""
    cause = error.__cause__
    return isinstance(cause, OSError) and cause.errno in _FULL


def _failed(error: Exception, progress: RunProgress, termination_log: Path | None, code: int) -> int:
    told = reporting.of_error(error)
    progress.update(state=trainer_pb2.RUN_STATE_FAILED, message=told.message)
    reporting.leave(termination_log, told)
    if code == EXIT_FAILED:
        _log.error("run_failed", exc_info=error)
    else:
        _log.error("run_refused", reason=told.reason, message=told.message)
    return code


def _exit_on_signal(progress: RunProgress, termination_log: Path | None) -> None:
    """End at once: whatever the run's directory has is complete, and a training thread can't be interrupted."""

    def stop() -> None:
        progress.update(state=trainer_pb2.RUN_STATE_STOPPED)
        reporting.leave(termination_log, Report(reason="Stopped", message="Stopped; the next attempt goes on."))
        _log.info("run_stopped")
        os._exit(EXIT_STOPPED)

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop)
