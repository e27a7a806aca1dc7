"""The documented outcome-table format: parquet or JSON lines, one row a question.

| column | type | |
|---|---|---|
| `prompt` or `messages` | string; or a list of {role, content} | the question; where a row has both, `messages` counts |
| `split` | string | train, test or (optional) valid; the same question may not stand in two splits |
| `score:<worker>` | number in [0, 1] | mean score of that worker's answers; one column a worker, no gaps |
| `group` | string, optional | label of the question (task, field); routers never see it |
| `slice` | string, optional | second label, only for reports |
| `cost:<worker>` | number >= 0, optional | US dollars of one answer |
| `tokens:<worker>` | number >= 0, optional | tokens of one answer, prompt included |
| `repeats:<worker>` | list of numbers in [0, 1], optional | the measurements behind the score, for the cross-fitted oracle |
| `provenance` | string, optional | where the row comes from |

Provenance of the whole table is parquet's key-value metadata under `kubefugu.provenance`, or `<table>.provenance.json` beside a
JSON-lines file; its `models` maps each worker to the model id that was measured. Other columns are carried by nobody.
"""

from __future__ import annotations

PROMPT, MESSAGES, SPLIT, GROUP, SLICE, PROVENANCE = "prompt", "messages", "split", "group", "slice", "provenance"
SCORE, COST, TOKENS, REPEATS = "score:", "cost:", "tokens:", "repeats:"
METADATA_KEY = b"kubefugu.provenance"


def sidecar(path: str) -> str:
    """Path of the provenance file that belongs to a JSON-lines table."""
    return f"{path}.provenance.json"
