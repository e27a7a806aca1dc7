"""A causal LM of Qwen3-0.6B's exact shape with seeded random weights, for machines without the model hub."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import Qwen3Config, Qwen3ForCausalLM
from transformers.models.qwen3.modeling_qwen3 import Qwen3RotaryEmbedding

from kubefugu_routing.backbone.load import Backbone, describe
from kubefugu_routing.backbone.locate import Located

_BUFFER_NUMBERS = 1 << 24


def causal_lm(*, seed: int, device: str) -> Any:
    """transformers' Qwen3ForCausalLM in float32, LM head tied, in evaluation mode."""
    config = Qwen3Config(
        vocab_size=151_936,
        hidden_size=1024,
        intermediate_size=3072,
        num_hidden_layers=28,
        num_attention_heads=16,
        num_key_value_heads=8,
        head_dim=128,
        tie_word_embeddings=True,
        max_position_embeddings=40_960,
    )
    with torch.device("meta"):
        model = Qwen3ForCausalLM(config)
    model.to_empty(device=device)
    model.tie_weights()
    model.model.rotary_emb = Qwen3RotaryEmbedding(config).to(device)
    fill_randomly(model, seed=seed, device=device)
    return model.eval().requires_grad_(False)


def fill_randomly(model: Any, *, seed: int, device: str) -> None:
    """Matrices of normal numbers (standard deviation 0.02), vectors of ones.

    The numbers come from one buffer, begun elsewhere for each matrix: drawing 600 million would take longer than a benchmark.
    """
    generator = torch.Generator().manual_seed(seed)
    buffer = (torch.randn(_BUFFER_NUMBERS, generator=generator) * 0.02).to(device)
    with torch.no_grad():
        for number, parameter in enumerate(model.parameters()):
            if parameter.ndim == 1:
                parameter.fill_(1.0)
                continue
            flat, start, begin = parameter.view(-1), (number * 7919 * 1031) % (_BUFFER_NUMBERS // 2), 0
            while begin < flat.numel():
                part = flat[begin : begin + _BUFFER_NUMBERS - start]
                part.copy_(buffer[start : start + part.numel()])
                begin, start = begin + part.numel(), 0


def backbone_of(model: Any, *, dtype: str, device: str) -> Backbone:
    """The same weights as a backbone: own copies of the layers, in float32 with the embedding shared."""
    base = model.model
    embedding = base.embed_tokens.weight
    converted: dict[int, Any] = {}
    for parameter in base.parameters():
        own = parameter.to(getattr(torch, dtype), copy=parameter is not embedding)
        converted[id(parameter)] = nn.Parameter(own, requires_grad=False)
    own_model = copy.deepcopy(base, converted)
    located = Located(Path(), "qwen3-0.6b-shape", "seeded")
    return Backbone(describe(own_model, located, device=device, dtype=dtype), own_model, None, Path())
