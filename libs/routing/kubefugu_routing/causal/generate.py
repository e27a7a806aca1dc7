"""Sampling and greedy decoding in batches, seeded, with a stop signal that is looked at before every token.

Several samples of one prompt share its prefill. Randomness comes from a generator per call, so that a request's or a training
step's samples depend on their seed alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

Stop = Callable[[], bool]
"""True: the caller no longer wants the text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How tokens are chosen."""

    max_tokens: int = 256
    temperature: float = 0.0
    """0: the likeliest token."""
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Generated:
    """One sample: its tokens with the end token where one came, and the log-probability of each (natural logarithm)."""

    tokens: list[int]
    logprobs: list[float]
    finished: bool
    """False: cut at max_tokens or by the stop signal."""


def generate(
    model: Any,
    prompts: Sequence[Sequence[int]],
    *,
    end_tokens: Sequence[int],
    sampling: Sampling,
    samples: int = 1,
    stop: Stop | None = None,
) -> list[list[Generated]]:
    """`samples` continuations of each prompt (token ids), shape (prompts, samples).

    `model` is a transformers causal model. Log-probabilities are those of the distribution that was sampled from (for greedy
    decoding: of the untempered one).
    """
    import torch

    with torch.inference_mode():
        return _Decoder(model, prompts, tuple(end_tokens), sampling, samples, stop or (lambda: False)).run()


class _Decoder:
    def __init__(
        self,
        model: Any,
        prompts: Sequence[Sequence[int]],
        end_tokens: tuple[int, ...],
        sampling: Sampling,
        samples: int,
        stop: Stop,
    ) -> None:
        import torch

        self._torch = torch
        self._model = model
        self._sampling = sampling
        self._samples = samples
        self._stop = stop
        self._device = next(model.parameters()).device
        self._ends = torch.tensor(end_tokens, device=self._device)
        # Drawn on the CPU, so that a seed means the same on every device.
        self._random = torch.Generator().manual_seed(sampling.seed)
        self._prompts = prompts
        self._tokens: list[list[int]] = [[] for _ in range(len(prompts) * samples)]
        self._logprobs: list[list[float]] = [[] for _ in range(len(prompts) * samples)]

    def run(self) -> list[list[Generated]]:
        torch = self._torch
        logits, cache, mask = self._prefill()
        alive = torch.arange(logits.shape[0], device=self._device)
        ended: set[int] = set()
        for step in range(self._sampling.max_tokens):
            if self._stop():
                break
            chosen, logprobs = self._choose(logits)
            for row, token, logprob in zip(alive.tolist(), chosen.tolist(), logprobs.tolist(), strict=True):
                self._tokens[row].append(token)
                self._logprobs[row].append(logprob)
            going = ~torch.isin(chosen, self._ends)
            ended.update(alive[~going].tolist())
            if not bool(going.any()) or step + 1 == self._sampling.max_tokens:
                break
            if not bool(going.all()):
                # Finished samples leave the batch: what they would cost is most of a batch with one long straggler.
                kept = going.nonzero().squeeze(-1)
                cache.batch_select_indices(kept)
                alive, chosen, mask = alive[kept], chosen[kept], mask[kept]
            mask = torch.cat([mask, mask.new_ones((mask.shape[0], 1))], dim=1)
            positions = mask.sum(dim=1, keepdim=True) - 1
            output = self._model(
                input_ids=chosen.unsqueeze(-1),
                attention_mask=mask,
                position_ids=positions,
                past_key_values=cache,
                use_cache=True,
            )
            logits = output.logits[:, -1]
        return self._results(ended)

    def _prefill(self) -> tuple[torch.Tensor, Any, torch.Tensor]:
        """Logits of each sample's first token, the cache and the attention mask; prompts are padded on the left."""
        torch = self._torch
        longest = max(len(prompt) for prompt in self._prompts)
        ids = torch.zeros((len(self._prompts), longest), dtype=torch.long, device=self._device)
        mask = torch.zeros_like(ids)
        for row, prompt in enumerate(self._prompts):
            ids[row, longest - len(prompt) :] = torch.tensor(list(prompt), device=self._device)
            mask[row, longest - len(prompt) :] = 1
        positions = (mask.cumsum(dim=1) - 1).clamp(min=0)
        output = self._model(input_ids=ids, attention_mask=mask, position_ids=positions, use_cache=True, logits_to_keep=1)
        cache = output.past_key_values
        logits = output.logits[:, -1]
        if self._samples > 1:
            cache.batch_repeat_interleave(self._samples)
            logits = logits.repeat_interleave(self._samples, dim=0)
            mask = mask.repeat_interleave(self._samples, dim=0)
        return logits, cache, mask

    def _choose(self, logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        torch, temperature = self._torch, self._sampling.temperature
        scaled = torch.log_softmax(logits.float() / (temperature or 1.0), dim=-1)
        if temperature == 0.0:
            chosen = scaled.argmax(dim=-1)
        else:
            # Inverse of the cumulative distribution: one random number a row (noise for the whole vocabulary would cost as much
            # as a small model's forward pass). Doubles, because 50,000 float32 additions lose the rare tokens.
            reached = scaled.double().exp_().cumsum(dim=-1)
            uniform = torch.rand((scaled.shape[0], 1), generator=self._random, dtype=torch.float64).to(scaled.device)
            chosen = torch.searchsorted(reached, uniform * reached[:, -1:]).squeeze(-1).clamp_(max=scaled.shape[-1] - 1)
        return chosen, scaled.gather(-1, chosen.unsqueeze(-1)).squeeze(-1)

    def _results(self, ended: set[int]) -> list[list[Generated]]:
        rows = [
            Generated(tokens, logprobs, row in ended)
            for row, (tokens, logprobs) in enumerate(zip(self._tokens, self._logprobs, strict=True))
        ]
        return [rows[start : start + self._samples] for start in range(0, len(rows), self._samples)]
