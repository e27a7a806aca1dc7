"""Paths into a request, spelled as OpenAI spells them: `messages[2].content[0].type`."""

from __future__ import annotations

from typing import TypeAlias

Path: TypeAlias = tuple[str | int, ...]

_MAX_KEY_CHARS = 64


def spell(path: Path) -> str:
    """Write a path; a key that the caller made up is cut at 64 characters."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += ("." if text else "") + part[:_MAX_KEY_CHARS]
    return text
