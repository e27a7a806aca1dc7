"""Questions that lean on the one before: "and in miles?", "what about Spain?"."""

from __future__ import annotations

import re

_FOLLOW_UP = re.compile(
    r"(?:(?:ok(?:ay)?|and|now|so|thanks|great|cool|nice|then|also)[,!.]* )*"
    r"(?:(?:what|how) about|(?:do )?the same (?:for|with)|same (?:for|question for|with|"
    r"thing for)|and (?:for|of)|and|now(?: for)?|or) (.+)",
    re.IGNORECASE,
)
_MOST_WORDS = 8


def follow_up(text: str) -> str | None:
    """What is new in a follow-up ("in miles", "Spain"); None where the text is no follow-up."""
    text = " ".join(text.split()).strip(" ?!.")
    match = _FOLLOW_UP.fullmatch(text)
    if match is None or len(match[1].split()) > _MOST_WORDS:
        return None
    return match[1].strip(" ?!.,")
