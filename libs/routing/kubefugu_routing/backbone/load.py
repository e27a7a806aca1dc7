"""The loaded backbone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kubefugu_core.errors import ArtifactRefusedError
from kubefugu_routing.backbone.info import BackboneInfo
from kubefugu_routing.backbone.locate import Located, locate
from kubefugu_routing.backbone.quiet import quiet_transformers

if TYPE_CHECKING:
    import torch

_ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")
_MLP = ("gate_proj", "up_proj", "down_proj")


@dataclass(frozen=True)
class Backbone:
    """A frozen decoder without its LM head, and its tokenizer."""

    info: BackboneInfo
    model: Any
    """transformers' base model (embedding, layers, final norm), in evaluation mode, without gradients."""
    tokenizer: Any
    """transformers' tokenizer; None where the directory has none (then only token ids can be decided)."""
    directory: Path

    def matrix(self, name: str, layer: int) -> torch.Tensor:
        """An adaptable matrix as float32, shape (rows, columns); from the file where the model has it no longer, or inexactly.

        `name` is a block name of svf.layout other than lm_head.
        """
        import torch

        attribute = "embed_tokens.weight" if name == "embed_tokens" else f"layers.{layer}.{_part(name)}.{name}.weight"
        parameter: torch.Tensor = self.model.get_parameter(attribute).detach()
        if parameter.dtype is torch.float32 and parameter.numel() > 0:
            return parameter
        from kubefugu_routing.backbone.files import read_tensor

        return read_tensor(self.directory, attribute).to(torch.float32)


def _part(name: str) -> str:
    return "self_attn" if name in _ATTENTION else "mlp"


def load_backbone(ref: str, *, device: str = "cpu", dtype: str = "float32", threads: int | None = None) -> Backbone:
    """Load a decoder from a hub id (`org/name` or `org/name@commit`), a directory, a GGUF file or a catalog name.

    `device` is cpu, cuda, cuda:N or auto; `dtype` float32, bfloat16 or auto (bfloat16 on a GPU, else float32); `threads` sets
    torch's thread count of this process. Raises ArtifactRefusedError that says why a model cannot be used.
    """
    import torch

    if threads is not None:
        torch.set_num_threads(threads)
    chosen_device = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    chosen_dtype = ("bfloat16" if chosen_device.startswith("cuda") else "float32") if dtype == "auto" else dtype
    if chosen_dtype not in ("float32", "bfloat16"):
        raise ArtifactRefusedError(f"dtype must be float32, bfloat16 or auto, not {dtype!r}.", field="dtype")
    located = locate(ref)
    model = _load_model(located, getattr(torch, chosen_dtype), chosen_device)
    info = describe(model, located, device=chosen_device, dtype=chosen_dtype)
    return Backbone(info=info, model=model, tokenizer=_load_tokenizer(located.directory), directory=located.directory)


def load_tokenizer(ref: str) -> Any:
    """The backbone's tokenizer alone, without weights in memory; None where it has none."""
    return _load_tokenizer(locate(ref).directory)


def _load_model(located: Located, dtype: torch.dtype, device: str) -> Any:
    from transformers import AutoModel

    try:
        with quiet_transformers():
            model = AutoModel.from_pretrained(located.directory, dtype=dtype, local_files_only=True)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise ArtifactRefusedError(f"{located.directory} cannot be loaded: {error}", field="backbone") from error
    return model.to(device).eval().requires_grad_(False)


def _load_tokenizer(directory: Path) -> Any:
    from transformers import AutoTokenizer

    if not any((directory / name).is_file() for name in ("tokenizer.json", "tokenizer.model", "vocab.json")):
        return None
    with quiet_transformers():
        return AutoTokenizer.from_pretrained(directory, local_files_only=True)


def describe(model: Any, located: Located, *, device: str, dtype: str) -> BackboneInfo:
    """Identity and sizes. Raises ArtifactRefusedError for a model that is not built like Llama (Qwen2, Qwen3, Mistral...)."""
    config = model.config
    try:
        layer = model.layers[0]
        matrices = {name: getattr(getattr(layer, _part(name)), name).weight for name in (*_ATTENTION, *_MLP)}
        embedding = model.embed_tokens.weight
    except (AttributeError, IndexError) as error:
        raise ArtifactRefusedError(
            f"Model type {config.model_type!r} is not built like Llama: {error}.", field="backbone"
        ) from error
    shapes = {name: (int(w.shape[0]), int(w.shape[1])) for name, w in matrices.items()}
    shapes["embed_tokens"] = shapes["lm_head"] = (int(embedding.shape[0]), int(embedding.shape[1]))
    return BackboneInfo(
        id=located.id,
        revision=located.revision,
        hidden_size=int(config.hidden_size),
        num_layers=len(model.layers),
        vocab_size=int(embedding.shape[0]),
        model_type=str(config.model_type),
        tied=bool(config.tie_word_embeddings),
        shapes=shapes,
        device=device,
        dtype=dtype,
    )
