"""GGUF files are dequantised once and kept as safetensors, so that the second start is as fast as any other model's."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path

from filelock import FileLock

from kubefugu_core.errors import ArtifactRefusedError
from kubefugu_core.settings import cache_home
from kubefugu_routing.backbone.digests import file_sha256
from kubefugu_routing.backbone.quiet import quiet_transformers

CONVERSION = 1
"""Grows when the conversion changes, so that an older copy is not used."""


def convert(path: Path) -> Path:
    """The directory with the float32 copy of a GGUF file, made where it is absent. Identity: file name and its sha256.

    Raises ArtifactRefusedError where transformers cannot read the file.
    """
    digest = file_sha256(path)
    target = cache_home() / "backbones" / f"{digest}-{CONVERSION}"
    if (target / "config.json").is_file():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    # Router and Conductor of a new stack start together with the same model: one converts, the other one waits.
    with FileLock(cache_home() / "backbones.lock"):
        if not (target / "config.json").is_file():
            _convert(path, digest, target)
    return target


def _convert(path: Path, digest: str, target: Path) -> None:
    aside = Path(tempfile.mkdtemp(dir=target.parent, prefix=".convert-"))
    try:
        _dequantise(path, aside)
        identity = {"id": path.name, "revision": digest}
        (aside / "kubefugu-backbone.json").write_text(json.dumps(identity), encoding="utf-8")
        aside.chmod(0o755)
        aside.rename(target)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _dequantise(path: Path, target: Path) -> None:
    import torch
    from transformers import AutoModel, AutoTokenizer

    try:
        with quiet_transformers():
            model = AutoModel.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.float32)
            tokenizer = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
    except Exception as error:
        # A parser of foreign binary data: a malformed file surfaces as whatever the step that trips over it raises.
        raise ArtifactRefusedError(f"{path.name} cannot be loaded: {error}", field="backbone") from error
    # The weights are plain float32 now; with the quantiser's marks left in place they could not be saved or loaded.
    for mark in ("hf_quantizer", "quantization_method"):
        if hasattr(model, mark):
            delattr(model, mark)
    model.is_quantized = False
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    with quiet_transformers():
        model.save_pretrained(target)
        tokenizer.save_pretrained(target)
