"""What workers are good at, from measured outcomes: a table's mean scores per worker and group. Pure."""

from __future__ import annotations

import numpy as np

from kubefugu_core.errors import DataError
from kubefugu_trainer.outcomes.table import OutcomeTable


def strengths_of(table: OutcomeTable, *, least: int = 10) -> dict[str, dict[str, float]]:
    """Worker -> group -> mean score in [0, 1], rounded to 0.01, over all splits; groups of fewer than `least` rows stay out.

    A score that rounds to 0 says what a worker is no good at, which its silence says as well: it is left out.
    Raises DataError where the table has no groups.
    """
    if table.groups is None:
        raise DataError("The outcome table has no group column, so there are no strengths to tell.", field="group")
    groups = np.asarray(table.groups, dtype=object)
    found: dict[str, dict[str, float]] = {}
    for column, worker in enumerate(table.workers):
        means = {
            str(group): round(float(table.scores[groups == group, column].mean()), 2)
            for group in sorted(set(table.groups))
            if int((groups == group).sum()) >= least
        }
        found[worker] = {group: mean for group, mean in means.items() if mean > 0}
    return found
