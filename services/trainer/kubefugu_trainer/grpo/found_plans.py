"""Plans that turned out right: random valid ones are executed, and the cheapest right one of each question is what is taught.

Rejection sampling fine-tuning (Yuan et al. 2023, arXiv 2308.01825) with the format warm start's plans as proposals. A proposal
costs a few worker calls and no token of the planner, so chance finds who does what sooner than a planner that samples.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kubefugu_trainer.evolution.stopping import RunStoppedError
from kubefugu_trainer.grpo.items import Item
from kubefugu_trainer.grpo.reward import task_reward
from kubefugu_trainer.grpo.rollouts import Rollout
from kubefugu_trainer.grpo.warm_plans import warm_text
from kubefugu_trainer.runs.progress import Reporter

_CHUNK = 12
"""Questions between two signs of life."""


@dataclass(frozen=True, slots=True)
class Found:
    """A right plan of a question."""

    number: int
    """Number of the item."""
    text: str

    def to_json(self) -> dict[str, Any]:
        """As it is kept in the run directory."""
        return {"number": self.number, "text": self.text}


def find_plans(
    items: Sequence[Item],
    *,
    tries: int,
    seed: int,
    run_plans: Callable[[Sequence[Item], Sequence[str]], list[Rollout]],
    reporter: Reporter,
    stop: threading.Event,
    over: Callable[[], bool] = lambda: False,
) -> list[Found]:
    """The cheapest right plan among `tries` random ones of each item; items without one are missing.

    Once nothing may be spent any more (`over`), the rest of the items is not searched.

    Cheapest: fewest worker calls, then fewest steps, then the shortest text, so that nobody is asked for show. Raises
    RunStoppedError once `stop` is set; begun again, its replies come from the cache.
    """
    rng = np.random.default_rng([seed, 6])
    found: list[Found] = []
    reporter.start("search", total=len(items))
    for start in range(0, len(items), _CHUNK):
        if stop.is_set():
            raise RunStoppedError("The search was stopped; the same command begins it again.")
        if over():
            break
        chunk = items[start : start + _CHUNK]
        proposals = [list(dict.fromkeys(warm_text(item, rng) for _ in range(tries))) for item in chunk]
        owners = [item for item, drawn in zip(chunk, proposals, strict=True) for _ in drawn]
        texts = [text for drawn in proposals for text in drawn]
        right: dict[int, list[tuple[int, int, int, str]]] = {}
        for item, text, rollout in zip(owners, texts, run_plans(owners, texts), strict=True):
            if task_reward(rollout) == 1.0:
                right.setdefault(item.number, []).append((rollout.calls, rollout.steps, len(text), text))
        found.extend(Found(number, min(plans)[-1]) for number, plans in right.items())
        reporter.advance(len(chunk), found=len(found))
    reporter.finish()
    return found
