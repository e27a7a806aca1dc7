"""The frozen input of a run: pool by value, data by bytes or by URL and checksum, configuration. One immutable ConfigMap."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass
from typing import Any

from kubefugu_core.pool import WorkerPoolSpec
from kubefugu_operators.cluster.objects import Body
from kubefugu_operators.names import child
from kubefugu_operators.trainingrun.observed import RunObserved
from kubefugu_operators.trainingrun.spec import TrainingRunSpec
from kubefugu_operators.trainingrun.status import Reason
from kubefugu_operators.workerpool.objects import config_map as pool_file

CONFIG_KEY = "config.json"
POOL_KEY = "pool.yaml"
MAX_DATA_BYTES = 900_000
RUN_DIRECTORY = "/etc/kubefugu/run"
"""Where pods mount the snapshot."""
DATA_DIRECTORY = "/var/lib/kubefugu/data"
"""Where pods mount the data's claim."""
WORK_DIRECTORY = "/var/lib/kubefugu/work"
"""Where pods mount checkpoints."""


class Unready(Exception):
    """The snapshot can't be made now; `reason` is that of the condition."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


@dataclass(frozen=True, slots=True)
class Table:
    """Where the driver finds the outcome table, and its checksum."""

    location: str
    """Path in the pod, or URL."""
    sha256: str
    content: str = ""
    """Base64 bytes that travel in the snapshot."""
    key: str = ""
    """Their key there."""


def snapshot_name(run: str) -> str:
    """ConfigMap of the snapshot."""
    return f"{run}-snapshot"


def build(observed: RunObserved, spec: TrainingRunSpec) -> Body:
    """The snapshot's ConfigMap. Raises Unready."""
    pool, workers = _pool(observed, spec)
    table = _table(observed, spec)
    document = json.dumps(_config(observed.body, spec, table, workers), indent=1, sort_keys=True)
    body = child(observed.body, "ConfigMap", snapshot_name(observed.body["metadata"]["name"]))
    result = {**body, "immutable": True, "data": {CONFIG_KEY: document, POOL_KEY: pool}}
    if table.content:
        result["binaryData"] = {table.key: table.content}
    return result


def data_sha256(snapshot: Body) -> str:
    """Checksum of the data that a snapshot names."""
    config: dict[str, Any] = json.loads(snapshot["data"][CONFIG_KEY])
    return str(config["data"]["sha256"])


def _pool(observed: RunObserved, spec: TrainingRunSpec) -> tuple[str, list[str]]:
    if observed.pool is None:
        raise Unready(Reason.POOL_NOT_FOUND, f"WorkerPool {spec.pool_ref.name} does not exist.")
    pool = WorkerPoolSpec.model_validate(observed.pool["spec"])
    names = [worker.name for worker in pool.workers]
    missing = [name for name in spec.workers if name not in names]
    if missing:
        raise Unready(Reason.WORKER_NOT_IN_POOL, f"WorkerPool {spec.pool_ref.name} has no worker {', '.join(missing)}.")
    manifest: str = pool_file(observed.pool, pool)["data"][POOL_KEY]
    return manifest, list(spec.workers)


def _table(observed: RunObserved, spec: TrainingRunSpec) -> Table:
    data = spec.data
    if data.url is not None:
        return Table(data.url, data.sha256)
    if data.claim is not None:
        return Table(f"{DATA_DIRECTORY}/{data.claim.path}", data.sha256)
    if data.config_map is None:  # the model allows no other case
        raise Unready(Reason.INVALID_SPEC, "spec.data names no source.")
    name, key = data.config_map.name, data.config_map.key
    if observed.data is None:
        raise Unready(Reason.DATA_NOT_FOUND, f"ConfigMap {name} does not exist.")
    raw = _bytes(observed.data, key)
    if raw is None:
        raise Unready(Reason.DATA_NOT_FOUND, f"ConfigMap {name} has no key {key}.")
    if len(raw) > MAX_DATA_BYTES:
        raise Unready(Reason.DATA_TOO_LARGE, f"{key} has {len(raw)} bytes, {MAX_DATA_BYTES} fit into a snapshot.")
    sha256 = hashlib.sha256(raw).hexdigest()
    if data.sha256 and data.sha256 != sha256:
        raise Unready(Reason.DATA_CHECKSUM_MISMATCH, f"ConfigMap {name}, key {key} has the checksum {sha256}.")
    return Table(f"{RUN_DIRECTORY}/{key}", sha256, base64.b64encode(raw).decode(), key)


def _bytes(body: Body, key: str) -> bytes | None:
    if key in (body.get("binaryData") or {}):
        return base64.b64decode(body["binaryData"][key])
    text = (body.get("data") or {}).get(key)
    return None if text is None else str(text).encode()


def _config(run: Body, spec: TrainingRunSpec, table: Table, workers: list[str]) -> dict[str, Any]:
    """What the driver reads (kubefugu_trainer.driver): every choice that decides the result."""
    name = spec.algorithm.name
    chosen = getattr(spec.algorithm, {"sepCmaEs": "sep_cma_es"}.get(name, name))
    return {
        "run": {"uid": run["metadata"]["uid"], "name": run["metadata"]["name"]},
        "algorithm": name,
        "parameters": chosen.model_dump(mode="json", by_alias=True),
        "backbone": spec.backbone.model_dump(mode="json", by_alias=True),
        "inputFormat": spec.input_format,
        "data": {"location": table.location, "sha256": table.sha256},
        "pool": f"{RUN_DIRECTORY}/{POOL_KEY}",
        "workers": workers,
        "seed": spec.seed,
        "budget": spec.budget.model_dump(mode="json", by_alias=True),
        "storage": {"directory": f"{WORK_DIRECTORY}/{run['metadata']['uid']}", "url": spec.storage.url},
        "confidence": spec.publish.gate.confidence if spec.publish else "0.95",
        "evaluators": spec.evaluators.replicas > 0,
    }
