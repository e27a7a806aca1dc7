"""The report of a run whose result was compared with the best single worker on held-out items: what spec.publish.gate reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kubefugu_trainer.driver.config import DriverConfig
from kubefugu_trainer.driver.inputs import sha256_of
from kubefugu_trainer.driver.report import Report
from kubefugu_trainer.evaluation.inference import bootstrap_interval


def of_gain(config: DriverConfig, artifact: Path, got: NDArray[Any], single: NDArray[Any], *, message: str) -> Report:
    """The gain over the best single worker on held-out items, shapes (items,), with its interval (bootstrap over items)."""
    low, high = bootstrap_interval(got - single, np.random.default_rng([config.seed, *b"gain"]), level=config.level)
    return Report(
        reason="Trained",
        message=message,
        artifact_uri=artifact.as_uri(),
        artifact_sha256=sha256_of(artifact),
        data_sha256=config.data.sha256,
        score=float(got.mean()),
        baseline=float(single.mean()),
        gain=float((got - single).mean()),
        gain_low=low,
        gain_high=high,
        items=len(got),
    )
