"""Harmless changes to a question: typing errors, stray white space, other words. A router should not change its mind."""

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
KINDS = ("typos", "whitespace", "paraphrase")
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


_LEADS = (
    "Please answer this: ",
    "I have a question. ",
    "Here is a task for you. ",
    "Could you help me with this? ",
    "Question: ",
)
_TAILS = ("", "", " Thank you!", "\nPlease think about it carefully.", "\nThanks in advance.")
_SAME = {
    "what is": "what's", "calculate": "compute", "compute": "work out", "find": "determine", "determine": "find",
    "how many": "what number of", "which of the following": "which one of these", "choose": "pick", "select": "choose",
    "tell me": "let me know", "explain": "describe", "solve": "work out", "write": "give", "following": "below",
    "correct": "right", "large": "big", "begin": "start", "person": "individual", "children": "kids",
}  # fmt: skip
_SAME_PATTERN = re.compile(r"\b(" + "|".join(sorted(_SAME, key=len, reverse=True)) + r")\b", re.IGNORECASE)


def paraphrase(text: str, rng: np.random.Generator) -> str:
    """Put a polite opening before the question, maybe a close behind it, and say some words in another way."""

    def other(match: re.Match[str]) -> str:
        word = match.group()
        if rng.random() < 0.3:
            return word
        said = _SAME[word.lower()]
        return said[0].upper() + said[1:] if word[0].isupper() else said

    lead, tail = _LEADS[int(rng.integers(len(_LEADS)))], _TAILS[int(rng.integers(len(_TAILS)))]
    return lead + _SAME_PATTERN.sub(other, text) + tail


def disturb(messages: Messages, kind: str, rng: np.random.Generator) -> Messages:
    """The conversation with its last message damaged; `kind` is one of KINDS."""
    change = {"typos": typos, "whitespace": whitespace, "paraphrase": paraphrase}[kind]
    role, text = messages[-1]
    return (*messages[:-1], (role, change(text, rng)))
