"""Harmless damage to a question: typing errors and stray white space. A router should not change its mind over it."""

from __future__ import annotations

import re

import numpy as np

from kubefugu_trainer.outcomes.table import Messages

_NEIGHBOURS = {
    "q": "wa", "w": "qes", "e": "wrd", "r": "etf", "t": "ryg", "y": "tuh", "u": "yij", "i": "uok", "o": "ipl", "p": "ol",
    "a": "qsz", "s": "adw", "d": "sfe", "f": "dgr",
    "g": "fht", "h": "gjy", "j": "hku", "k": "jli", "l": "kop", "z": "xa", "x": "zcs",
    "c": "xvd", "v": "cbf", "b": "vng", "n": "bmh", "m": "nj",
}  # fmt: skip
KINDS = ("typos", "whitespace")
_TYPO_WORDS = 0.08
"""Share of words that get a typing error, one at least."""


def typos(text: str, rng: np.random.Generator) -> str:
    """Swap, drop, double or mistype a letter inside some words of four letters or more; numbers and names stay whole."""
    words = [m for m in re.finditer(r"[a-z]{4,}", text) if _is_word(text, m)]
    if not words:
        return text
    count = max(1, round(_TYPO_WORDS * len(words)))
    chosen = sorted(
        (words[int(i)] for i in rng.choice(len(words), size=min(count, len(words)), replace=False)), key=lambda m: -m.start()
    )
    for match in chosen:
        text = text[: match.start()] + _damage(match.group(), rng) + text[match.end() :]
    return text


def _is_word(text: str, match: re.Match[str]) -> bool:
    before, after = text[match.start() - 1 : match.start()], text[match.end() : match.end() + 1]
    return not (before.isalnum() or after.isalnum() or before == "_" or after in ("_", "("))


def _damage(word: str, rng: np.random.Generator) -> str:
    i = int(rng.integers(1, len(word) - 1))
    kind = int(rng.integers(4))
    if kind == 0:
        return word[:i] + word[i + 1] + word[i] + word[i + 2 :]
    if kind == 1:
        return word[:i] + word[i + 1 :]
    if kind == 2:
        return word[:i] + word[i] + word[i:]
    near = _NEIGHBOURS[word[i]]
    return word[:i] + near[int(rng.integers(len(near)))] + word[i + 1 :]


def whitespace(text: str, rng: np.random.Generator) -> str:
    """Double some spaces, put some around the text, end with a line break."""
    parts = re.split(r"( )", text)
    loose = [part * 2 if part == " " and rng.random() < 0.2 else part for part in parts]
    return " " * int(rng.integers(0, 3)) + "".join(loose) + " " * int(rng.integers(0, 2)) + "\n"


def disturb(messages: Messages, kind: str, rng: np.random.Generator) -> Messages:
    """The conversation with its last message damaged; `kind` is one of KINDS."""
    change = {"typos": typos, "whitespace": whitespace}[kind]
    role, text = messages[-1]
    return (*messages[:-1], (role, change(text, rng)))
