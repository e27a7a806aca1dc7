"""Reading single tensors of a model directory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors import safe_open

from kubefugu_core.errors import ArtifactRefusedError

if TYPE_CHECKING:
    import torch


def read_tensor(directory: Path, name: str) -> torch.Tensor:
    """A tensor by its name in the base model (`layers.0...`); checkpoints may prefix it with `model.`."""
    candidates = (f"model.{name}", name)
    index = directory / "model.safetensors.index.json"
    if index.is_file():
        weight_map = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        shards = {directory / weight_map[key] for key in candidates if key in weight_map}
    else:
        shards = set(directory.glob("*.safetensors"))
    for shard in sorted(shards):
        with safe_open(shard, framework="pt") as file:
            keys = set(file.keys())
            for key in candidates:
                if key in keys:
                    tensor: torch.Tensor = file.get_tensor(key)
                    return tensor
    raise ArtifactRefusedError(f"{directory} has no tensor {name!r}.", field="backbone")
