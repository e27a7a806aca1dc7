"""Question files: JSON lines with a question and its answer, e.g. GSM8K.

Each line: `prompt` (or `question`), `answer`, optional `field` and `system`, and `kind`: numeric (default where the answer ends
in `#### number` or is a number), choice (with `options`), exact (the whole reply), contains, code (with `tests`, optional
`prelude`; HumanEval's own lines, with `entry_point`, are read too), tools (with `tools`, OpenAI's function definitions;
`answer` is the call or a list of calls, each `{"name", "arguments"}`), parts (instead of `answer`, `parts`: a list of such
records, each with the `prompt` that is part of the whole one; every part must be right).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kubefugu_core.errors import DataError
from kubefugu_trainer.tasks.numbers import numbers_in, parse_number
from kubefugu_trainer.tasks.question import Phrasing, Question
from kubefugu_trainer.tasks.verifiers import Choice, Contains, Numeric, Verifier, answer_part, fold
from kubefugu_trainer.tasks.verify_code import CodeTests
from kubefugu_trainer.tasks.verify_parts import Part, Parts
from kubefugu_trainer.tasks.verify_tools import ToolCalls


@dataclass(frozen=True, slots=True, kw_only=True)
class Exact:
    """The reply (or what follows its answer mark) is the answer, letter case and white space aside."""

    answer: str

    def score(self, prompt: str, reply: str) -> float:
        """1 if they are equal."""
        wanted = fold(self.answer).rstrip(".")
        return float(wanted in (fold(reply).rstrip("."), fold(answer_part(reply)).rstrip(".")))


def read_questions(path: Path) -> list[Question]:
    """All questions of a file. Raises DataError naming file, line and member."""
    return parse_questions(path, read_text(path))


def read_text(path: Path) -> str:
    """A question file's text. Raises DataError where it is none."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: {error}") from error


def parse_questions(path: Path, text: str) -> list[Question]:
    """All questions of a file's text; `path` names them. Raises DataError naming file, line and member."""
    lines = text.splitlines()
    questions = [_question(path, number, line) for number, line in enumerate(lines, start=1) if line.strip()]
    if not questions:
        raise DataError(f"{path}: the file has no questions")
    return questions


def _question(path: Path, number: int, line: str) -> Question:
    try:
        record = json.loads(line)
        prompt = str(record.get("prompt") or record["question"])
        verifier = _verifier(record, prompt)
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise DataError(f"{path}: line {number}: needs prompt (or question), answer and a known kind: {error}") from error
    return Question(
        prompt=prompt,
        field=str(record.get("field") or path.stem),
        topic=path.stem,
        phrasing=Phrasing.SEEN,
        verifier=verifier,
        system=str(record.get("system") or ""),
        tools=json.dumps(record["tools"]) if record.get("kind") == "tools" else "",
    )


def _verifier(record: Mapping[str, Any], prompt: str) -> Verifier:
    kind = record.get("kind") or ("code" if "entry_point" in record else None)
    if kind == "code":
        if "entry_point" in record:
            return CodeTests(tests=f"{record['test']}\ncheck({record['entry_point']})", prelude=prompt)
        return CodeTests(tests=str(record["tests"]), prelude=str(record.get("prelude") or ""))
    if kind == "tools":
        calls = record["answer"] if isinstance(record["answer"], list) else [record["answer"]]
        return ToolCalls(calls=tuple((str(call["name"]), json.dumps(call["arguments"])) for call in calls))
    if kind == "parts":
        told = [Part(prompt=str(part["prompt"]), verifier=_verifier(part, str(part["prompt"]))) for part in record["parts"]]
        if not told:
            raise ValueError("parts is empty")
        return Parts(parts=tuple(told))
    answer = str(record["answer"])
    final = answer.rsplit("####", 1)[-1].strip()
    if kind is None:
        kind = "numeric" if parse_number(final) is not None else "contains"
    if kind == "numeric":
        return Numeric(value=numbers_in(final)[-1])
    if kind == "choice":
        return Choice(letter=answer.strip().upper(), options=tuple(str(option) for option in record["options"]))
    if kind == "exact":
        return Exact(answer=answer)
    if kind == "contains":
        return Contains(accepted=(answer,))
    raise ValueError(f"unknown kind {kind!r}")
