"""Writes policy artifacts; a disk that refuses is one sentence, and an earlier file stays."""

from __future__ import annotations

from pathlib import Path

from kubefugu_core.errors import DataError
from kubefugu_routing.policy import PolicyArtifact, save_artifact


def write_artifact(path: Path, artifact: PolicyArtifact) -> str:
    """Write an artifact, complete or not at all, and return its sha256. Raises DataError when the disk refuses."""
    try:
        return save_artifact(path, artifact)
    except OSError as error:
        raise DataError(f"{path}: cannot be written: {error.strerror or error}") from error
