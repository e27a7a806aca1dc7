"""Characters: one kind of quote, dash and blank; accents folded for look-ups."""

from __future__ import annotations

import re
import unicodedata

_SINGLES = dict.fromkeys(map(ord, "‘’‚‛′`´"), "'")
_DOUBLES = dict.fromkeys(map(ord, "“”„‟″«»"), '"')
_DASHES = dict.fromkeys(map(ord, "‐‑‒–—―−﹣－"), "-")
_NOTHING: dict[int, str | None] = dict.fromkeys(map(ord, "\u200b\u200c\u200d\u2060\ufeff\u00ad"), None)
_TABLE = {**_SINGLES, **_DOUBLES, **_DASHES, **_NOTHING, ord("…"): "..."}


def tidy(text: str) -> str:
    """Plain quotes, dashes and single blanks; no invisible characters, no Markdown emphasis or code fences around it."""
    text = text.translate(_TABLE)
    text = "".join(character if character.isprintable() else " " for character in text)
    text = re.sub(r"\s+", " ", text).strip()
    return re.sub(r"\*\*(?=\S)([^*]+)(?<=\S)\*\*", r"\1", text) if not re.search(r"[\w)]\*\*[\w(+-]", text) else text


_LETTERS = str.maketrans(
    {"ı": "i", "ø": "o", "Ø": "O", "ł": "l", "Ł": "L", "ß": "ss", "æ": "ae", "Æ": "AE", "œ": "oe", "đ": "d", "Đ": "D"}
)


def fold(text: str) -> str:
    """Lower case without accents, apostrophes and dots, hyphens as blanks: the key of look-ups."""
    if not text.isascii():
        decomposed = unicodedata.normalize("NFKD", text.translate(_LETTERS))
        text = "".join(character for character in decomposed if not unicodedata.combining(character))
    return " ".join(text.lower().replace("'", "").replace(".", "").replace("-", " ").split())
