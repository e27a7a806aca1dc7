"""The artifact of a trained Conductor: one safetensors file with an adapter (LoRA) or all weights, and what they belong to.

Metadata: `format` (kubefugu-conductor/1), `document` (JSON: base model and revision, adapter, prompt style, training, metrics)
and `checksum` (sha256 over the document and every tensor's name, shape, type and bytes, in name order).
LoRA tensors are named `<module>.lora_A` (rank, inputs) and `<module>.lora_B` (outputs, rank); W' = W + alpha / rank * B A.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kubefugu_core.errors import ArtifactRefusedError

if TYPE_CHECKING:
    import torch

FORMAT = "kubefugu-conductor/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConductorArtifact:
    """A trained planner without its base model."""

    backbone_id: str
    backbone_revision: str
    kind: str
    """lora or full."""
    tensors: Mapping[str, torch.Tensor]
    alpha: float = 0.0
    """LoRA's scale is alpha / rank."""
    prompt_style: str = "steps"
    """Style of the prompt that it was trained on (`PromptStyle`)."""
    max_steps: int = 5
    training: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)


def _checksum(document: str, tensors: Mapping[str, torch.Tensor]) -> str:
    import torch

    sha = hashlib.sha256(document.encode())
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        sha.update(f"\0{name}\0{tuple(tensor.shape)}\0{tensor.dtype}\0".encode())
        sha.update(tensor.view(torch.uint8).numpy().tobytes() if tensor.numel() else b"")
    return sha.hexdigest()


def save_conductor(path: Path, artifact: ConductorArtifact) -> str:
    """Write the artifact (complete or not at all) and return the file's sha256."""
    from safetensors.torch import save

    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in artifact.tensors.items()}
    document = json.dumps(
        {
            "backbone": {"id": artifact.backbone_id, "revision": artifact.backbone_revision},
            "kind": artifact.kind,
            "alpha": artifact.alpha,
            "prompt_style": artifact.prompt_style,
            "max_steps": artifact.max_steps,
            "training": dict(artifact.training),
            "metrics": dict(artifact.metrics),
        },
        sort_keys=True,
        separators=(",", ":"),
        allow_nan=False,
    )
    raw = save(tensors, metadata={"format": FORMAT, "document": document, "checksum": _checksum(document, tensors)})
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, aside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(raw)
            file.flush()
            os.fsync(file.fileno())
        Path(aside).chmod(0o644)
        Path(aside).replace(path)
    finally:
        Path(aside).unlink(missing_ok=True)
    return hashlib.sha256(raw).hexdigest()


def load_conductor(path: Path) -> ConductorArtifact:
    """Read an artifact. Raises ArtifactRefusedError for anything that is not a whole, unaltered one."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    except (OSError, SafetensorError) as error:
        raise ArtifactRefusedError(f"{path.name} cannot be read: {error}", field="artifact") from error
    if metadata.get("format") != FORMAT:
        raise ArtifactRefusedError(f"{path.name} is no trained Conductor ({FORMAT}).", field="artifact")
    document = metadata.get("document", "")
    if _checksum(document, tensors) != metadata.get("checksum"):
        raise ArtifactRefusedError(f"{path.name} was altered: its checksum is wrong.", field="artifact")
    try:
        content = json.loads(document)
        return ConductorArtifact(
            backbone_id=str(content["backbone"]["id"]),
            backbone_revision=str(content["backbone"]["revision"]),
            kind=str(content["kind"]),
            tensors=tensors,
            alpha=float(content["alpha"]),
            prompt_style=str(content["prompt_style"]),
            max_steps=int(content["max_steps"]),
            training=content["training"],
            metrics=content["metrics"],
        )
    except (ValueError, KeyError, TypeError) as error:
        raise ArtifactRefusedError(f"{path.name} is malformed: {error}", field="artifact") from error
