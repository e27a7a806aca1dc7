"""Finds stretches of notation in a sentence: "I need 3x + 2 = 5, please" holds "3x + 2 = 5"."""

from __future__ import annotations

import re

_FUNCTION = r"(?:sin|cos|tan|exp|ln|log|sqrt|abs|pi)(?![a-z])"
_TOKEN = re.compile(
    rf"(?P<space>\s+)|(?P<operand>(?:\d[\d,]*\d|\d)?(?:\.\d+)?(?:{_FUNCTION}|[a-zA-Z](?:'{{1,2}}(?=\())?(?![a-zA-Z']))"
    r"|(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?(?![a-zA-Z\d]))|(?P<sign>\*\*|<=|>=|!=|->|[-+*/^=<>()|²³√])"
)
_WORD = re.compile(r"[A-Za-z][A-Za-z']*|.")


def stretches(text: str) -> list[str]:
    """Longest stretches of notation; two operands with a blank between them belong to two stretches."""
    runs: list[str] = []
    current: list[str] = []
    position, last, blank = 0, "", False
    while position < len(text):
        before = text[position - 1] if position else " "
        match = _TOKEN.match(text, position) if not (before.isalpha() and text[position].isalnum() and not current) else None
        if match is None or (before.isalpha() and text[position].isalpha() and not current):
            runs.append("".join(current))
            current, last = [], ""
            position = _next_word(text, position)
            continue
        kind = match.lastgroup or ""
        if kind == "space":
            blank = True
        else:
            if kind == "operand" and last == "operand" and blank:
                runs.append("".join(current))
                current = []
            current.append((" " if blank and current else "") + match[0])
            last, blank = "operand" if kind == "operand" or match[0] == ")" else "sign", False
        position = match.end()
    runs.append("".join(current))
    return [trimmed for run in runs if (trimmed := _trimmed(run))]


def _next_word(text: str, position: int) -> int:
    match = _WORD.match(text, position)
    return match.end() if match else position + 1


def _trimmed(run: str) -> str:
    """Without signs that belong to the sentence: a dash after a formula, a bracket around it."""
    run = run.strip()
    while run and (run[-1] in "-+*/^=<>(" or (run[-1] == ")" and run.count(")") > run.count("("))):
        run = run[:-1].rstrip()
    while run and (run[0] in "+*/^=<>)" or (run[0] == "(" and run.count("(") > run.count(")")) or run.startswith("- ")):
        run = run[1:].lstrip()
    return run
