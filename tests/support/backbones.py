"""Tiny random decoders with a real tokenizer, and an independent, naive reference of the router's forward pass."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoModelForCausalLM, LlamaConfig, Qwen2Config, Qwen3Config

from kubefugu_routing.svf import SvfOffsets, TieMode

VOCABULARY = 512
CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n"
    "{% if enable_thinking is defined and enable_thinking is false %}<think>\n\n</think>\n\n{% endif %}{% endif %}"
)
_COMMON = {
    "vocab_size": VOCABULARY,
    "hidden_size": 48,
    "intermediate_size": 80,
    "num_hidden_layers": 4,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "max_position_embeddings": 4096,
}
CONFIGS = {"qwen3": (Qwen3Config, {"head_dim": 16}), "qwen2": (Qwen2Config, {}), "llama": (LlamaConfig, {})}


@dataclass(frozen=True)
class Tiny:
    """A tiny model on disk and in float64 memory."""

    directory: Path
    reference: Any
    """transformers' causal LM in float64, LM head included."""


def make_tiny(directory: Path, kind: str, *, tied: bool, seed: int = 0, with_tokenizer: bool = False, **extra: Any) -> Tiny:
    """Save a random causal LM of a few layers; norms, biases and spectra are random too, so that nothing hides behind a one."""
    config_class, own = CONFIGS[kind]
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(config_class(**(_COMMON | own | extra), tie_word_embeddings=tied))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim == 1:
                parameter.copy_(torch.randn_like(parameter) * 0.2 + (0.0 if name.endswith("bias") else 1.0))
            else:
                parameter.copy_(torch.randn_like(parameter) * 0.15)
    model.save_pretrained(directory)
    if with_tokenizer:
        train_tokenizer(model.config.vocab_size).save_pretrained(directory)
    return Tiny(directory, model.double().eval())


def train_tokenizer(vocabulary: int = VOCABULARY) -> Any:
    """A real byte-level BPE tokenizer, trained on a few sentences; every text round-trips."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=["<|im_start|>", "<|im_end|>", "<think>", "</think>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    text = ["user: what is the capital of France?", "assistant: the capital of France is Paris.", "system: you route messages"]
    tokenizer.train_from_iterator(text * 20, trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|im_end|>", pad_token="<|im_end|>")
    fast.chat_template = CHAT_TEMPLATE
    return fast


def random_offsets(lengths: Mapping[str, int], layer: int, mode: TieMode, *, seed: int = 1, scale: float = 0.3) -> SvfOffsets:
    """Offsets of every block, large enough to change hidden states visibly."""
    rng = np.random.default_rng(seed)
    blocks = {name: rng.normal(scale=scale, size=length).astype(np.float32) for name, length in lengths.items()}
    return SvfOffsets(layer=layer, tie_mode=mode, blocks=blocks)


def svf(weight: torch.Tensor, delta: NDArray[Any]) -> torch.Tensor:
    """W' by a full float64 SVD, as the formula stands."""
    u, s, vh = torch.linalg.svd(weight.double(), full_matrices=False)
    raised = s * (1 + torch.from_numpy(np.asarray(delta, dtype=np.float64)))
    return (u @ torch.diag(raised) @ vh) * (s.sum() / raised.sum())


def adapt_reference(tiny: Tiny, offsets: SvfOffsets) -> Any:
    """A copy of the reference with every adapted matrix re-materialised; embedding and lm_head as the tie mode says."""
    import copy

    model = copy.deepcopy(tiny.reference)
    tied = bool(model.config.tie_word_embeddings)
    with torch.no_grad():
        layer = model.model.layers[offsets.layer]
        for name, block in offsets.blocks.items():
            if name in ("embed_tokens", "lm_head"):
                continue
            part = layer.self_attn if hasattr(layer.self_attn, name) else layer.mlp
            getattr(part, name).weight.copy_(svf(getattr(part, name).weight, block))
        embedding = model.model.embed_tokens.weight.clone()
        first, second = offsets.blocks["embed_tokens"], offsets.blocks["lm_head"]
        if not tied or offsets.tie_mode is TieMode.FIXTURE:
            adapted = svf(embedding, first)
        elif offsets.tie_mode is TieMode.AUTHOR:
            adapted = svf(embedding, second)
        else:
            adapted = svf(svf(embedding, first), second)
        model.model.embed_tokens.weight.copy_(adapted)
    return model


def reference_features(model: Any, batch: list[list[int]]) -> NDArray[np.float64]:
    """Hidden state after the final norm at position -2 of the full sequence, one request at a time, through the causal LM."""
    rows = []
    with torch.no_grad():
        for tokens in batch:
            out = model(input_ids=torch.tensor([tokens]), output_hidden_states=True)
            rows.append(out.hidden_states[-1][0, -2].double().numpy())
    return np.stack(rows)
