"""Writes policy artifacts; a disk that refuses is one sentence, and an earlier file stays."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from kubefugu_core.errors import DataError
from kubefugu_routing.policy import PolicyArtifact, save_artifact

if TYPE_CHECKING:
    from kubefugu_routing.svf.factors import FactorBundle


def write_artifact(path: Path, artifact: PolicyArtifact) -> str:
    """Write an artifact, complete or not at all, and return its sha256. Raises DataError when the disk refuses."""
    try:
        return save_artifact(path, artifact)
    except OSError as error:
        raise DataError(f"{path}: cannot be written: {error.strerror or error}") from error


def keep_bundle(folder: Path, bundle: FactorBundle) -> Path:
    """Write a factor bundle into a run directory under its hash, where its artifact is looked for too; returns the file."""
    from kubefugu_routing.svf.factors import save_bundle

    aside = folder / "snapshot" / "factors.safetensors"
    sha256 = save_bundle(aside, bundle)
    return aside.replace(folder / f"{sha256}.safetensors")
