"""Load a decoder with its LM head, from the same references as a router's backbone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kubefugu_core.errors import ArtifactRefusedError
from kubefugu_routing.backbone.load import load_tokenizer
from kubefugu_routing.backbone.locate import locate
from kubefugu_routing.backbone.quiet import quiet_transformers


@dataclass(frozen=True)
class CausalModel:
    """A decoder that writes text."""

    id: str
    revision: str
    model: Any
    """transformers' causal model, in evaluation mode."""
    tokenizer: Any
    """transformers' tokenizer with a chat template."""

    @property
    def context_tokens(self) -> int:
        """Longest sequence that the model was made for."""
        return int(self.model.config.max_position_embeddings)

    def encode_chat(self, messages: list[dict[str, str]]) -> list[int]:
        """Token ids of a chat up to where the assistant's turn begins: the same in training and in serving."""
        text = self.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        return [int(token) for token in self.tokenizer(text, add_special_tokens=False)["input_ids"]]

    def decode(self, tokens: list[int]) -> str:
        """Text of generated tokens, without special ones."""
        return str(self.tokenizer.decode(tokens, skip_special_tokens=True))

    @property
    def end_tokens(self) -> tuple[int, ...]:
        """Tokens that end a turn."""
        configured = self.model.generation_config.eos_token_id
        listed = configured if isinstance(configured, list) else [configured]
        return tuple(dict.fromkeys(int(token) for token in [self.tokenizer.eos_token_id, *listed] if token is not None))


def load_causal(ref: str, *, device: str = "cpu", dtype: str = "float32", threads: int | None = None) -> CausalModel:
    """Load a decoder from a hub id, a directory, a GGUF file or a catalog name; dtype is float32, bfloat16 or auto.

    Raises ArtifactRefusedError that says why a model cannot be used.
    """
    import torch
    from transformers import AutoModelForCausalLM

    if threads:
        torch.set_num_threads(threads)
    chosen_device = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    chosen_dtype = ("bfloat16" if chosen_device.startswith("cuda") else "float32") if dtype == "auto" else dtype
    if chosen_dtype not in ("float32", "bfloat16"):
        raise ArtifactRefusedError(f"dtype must be float32, bfloat16 or auto, not {dtype!r}.", field="dtype")
    located = locate(ref)
    try:
        with quiet_transformers():
            model = AutoModelForCausalLM.from_pretrained(
                located.directory, dtype=getattr(torch, chosen_dtype), local_files_only=True
            )
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise ArtifactRefusedError(f"{located.directory} cannot be loaded: {error}", field="backbone") from error
    tokenizer = load_tokenizer(str(located.directory))
    if tokenizer is None or not tokenizer.chat_template:
        raise ArtifactRefusedError(
            f"{located.id} has no tokenizer with a chat template, which a planner needs.", field="backbone"
        )
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    placed: Any = model
    return CausalModel(located.id, located.revision, placed.to(chosen_device).eval().requires_grad_(False), tokenizer)
