"""MMLU-Pro's eval_results (Wang et al. 2024, arXiv 2406.01574): a JSON list of answers per model, zipped, or folders.

A record has question, options, answer (a letter), category, pred (the letter extracted from the model's text, or null) and
model_outputs or response. Files are named `model_outputs_<model>_<k>shots.json` or `.zip`; `<model>/<category>_result.json`
belongs to the folder's model. An answer without an extracted letter counts as wrong (the authors draw a random letter).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from kubefugu_core.errors import DataError
from kubefugu_trainer.outcomes.importers import files
from kubefugu_trainer.outcomes.importers.answers import Answer

_NAME = re.compile(r"^model_outputs_(?P<model>.+?)(?:_\d+shots?)?$")
_EXTRACT = (re.compile(r"answer is \(?([A-J])\)?"), re.compile(r".*[aA]nswer:\s*([A-J])"))
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def read(sources: Sequence[Path]) -> Iterator[Answer]:
    """Answers of all models. Raises DataError."""
    for path in files.find(sources, ".json", ".zip"):
        if path.stem.endswith("summary"):
            continue
        worker = model_name(path)
        for number, record in enumerate(files.json_records(path)):
            options = files.value(record, "options", path, number)
            if not isinstance(options, list) or len(options) > len(_LETTERS):
                raise DataError(f"{path}: record {number + 1}: 'options' is no list of at most 26 answers", field="options")
            right = str(files.value(record, "answer", path, number)).strip()
            pred = (
                record["pred"]
                if "pred" in record
                else extracted(str(record.get("model_outputs") or record.get("response") or ""))
            )
            question = str(files.value(record, "question", path, number))
            yield Answer(
                prompt(question, options), str(record.get("category", "")), worker, float(str(pred or "").strip() == right)
            )


def prompt(question: str, options: Sequence[object]) -> str:
    """The question with lettered options, N/A ones left out."""
    lines = [f"{letter}. {option}" for letter, option in zip(_LETTERS, options, strict=False) if str(option) != "N/A"]
    return "\n".join([question.strip(), *lines])


def model_name(path: Path) -> str:
    """The model that a results file belongs to."""
    found = _NAME.match(path.name.removesuffix(".zip").removesuffix(".json"))
    return found["model"] if found else path.parent.name


def extracted(text: str) -> str | None:
    """The letter that a model's text names as its answer; None where it names none."""
    for pattern in _EXTRACT:
        if match := pattern.search(text):
            return match[1]
    return None
