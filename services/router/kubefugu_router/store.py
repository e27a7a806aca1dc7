"""The router's disk: artifacts by hash, and the last accepted declaration, so that a restart serves what served before."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from kubefugu_core.errors import InvalidRequestError
from kubefugu_core.policy_sets import DeclaredSet
from kubefugu_core.policy_sets.documents import from_json, to_json

KEPT_VERSIONS = 32
"""Versions no longer named whose artifacts stay on disk, most recent first."""


@dataclass(frozen=True, slots=True)
class Saved:
    """What a restart finds."""

    declared: DeclaredSet | None
    versions: Mapping[str, str]
    """Version -> sha256 of its artifact, oldest first."""


class PolicyStore:
    """A directory with `artifacts/<sha256>.safetensors` and `policies.json`; none: a temporary folder that is forgotten."""

    def __init__(self, directory: Path | None) -> None:
        self._temporary = None if directory else tempfile.TemporaryDirectory(prefix="kubefugu-router-")
        self._root = directory or Path(self._temporary.name if self._temporary else "")
        self.persistent = directory is not None
        (self._root / "artifacts").mkdir(parents=True, exist_ok=True)

    def close(self) -> None:
        """Remove what was only temporary."""
        if self._temporary is not None:
            self._temporary.cleanup()

    def artifact(self, sha256: str) -> Path:
        """Where the artifact of that hash lies or will lie."""
        return self._root / "artifacts" / f"{sha256}.safetensors"

    def read(self) -> Saved:
        """What the last save wrote. Raises InvalidRequestError for a document that is there but can't be read."""
        path = self._root / "policies.json"
        if not path.is_file():
            return Saved(None, {})
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
            versions = {str(entry["version"]): str(entry["sha256"]) for entry in document["versions"]}
            declared = from_json(json.dumps(document["declared"]), source=str(path))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InvalidRequestError(f"{path} is malformed: {error!r}", field="policy_set") from error
        return Saved(declared, versions)

    def save(self, declared: DeclaredSet, versions: Mapping[str, str]) -> dict[str, str]:
        """Write the declaration as a whole or not at all; returns the versions that stay.

        Artifacts of the others are removed.
        """
        spare = [version for version in versions if version not in declared.named]
        dropped = set(spare[: max(0, len(spare) - KEPT_VERSIONS)])
        kept = {version: sha256 for version, sha256 in versions.items() if version not in dropped}
        document = {
            "declared": json.loads(to_json(declared)),
            "versions": [{"version": version, "sha256": sha256} for version, sha256 in kept.items()],
        }
        aside = self._root / ".policies.json.new"
        aside.write_text(json.dumps(document, indent=1), encoding="utf-8")
        aside.replace(self._root / "policies.json")
        hashes = set(kept.values())
        for path in (self._root / "artifacts").glob("*.safetensors"):
            if path.stem not in hashes:
                path.unlink(missing_ok=True)
        return kept
