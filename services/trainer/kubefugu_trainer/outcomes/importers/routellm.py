"""RouteLLM's benchmark responses (Ong et al. 2024, arXiv 2406.18665): CSV, `prompt, <model>, <model>, ...`, True or False.

The group is the file's name without `mmlu_` and `_responses`. GSM8K's file has a `<model>_response` text beside each model.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from kubefugu_core.errors import DataError
from kubefugu_trainer.outcomes.importers import files
from kubefugu_trainer.outcomes.importers.answers import Answer

_VALUES = {"true": 1.0, "false": 0.0, "1": 1.0, "0": 0.0, "1.0": 1.0, "0.0": 0.0}


def read(sources: Sequence[Path]) -> Iterator[Answer]:
    """Answers of all models. Raises DataError."""
    for path in files.find(sources, ".csv"):
        group = path.stem.removeprefix("mmlu_").removesuffix("_responses")
        for line, row in files.csv_rows(path, "prompt"):
            models = [name for name in row if name not in ("prompt", "") and not name.endswith("_response")]
            if not models:
                raise DataError(f"{path}: no column of a model beside 'prompt'")
            for model in models:
                if row[model] == "":
                    continue
                score = _VALUES.get(row[model].strip().lower())
                if score is None:
                    raise DataError(
                        f"{path}: line {line}: column {model!r}: {row[model][:40]!r} is neither True nor False", field=model
                    )
                yield Answer(row["prompt"], group, model, score)
