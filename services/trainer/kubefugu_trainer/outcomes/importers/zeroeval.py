"""ZeroEval's result_dirs (Lin 2024): `<task>/<model>.json`, a list of answers as JSON texts with `reasoning` and `answer`.

A record has id, dataset, question (math-l5: problem), output (a list of texts), and answer; multiple choice has choices and
correct_answer instead. Scored as the authors do: gsm and math-l5 by the first number, crux by the literal, multiple choice by
the letter. Tasks whose solutions are not published (zebra-grid) and summaries are refused or skipped.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from kubefugu_core.errors import DataError
from kubefugu_trainer.outcomes.importers import files
from kubefugu_trainer.outcomes.importers.answers import Answer

_NUMBER = re.compile(r"-?\d+(\.\d+)?")
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def read(sources: Sequence[Path]) -> Iterator[Answer]:
    """Answers of all models. Raises DataError."""
    for path in files.find(sources, ".json"):
        if path.stem.endswith(".summary"):
            continue
        for number, record in enumerate(files.json_records(path)):
            output = files.value(record, "output", path, number)
            text = output[0] if isinstance(output, list) and output else output
            question = record.get("question", record.get("problem"))
            if not isinstance(question, str) or not isinstance(text, str):
                raise DataError(f"{path}: record {number + 1}: no question or no output text", field="question")
            group = str(record.get("dataset", path.parent.name))
            yield Answer(_prompt(question, record.get("choices")), group, path.stem, _score(record, text, path, number))


def _prompt(question: str, choices: object) -> str:
    if not isinstance(choices, list):
        return question.strip()
    return "\n".join([question.strip(), *(f"{letter}) {choice}" for letter, choice in zip(_LETTERS, choices, strict=False))])


def _score(record: dict[str, Any], text: str, path: Path, number: int) -> float:
    said = stated_answer(text)
    if "choices" in record:
        right = files.value(record, "correct_answer", path, number)
        choices = [str(choice) for choice in record["choices"]]
        if str(right) not in choices:
            raise DataError(
                f"{path}: record {number + 1}: the correct answer is not one of the choices", field="correct_answer"
            )
        return float(said is not None and said.strip() == _LETTERS[choices.index(str(right))])
    right = str(files.value(record, "answer", path, number))
    if said is None:
        return 0.0
    return float(_same_literal(said, right) if "crux" in str(record.get("dataset", "")) else _same_number(said, right))


def stated_answer(text: str) -> str | None:
    """The `answer` of the first complete JSON object that has one, else of the first thing that looks like it."""
    decoder = json.JSONDecoder(strict=False)
    for start in (match.start() for match in re.finditer(r"\{", text)):
        try:
            found, _ = decoder.raw_decode(text[start:])
        except ValueError:
            continue
        if isinstance(found, dict) and "answer" in found:
            return str(found["answer"])
    quoted = re.search(r'"answer"\s*:\s*"(.*?)"', text, re.DOTALL)
    bare = re.search(r'"?answer"?\s*:\s*([^,\s}]+)', text)
    return quoted[1] if quoted else bare[1] if bare else None


def _same_number(said: str, right: str) -> bool:
    numbers = [_NUMBER.search(_plain(text)) for text in (said, right.replace("#", ""))]
    first, second = numbers
    return first is not None and second is not None and float(first.group()) == float(second.group())


def _plain(text: str) -> str:
    """Without currency and thousands; a fraction as its value."""
    text = text.replace("$", "").replace(",", "").strip()
    fraction = re.fullmatch(r"(-?\d+(?:\.\d+)?)\s*/\s*(\d+(?:\.\d+)?)", text)
    if fraction and float(fraction[2]) != 0:
        return str(float(fraction[1]) / float(fraction[2]))
    return text


def _same_literal(said: str, right: str) -> bool:
    """Strings may be said without their quotes."""
    return said == right or f"'{said}'" == right or f'"{said}"' == right
