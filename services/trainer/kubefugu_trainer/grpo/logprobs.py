"""Log-probabilities of plans with gradient, where a group's plans share one prompt: it is computed once, not once for each."""

from __future__ import annotations

from typing import Any

import torch


def plan_logprobs(
    model: Any, input_ids: torch.Tensor, attention_mask: torch.Tensor, *, completion: int, temperature: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Log-probability of each completion token at this temperature, and the entropy of the distribution that it came from.

    `input_ids` and `attention_mask` have the shape (plans, prompt + completion), prompts padded on the left and completions on
    the right; both results have the shape (plans, completion), and 0 at padding. Entropies carry no gradient.
    """
    width = input_ids.shape[1] - completion
    prompts = torch.cat([input_ids[:, :width], attention_mask[:, :width]], dim=1)
    different, owner = torch.unique(prompts, dim=0, return_inverse=True)
    ids, mask = different[:, :width], different[:, width:]
    positions = (mask.cumsum(dim=1) - 1).clamp(min=0)
    head = model(input_ids=ids, attention_mask=mask, position_ids=positions, use_cache=True, logits_to_keep=1)
    cache = head.past_key_values
    cache.batch_select_indices(owner)
    logits = head.logits[:, -1:].index_select(0, owner)
    if completion > 1:
        logits = torch.cat([logits, _rest(model, cache, input_ids, attention_mask, mask.sum(dim=1)[owner], width)], dim=1)
    written = attention_mask[:, width:].bool()
    # Padding is most of a batch with one long plan: only what was written gets a softmax.
    scaled = torch.log_softmax(logits[written].float() / temperature, dim=-1)
    chosen = scaled.gather(-1, input_ids[:, width:][written].unsqueeze(-1)).squeeze(-1)
    with torch.no_grad():
        spread = -(scaled.exp() * scaled).sum(dim=-1)
    blank = scaled.new_zeros(written.shape)
    return blank.masked_scatter(written, chosen), blank.masked_scatter(written, spread)


def _rest(
    model: Any, cache: Any, input_ids: torch.Tensor, attention_mask: torch.Tensor, begin: torch.Tensor, width: int
) -> torch.Tensor:
    """Logits after each completion token but the last one, which predicts nothing that counts; `begin`: first positions."""
    fed = input_ids[:, width:-1]
    positions = begin.unsqueeze(1) + torch.arange(fed.shape[1], device=fed.device)
    output = model(
        input_ids=fed, attention_mask=attention_mask[:, :-1], position_ids=positions, past_key_values=cache, use_cache=True
    )
    logits: torch.Tensor = output.logits
    return logits
