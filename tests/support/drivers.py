"""A training driver as a process, as the operator's Jobs run it, and the operator's part: wait, collect, release."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import grpc

from kubefugu.trainer.v1 import trainer_pb2, trainer_pb2_grpc
from support.evolution import TrainerProcess, wait_until


def start_driver(folder: Path, config: dict[str, Any], port: int, **environment: str) -> TrainerProcess:
    """Start a driver on a configuration; keys of workers are those in `folder`."""
    (folder / "config.json").write_text(json.dumps(config))
    return TrainerProcess(
        ["driver", f"--config={folder / 'config.json'}", f"--listen=127.0.0.1:{port}", "--hold",
         f"--termination-log={folder / 'last-words'}"],
        log=folder / "driver.log", home=folder / "home",
        environment={"KUBEFUGU_TRAINER_KEYS_DIR": str(folder / "keys"), "KUBEFUGU_TRAINER_DEVICE": "cpu", **environment},
    )  # fmt: skip


def collected(driver: TrainerProcess, port: int) -> tuple[trainer_pb2.Run, trainer_pb2.GetArtifactResponse]:
    """Wait for the run's end, take the artifact, let the driver go."""
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = trainer_pb2_grpc.TrainerServiceStub(channel)

        def over() -> bool:
            assert driver.returncode is None, driver.output
            try:
                return stub.GetRun(trainer_pb2.GetRunRequest(), timeout=60).run.state == trainer_pb2.RUN_STATE_SUCCEEDED
            except grpc.RpcError:
                return False

        wait_until(over, what="the run's end", timeout_s=200)
        told = stub.GetRun(trainer_pb2.GetRunRequest(), timeout=60).run
        artifact = stub.GetArtifact(trainer_pb2.GetArtifactRequest(), timeout=60)
        stub.ReleaseRun(trainer_pb2.ReleaseRunRequest(), timeout=60)
    assert driver.wait() == 0
    return told, artifact
