"""Frozen inputs of a run: its data, checked against the checksum, the pool that its workers belong to, published factors."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import fsspec

from kubefugu_core.errors import DataError, UnavailableError
from kubefugu_core.pool import load_pool
from kubefugu_routing.policy.artifact import FactorRef
from kubefugu_trainer.driver.config import DriverConfig
from kubefugu_trainer.outcomes.reader import read_table
from kubefugu_trainer.outcomes.table import OutcomeTable
from kubefugu_trainer.runs.files import replace_file

_PIECE = 1 << 20


def local_data(config: DriverConfig) -> Path:
    """Table or questions as a local file whose checksum is the frozen one.

    Raises DataError for another content, UnavailableError where it can't be read now.
    """
    location = config.data.location
    path = Path(location)
    if "://" in location:
        path = config.storage.directory / f"data{Path(location).suffix}"
        if not path.is_file():
            _fetch(location, path)
    found = sha256_of(path)
    if found != config.data.sha256:
        raise DataError(f"{location} has the checksum {found}, the run was made for {config.data.sha256}.", field="data")
    return path


def _fetch(url: str, path: Path) -> None:
    try:
        with fsspec.open(url, "rb") as source, replace_file(path) as target:
            while piece := source.read(_PIECE):
                target.write(piece)
    except (OSError, ValueError) as error:
        raise UnavailableError(f"{url}: {error}") from error


def sha256_of(path: Path) -> str:
    """Checksum of a file of any size. Raises DataError where it can't be read."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while piece := file.read(_PIECE):
                digest.update(piece)
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}", field="data") from error
    return digest.hexdigest()


def pool_table(config: DriverConfig, path: Path) -> OutcomeTable:
    """The table's columns of workers that the pool has, named with the pool's models.

    Raises DataError where the table measured another model under a worker's name.
    """
    models = {worker.name: worker.model for worker in load_pool(config.pool).spec.workers}
    table = read_table(path, workers=config.workers or None)
    names = [name for name in models if name in table.workers]
    if not names:
        raise DataError(f"The table measures {', '.join(table.workers)}, none of which is in the pool.", field="workers")
    measured = table.provenance.get("models", {})
    for name in names:
        if measured.get(name, models[name]) != models[name]:
            raise DataError(
                f"The table measured worker {name} as {measured[name]!r}, the pool has {models[name]!r}.", field="workers"
            )
    return replace(table.select_workers(names), provenance={**table.provenance, "models": {n: models[n] for n in names}})


def factors_of(config: DriverConfig) -> FactorRef | None:
    """The published factors that offsets are trained in, where the run trains any. Raises DataError where it names none."""
    if not config.parameters.get("trainOffsets"):
        return None
    if not config.backbone.bundle_url or not config.backbone.bundle_sha256:
        raise DataError(
            "trainOffsets needs backbone.bundleUrl and bundleSha256: routers must find the same factors.", field="bundleUrl"
        )
    return FactorRef(uri=config.backbone.bundle_url, sha256=config.backbone.bundle_sha256)
