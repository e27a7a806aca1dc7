"""The artifact's file: safetensors with the tensors `head` and `offsets.<block>`, and string metadata.

Metadata: `format` (kubefugu-policy/1), `document` (JSON of everything that is not a tensor) and `checksum` (sha256 over the
document and over each tensor's name, shape and bytes, in name order), so that a file altered in any byte that matters is
refused.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from kubefugu_core.errors import ArtifactRefusedError
from kubefugu_routing.canonical import canonical
from kubefugu_routing.formats import RouterFormat
from kubefugu_routing.policy.artifact import FactorRef, PolicyArtifact, WorkerRow
from kubefugu_routing.svf.offsets import SvfOffsets, TieMode

FORMAT = "kubefugu-policy/1"
_PREFIX = "offsets."


def _checksum(document: str, tensors: Mapping[str, NDArray[Any]]) -> str:
    sha = hashlib.sha256(document.encode())
    for name in sorted(tensors):
        array = np.ascontiguousarray(tensors[name], dtype="<f4")
        sha.update(f"\0{name}\0{array.shape}\0".encode())
        sha.update(array.tobytes())
    return sha.hexdigest()


def _document(artifact: PolicyArtifact) -> str:
    factors = {"uri": artifact.factors.uri, "sha256": artifact.factors.sha256} if artifact.factors else None
    content: dict[str, Any] = {
        "backbone": {"id": artifact.backbone_id, "revision": artifact.backbone_revision},
        "hidden_size": int(artifact.head.shape[1]),
        "layer": artifact.layer,
        "workers": [{"name": row.name, "model": row.model} for row in artifact.workers],
        "roles": artifact.roles,
        "input_format": artifact.input_format.value,
        "tie_mode": artifact.tie_mode.value,
        "factors": factors,
        "training": dict(artifact.training),
        "metrics": dict(artifact.metrics),
    }
    if artifact.told_agents is not None:
        content["num_agents"] = artifact.told_agents
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def dump_artifact(artifact: PolicyArtifact) -> bytes:
    """The file's bytes; equal artifacts give equal bytes."""
    tensors: dict[str, NDArray[Any]] = {"head": np.ascontiguousarray(artifact.head)}
    if artifact.offsets is not None:
        for name in artifact.offsets.non_zero:
            tensors[_PREFIX + name] = np.ascontiguousarray(artifact.offsets.blocks[name], dtype=np.float32)
    document = _document(artifact)
    metadata = {"format": FORMAT, "document": document, "checksum": _checksum(document, tensors)}
    return canonical(save(tensors, metadata=metadata))


def save_artifact(path: Path, artifact: PolicyArtifact) -> str:
    """Write the artifact (complete or not at all) and return the file's sha256."""
    raw = dump_artifact(artifact)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, aside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(raw)
            file.flush()
            os.fsync(file.fileno())
        Path(aside).chmod(0o644)
        Path(aside).replace(path)
    except BaseException:
        Path(aside).unlink(missing_ok=True)
        raise
    return hashlib.sha256(raw).hexdigest()


def load_artifact(path: Path, *, sha256: str | None = None) -> PolicyArtifact:
    """Read and check an artifact; `sha256` is the expected hash of the file.

    Raises ArtifactRefusedError that says what is wrong: unreadable, truncated, checksum, shape, NaN, unknown format.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise ArtifactRefusedError(f"{path.name}: cannot be read: {error.strerror}.") from error
    if sha256 is not None and hashlib.sha256(raw).hexdigest() != sha256:
        raise ArtifactRefusedError(f"{path.name}: the file's sha256 is not the declared {sha256}.", field="sha256")
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    except (SafetensorError, OSError, ValueError, TypeError) as error:
        raise ArtifactRefusedError(f"{path.name}: not a complete safetensors file: {error}.") from error
    return _build(path.name, metadata, tensors)


def _build(name: str, metadata: Mapping[str, str], tensors: Mapping[str, NDArray[Any]]) -> PolicyArtifact:
    if metadata.get("format") != FORMAT:
        raise ArtifactRefusedError(
            f"{name}: format {metadata.get('format')!r} is not {FORMAT}; use the import for published forms.", field="format"
        )
    document = metadata.get("document", "")
    for tensor_name, array in tensors.items():
        if array.dtype != np.float32:
            raise ArtifactRefusedError(f"{name}: tensor {tensor_name!r} is {array.dtype}, not float32.", field=tensor_name)
    if _checksum(document, tensors) != metadata.get("checksum"):
        raise ArtifactRefusedError(f"{name}: the checksum does not match the content.", field="checksum")
    if "head" not in tensors:
        raise ArtifactRefusedError(f"{name}: there is no tensor 'head'.", field="head")
    try:
        return _from_document(json.loads(document), tensors)
    except (KeyError, TypeError, ValueError) as error:
        raise ArtifactRefusedError(f"{name}: the document is malformed: {error!r}.", field="document") from error


def _from_document(document: dict[str, Any], tensors: Mapping[str, NDArray[Any]]) -> PolicyArtifact:
    tie_mode = TieMode(document["tie_mode"])
    blocks = {name.removeprefix(_PREFIX): array for name, array in tensors.items() if name.startswith(_PREFIX)}
    offsets = SvfOffsets(layer=int(document["layer"]), tie_mode=tie_mode, blocks=blocks) if blocks else None
    head = tensors["head"]
    if head.ndim == 2 and head.shape[1] != document["hidden_size"]:
        raise ArtifactRefusedError(
            f"The head has {head.shape[1]} columns, its document says {document['hidden_size']}.", field="head"
        )
    factors = document["factors"]
    return PolicyArtifact(
        backbone_id=str(document["backbone"]["id"]),
        backbone_revision=str(document["backbone"]["revision"]),
        layer=int(document["layer"]),
        head=head,
        workers=tuple(WorkerRow(str(row["name"]), str(row["model"])) for row in document["workers"]),
        roles=bool(document["roles"]),
        input_format=RouterFormat(document["input_format"]),
        tie_mode=tie_mode,
        offsets=offsets,
        factors=FactorRef(str(factors["uri"]), str(factors["sha256"])) if factors else None,
        training=document["training"],
        metrics=document["metrics"],
        told_agents=int(document["num_agents"]) if "num_agents" in document else None,
    )
