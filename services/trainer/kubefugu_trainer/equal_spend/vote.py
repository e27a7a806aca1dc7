"""Self-consistency of free text (Wang et al. 2023, Chen et al. 2023): the sample that agrees most with the others. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

from kubefugu_trainer.tasks.numbers import numbers_in
from kubefugu_trainer.tasks.verifiers import fold

_WORD = re.compile(r"[a-z]{3,}")


def features(text: str) -> frozenset[str]:
    """What two answers must share to be the same: their numbers, rounded to four digits, and their words."""
    numbers = {f"{number:.4g}" for number in numbers_in(text)}
    return frozenset(numbers | set(_WORD.findall(fold(text))))


def agreement(one: frozenset[str], other: frozenset[str]) -> float:
    """Jaccard similarity; two empty answers agree."""
    union = one | other
    return len(one & other) / len(union) if union else 1.0


def medoid(samples: Sequence[str]) -> int:
    """Number of the sample with the highest mean agreement with all; the first of equals. Raises ValueError without samples."""
    if not samples:
        raise ValueError("a vote needs samples")
    found = [features(sample) for sample in samples]
    totals = [sum(agreement(one, other) for other in found) for one in found]
    return max(range(len(totals)), key=lambda index: totals[index])
