"""The model in training: a frozen decoder with LoRA factors, or the whole of it; and how it becomes an artifact."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kubefugu_core.errors import DataError
from kubefugu_routing.causal.artifact import ConductorArtifact, load_conductor, save_conductor
from kubefugu_routing.causal.load import CausalModel, load_causal
from kubefugu_trainer.grpo.config import ConductorConfig

if TYPE_CHECKING:
    import torch

_TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
_PREFIX = "base_model.model."


def found_device(name: str) -> str:
    """`auto`: cuda where there is one, else cpu; any other name as it is."""
    if name != "auto":
        return name
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def load_trainable(config: ConductorConfig, *, device: str, threads: int | None) -> tuple[CausalModel, Any]:
    """The base (tokenizer, identity) and the model to train: a PeftModel for LoRA, the base model itself for full training."""
    import torch

    torch.manual_seed(config.seed)
    base = load_causal(config.backbone, device=device, dtype=config.dtype, threads=threads)
    if config.adapter == "full":
        if config.dtype != "float32":
            raise DataError("Full training keeps its weights in float32.", field="dtype")
        return base, base.model.requires_grad_(True)
    from peft import LoraConfig, get_peft_model

    count = int(base.model.config.num_hidden_layers)
    lora = LoraConfig(
        r=config.rank,
        lora_alpha=config.alpha,
        target_modules=list(_TARGETS),
        layers_to_transform=list(range(count - config.layers, count)) if 0 < config.layers < count else None,
        task_type="CAUSAL_LM",
    )
    return base, get_peft_model(base.model, lora)


def trained_tensors(model: Any, config: ConductorConfig) -> dict[str, torch.Tensor]:
    """What training changed, under the artifact's names."""
    if config.adapter == "full":
        return {name: parameter.detach() for name, parameter in model.named_parameters()}
    found = {}
    for name, parameter in model.named_parameters():
        for kind in ("lora_A", "lora_B"):
            if f".{kind}." in name:
                module = name.removeprefix(_PREFIX).split(f".{kind}.")[0]
                found[f"{module}.{kind}"] = parameter.detach()
    return found


def load_tensors(model: Any, path: Path, config: ConductorConfig) -> None:
    """Put an artifact's weights back into a model in training. Raises ArtifactRefusedError or DataError."""
    import torch

    artifact = load_conductor(path)
    known = trained_tensors(model, config)
    if artifact.kind != config.adapter or known.keys() != artifact.tensors.keys():
        raise DataError(f"{path}: it does not fit this run's adapter ({config.adapter}, rank {config.rank}).", field="init")
    with torch.no_grad():
        for name, tensor in artifact.tensors.items():
            known[name].copy_(tensor)


def write_artifact(
    path: Path,
    model: Any,
    base: CausalModel,
    config: ConductorConfig,
    *,
    training: Mapping[str, Any],
    metrics: Mapping[str, Any],
    half: bool = True,
) -> str:
    """Write what was trained and return the file's sha256. `half`: as bfloat16, for serving; else exactly, for going on."""
    import torch

    tensors = trained_tensors(model, config)
    if half:
        tensors = {name: tensor.to(torch.bfloat16) for name, tensor in tensors.items()}
    artifact = ConductorArtifact(
        backbone_id=base.id,
        backbone_revision=base.revision,
        kind=config.adapter,
        tensors=tensors,
        alpha=float(config.alpha) if config.adapter == "lora" else 0.0,
        prompt_style=config.style.value,
        max_steps=config.max_steps,
        training=training,
        metrics=metrics,
    )
    return save_conductor(path, artifact)
