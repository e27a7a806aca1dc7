"""Pool files: the ready ones that come with the command line, and the trained head that belongs to a pool.

A pool's head is `heads/<stem>.safetensors` beside the pool file. A pool without one borrows the default pool's head if that has
a row for one of its workers; the router masks the other rows. Likewise `heads/<stem>.conductor.safetensors` is its trained
Conductor, borrowed by pools that have every worker which the default pool's was trained with and name no planner.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from kubefugu_core.errors import DataError
from kubefugu_core.models import CATALOG
from kubefugu_core.pool import WorkerPool

_HEADER_LIMIT_BYTES = 100_000_000


def ready_pools() -> Path:
    """The folder of ready pool files: `pools/` of the checkout, else the installed copy below the environment's `share`."""
    checkout = Path(__file__).resolve().parents[2] / "pools"
    return checkout if (checkout / "default.yaml").is_file() else Path(sys.prefix) / "share" / "kubefugu" / "pools"


def find_pool_file(given: str | None) -> Path:
    """A pool file by path, or a ready one by its name (`ollama`); None: the default pool. Raises DataError."""
    folder = ready_pools()
    if given is None:
        return folder / "default.yaml"
    path = Path(given).expanduser()
    if path.is_file():
        return path.absolute()
    ready = folder / f"{given}.yaml"
    if "/" not in given and ready.is_file():
        return ready
    names = ", ".join(sorted(one.stem for one in folder.glob("*.yaml")))
    raise DataError(f"There is no pool file {given}. Ready pools: {names or 'none'}.", field="pool")


def find_head(pool_file: Path, pool: WorkerPool) -> Path | None:
    """The trained head for a pool, None where there is none."""
    own = pool_file.parent / "heads" / f"{pool_file.stem}.safetensors"
    if own.is_file():
        return own
    default = ready_pools() / "heads" / "default.safetensors"
    return default if default.is_file() and _fits(default, pool) else None


def find_strengths(head: Path | None) -> Path | None:
    """`<head's stem>.strengths.json` beside a head: what its workers scored when they were measured, for planners."""
    path = head.with_name(f"{head.stem}.strengths.json") if head is not None else None
    return path if path is not None and path.is_file() else None


def find_conductor(pool_file: Path, pool: WorkerPool) -> tuple[Path, str] | None:
    """A pool's trained Conductor and the packaged model that it belongs to; None where there is none. Raises DataError."""
    if pool.spec.routing.planner:
        return None
    own = pool_file.parent / "heads" / f"{pool_file.stem}.conductor.safetensors"
    path = own if own.is_file() else ready_pools() / "heads" / "default.conductor.safetensors"
    if not path.is_file():
        return None
    try:
        document = json.loads(_metadata(path)["document"])
        revision, trained_with = str(document["backbone"]["revision"]), document["training"]["workers"]
        models = {worker.name: worker.model for worker in pool.spec.workers}
        fits = all(models.get(str(name)) == str(model) for name, model in trained_with)
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path} is no trained Conductor: its metadata is incomplete.") from error
    base = next((name for name, model in CATALOG.items() if any(file.sha256 == revision for file in model.files)), None)
    return (path, base) if fits and base is not None else None


def _fits(head: Path, pool: WorkerPool) -> bool:
    """What the router would accept: a row for some worker, and no row for a worker that has another model by now."""
    models = {worker.name: worker.model for worker in pool.spec.workers}
    shared = [(name, model) for name, model in head_rows(head) if name in models]
    return bool(shared) and all(models[name] == model for name, model in shared)


def head_rows(path: Path) -> list[tuple[str, str]]:
    """(worker, model) of each worker row of a head artifact. Raises DataError where the file is none.

    Reads the safetensors header alone: eight bytes of length, then JSON (https://github.com/huggingface/safetensors#format).
    """
    metadata = _metadata(path)
    try:
        rows = json.loads(metadata["document"])["workers"]
        return [(str(row["name"]), str(row["model"])) for row in rows]
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path} is no head artifact: its metadata names no workers.") from error


def _metadata(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            if not 0 < length < _HEADER_LIMIT_BYTES:
                raise ValueError("header length out of range")
            header = json.loads(stream.read(length))
        return dict(header.get("__metadata__") or {})
    except (OSError, ValueError, AttributeError) as error:
        raise DataError(f"{path} is no safetensors file: {error}") from error
