"""RouterBench (Hu et al. 2024, arXiv 2403.12031): one wide table, exported as CSV.

Columns: sample_id, prompt, eval_name; for each model `<model>` (its score), `<model>|model_response` and `<model>|total_cost`
(US dollars); oracle_model_to_route_to. A prompt is the text of a Python list with one string a turn. The published pickle is
refused: unpickling a file runs whatever code is in it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from pathlib import Path

from kubefugu_core.errors import DataError
from kubefugu_trainer.outcomes.importers import files
from kubefugu_trainer.outcomes.importers.answers import Answer

_COST = "|total_cost"


def read(sources: Sequence[Path]) -> Iterator[Answer]:
    """Answers of all models with a cost column. Raises DataError."""
    for path in files.find(sources, ".csv"):
        if path.suffix.lower() in (".pkl", ".pickle"):
            raise DataError(
                f"{path}: a pickle runs code when it is opened; export it to CSV first (pandas.read_pickle(...).to_csv(...))",
                field="source",
            )
        models: list[str] | None = None
        for line, row in files.csv_rows(path, "prompt", "eval_name"):
            if models is None:
                models = [name.removesuffix(_COST) for name in row if name.endswith(_COST) and name.removesuffix(_COST) in row]
                if not models:
                    raise DataError(f"{path}: no pair of columns '<model>' and '<model>{_COST}'")
            prompt = prompt_text(row["prompt"])
            for model in models:
                if row[model] == "":
                    continue
                yield Answer(
                    prompt, row["eval_name"], model, _number(row[model], path, line, model),
                    None if row[model + _COST] == "" else _number(row[model + _COST], path, line, model + _COST),
                )  # fmt: skip


def prompt_text(cell: str) -> str:
    """The prompt of a cell: the turns of a Python list of strings, or the text itself."""
    if cell.lstrip().startswith("["):
        try:
            turns = ast.literal_eval(cell.strip())
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            return cell
        if isinstance(turns, list) and turns and all(isinstance(turn, str) for turn in turns):
            return "\n".join(turns)
    return cell


def _number(text: str, path: Path, line: int, column: str) -> float:
    named = {"true": 1.0, "false": 0.0}
    try:
        return named[text.lower()] if text.lower() in named else float(text)
    except ValueError:
        raise DataError(f"{path}: line {line}: column {column!r}: {text[:40]!r} is not a number", field=column) from None
