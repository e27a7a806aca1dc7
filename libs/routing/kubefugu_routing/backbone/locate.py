"""From a reference (hub id, directory, GGUF file, catalog name) to a directory of safetensors with an identity."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path

from kubefugu_core.errors import ArtifactRefusedError
from kubefugu_routing.backbone.digests import file_sha256

IDENTITY_FILE = "kubefugu-backbone.json"
"""Optional in a model directory: {"id", "revision"} of the model that it mirrors or was converted from."""

_COMMIT = re.compile(r"^[0-9a-f]{40}$")
_HUB_FILES = ["*.json", "*.safetensors", "*.txt", "*.model", "*.jinja"]


@dataclass(frozen=True, slots=True)
class Located:
    """A model directory and what it is."""

    directory: Path
    id: str
    revision: str


def locate(ref: str) -> Located:
    """Resolve a reference; downloads from the hub where it must. Raises ArtifactRefusedError where there is no such model."""
    path = Path(ref).expanduser()
    if not path.exists():
        path, ref = _from_catalog(ref)
    if path.is_file():
        if path.suffix.lower() != ".gguf":
            raise ArtifactRefusedError(f"{path.name} is neither a model directory nor a .gguf file.", field="backbone")
        from kubefugu_routing.backbone.gguf import convert

        return identify(convert(path))
    if path.is_dir():
        found = sorted(path.glob("*.gguf"))
        if found and not (path / "config.json").is_file():
            return locate(str(found[0]))
        return identify(path)
    return _from_hub(ref)


def _from_catalog(ref: str) -> tuple[Path, str]:
    try:
        from kubefugu_core.models import resolve
    except ImportError:
        return Path(ref), ref
    resolved = resolve(ref)
    return Path(resolved), str(resolved)


def _from_hub(ref: str) -> Located:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    name, _, revision = ref.partition("@")
    try:
        directory = Path(snapshot_download(name, revision=revision or None, allow_patterns=_HUB_FILES))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError, ValueError) as error:
        raise ArtifactRefusedError(
            f"Backbone {ref!r} is neither a directory, a GGUF file, nor to be had from the model hub: {type(error).__name__}.",
            field="backbone",
        ) from error
    return Located(directory, name, directory.name)


def identify(directory: Path) -> Located:
    """Identity of a model directory: its identity file, the hub cache's commit, else the hash of its weights."""
    if not (directory / "config.json").is_file():
        raise ArtifactRefusedError(f"{directory} has no config.json.", field="backbone")
    note = directory / IDENTITY_FILE
    if note.is_file():
        try:
            content = json.loads(note.read_text(encoding="utf-8"))
            return Located(directory, str(content["id"]), str(content["revision"]))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ArtifactRefusedError(f"{note} is malformed.", field="backbone") from error
    if directory.parent.name == "snapshots" and _COMMIT.match(directory.name):
        return Located(directory, directory.parents[1].name.removeprefix("models--").replace("--", "/"), directory.name)
    shards = sorted(directory.glob("*.safetensors"))
    if not shards:
        raise ArtifactRefusedError(f"{directory} has no safetensors weights.", field="backbone")
    digests = [file_sha256(shard) for shard in shards]
    revision = digests[0] if len(digests) == 1 else hashlib.sha256("\n".join(digests).encode()).hexdigest()
    return Located(directory, directory.resolve().name, revision)
