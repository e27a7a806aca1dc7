"""A decoder's weights as plain tensors, taken from transformers' modules without copying them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from kubefugu_core.errors import ArtifactRefusedError


@dataclass(frozen=True, slots=True)
class LayerParams:
    """One decoder layer; matrices are (rows, columns) as in torch.nn.Linear."""

    input_norm: Tensor
    post_norm: Tensor
    q_proj: Tensor
    k_proj: Tensor
    v_proj: Tensor
    o_proj: Tensor
    gate_proj: Tensor
    up_proj: Tensor
    down_proj: Tensor
    q_norm: Tensor | None
    k_norm: Tensor | None
    biases: Mapping[str, Tensor]
    """By matrix name; absent where the matrix has none."""
    packed: Mapping[str, Tensor] = field(default_factory=dict)
    """Matrices in the CPU kernels' own layout (engine.packing), by name; where there is one, it is used."""

    factored: Mapping[str, tuple[Tensor, Tensor]] = field(default_factory=dict)
    """Matrices given as two factors (right (r, columns), left (rows, r)), W = left @ right, by name; come before all else."""

    def with_matrices(self, matrices: Mapping[str, Tensor], packed: Mapping[str, Tensor] | None = None) -> LayerParams:
        """The same layer with some matrices replaced; `packed`: their packed forms."""
        kept = {name: tensor for name, tensor in self.packed.items() if name not in matrices}
        return replace(self, packed=kept | dict(packed or {}), **matrices)  # type: ignore[arg-type]  # names are field names


@dataclass(frozen=True, slots=True)
class DecoderParams:
    """A Llama-shaped decoder."""

    embedding: Tensor
    layers: tuple[LayerParams, ...]
    norm: Tensor
    eps: float
    num_heads: int
    num_kv_heads: int
    head_dim: int
    scaling: float
    activation: Callable[[Tensor], Tensor]
    rotary: Callable[..., tuple[Tensor, Tensor]]
    """transformers' rotary module: (x, position_ids) -> cos, sin, shape (1, T, head_dim)."""

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.embedding.device

    @property
    def dtype(self) -> torch.dtype:
        """The weights' dtype."""
        return self.embedding.dtype


_LENGTH_FREE_ROPE = {"default", "linear", "llama3", "yarn"}


def decoder_params(model: Any) -> DecoderParams:
    """Take the weights of a transformers base model.

    Raises ArtifactRefusedError for what this engine would compute wrongly: sliding windows, rotary frequencies that depend on
    the length (prefix reuse would not be exact), or modules that it does not know.
    """
    config = model.config
    rope = (getattr(config, "rope_parameters", None) or {}).get("rope_type", "default")
    if rope not in _LENGTH_FREE_ROPE:
        raise ArtifactRefusedError(f"Rotary embedding of type {rope!r} is not supported.", field="backbone")
    try:
        layers = tuple(_layer_params(layer) for layer in model.layers)
        attention = model.layers[0].self_attn
        head_dim = int(attention.head_dim)
        return DecoderParams(
            embedding=model.embed_tokens.weight,
            layers=layers,
            norm=model.norm.weight,
            eps=float(model.norm.variance_epsilon),
            num_heads=layers[0].q_proj.shape[0] // head_dim,
            num_kv_heads=layers[0].k_proj.shape[0] // head_dim,
            head_dim=head_dim,
            scaling=float(attention.scaling),
            activation=model.layers[0].mlp.act_fn,
            rotary=model.rotary_emb,
        )
    except AttributeError as error:
        raise ArtifactRefusedError(f"The backbone is not built like Llama: {error}.", field="backbone") from error


def _layer_params(layer: Any) -> LayerParams:
    attention, mlp = layer.self_attn, layer.mlp
    if getattr(attention, "sliding_window", None):
        raise ArtifactRefusedError("Sliding-window attention is not supported.", field="backbone")
    modules = {name: getattr(attention, name) for name in ("q_proj", "k_proj", "v_proj", "o_proj")}
    modules |= {name: getattr(mlp, name) for name in ("gate_proj", "up_proj", "down_proj")}
    q_norm, k_norm = getattr(attention, "q_norm", None), getattr(attention, "k_norm", None)
    return LayerParams(
        input_norm=layer.input_layernorm.weight,
        post_norm=layer.post_attention_layernorm.weight,
        q_norm=None if q_norm is None else q_norm.weight,
        k_norm=None if k_norm is None else k_norm.weight,
        biases={name: module.bias for name, module in modules.items() if module.bias is not None},
        **{name: module.weight for name, module in modules.items()},
    )
