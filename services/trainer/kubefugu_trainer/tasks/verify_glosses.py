"""Verifier of definitions: the reply must share enough words with one of WordNet's glosses of the word."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.resources import files

from kubefugu_trainer.tasks.verifiers import fold

_COMMON = frozenset((files("kubefugu_trainer.tasks.fields") / "data" / "common_words.txt").read_text(encoding="utf-8").split())


def content_stems(text: str) -> frozenset[str]:
    """Words of a text without the common ones, cut to their first five letters (a crude but even-handed stem)."""
    words = re.findall(r"[a-z]+", fold(text))
    return frozenset(word[:5] for word in words if word not in _COMMON and len(word) > 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class GlossOverlap:
    """A definition. Right if the reply covers at least `share` of the content words of one gloss, and two at least."""

    word: str
    glosses: tuple[str, ...]
    share: float = 0.5

    def score(self, prompt: str, reply: str) -> float:
        """1 if one gloss is covered. Words of the question do not count."""
        said = content_stems(reply) - content_stems(prompt)
        for gloss in self.glosses:
            wanted = content_stems(gloss) - content_stems(prompt)
            common = len(said & wanted)
            if wanted and common >= max(min(2, len(wanted)), self.share * len(wanted)):
                return 1.0
        return 0.0
