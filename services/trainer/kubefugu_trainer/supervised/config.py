"""Configuration of a supervised run; its JSON is frozen into the run directory."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from kubefugu_trainer.supervised.fit import Schedule, Setting, Sharpness

TAUS = (0.05, 0.15, 0.4, 1.0)
PENALTIES = (1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1)
RIDGE_PENALTIES = tuple(float(10.0**e) for e in (-3, -2.5, -2, -1.5, -1, -0.5, 0, 0.5, 1, 1.5, 2, 3))
"""Penalties of least squares; at the largest one only the workers' means are left."""
SHARES = (0.25, 0.5, 0.75, 1.0)
"""Shares of the mean over a kind in a target that are tried; none at all is tried, too."""
SHARPNESS = tuple(Sharpness(spread, penalty) for spread in (3.0, 8.0) for penalty in (1e-4, 1e-3, 1e-2))
"""What is tried where the expected reward itself is maximised."""
STRENGTHS = (0.0, 3.0, 30.0)
"""How dear it is made to rely on what moves with a question's wording."""


class SupervisedConfig(BaseModel):
    """What a supervised run does."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    data: str
    """Outcome table."""
    backbone: str
    """Hub id, directory, GGUF file or catalogue name."""
    workers: tuple[str, ...] | None = None
    """Workers to learn, in the order of the head's rows; None: all of the table."""
    input_format: Literal["auto", "raw", "chat"] = "auto"
    """Input format; auto compares both on training rows."""
    seed: int = Field(default=42, ge=0)
    """Seed of folds, batches and draws."""
    folds: int = Field(default=5, ge=2, le=20)
    """Folds that validation is carved into from the training rows (a `valid` split is used as one more training part)."""
    taus: tuple[float, ...] = Field(default=TAUS, min_length=1)
    """Temperatures of the targets that are tried."""
    penalties: tuple[float, ...] = Field(default=PENALTIES, min_length=1)
    """Penalties that are tried with each temperature."""
    epochs: int = Field(default=40, ge=1)
    """Most epochs of a fit."""
    batch_rows: int = Field(default=128, ge=1)
    """Rows of a mini-batch."""
    learning_rate: float = Field(default=3e-3, gt=0)
    """Learning rate."""
    patience: int = Field(default=6, ge=1)
    """Epochs without progress after which a fit stops."""
    cost_weight: float = Field(default=0.0, ge=0)
    """How much of a score the dearest worker's mean cost is worth; 0: costs don't count."""
    format_rows: int = Field(default=600, ge=50)
    """Training rows on which `auto` compares the formats."""
    wording_rows: int = Field(default=150, ge=0)
    """Training rows of which disturbed wordings are read, so that the head does not rely on wording; 0: none."""
    strengths: tuple[float, ...] = Field(default=STRENGTHS, min_length=1)
    """How much it is penalised to rely on wording; the steadiest that costs no reward is taken."""
    least_steps: int = Field(default=600, ge=0)
    """Optimiser steps that a fit may take in any case: a small table's epochs are few steps."""

    @property
    def settings(self) -> tuple[Setting, ...]:
        """The grid."""
        return tuple(Setting(tau, penalty) for tau in self.taus for penalty in self.penalties)

    @property
    def schedule(self) -> Schedule:
        """Schedule of each fit."""
        return Schedule(
            epochs=self.epochs,
            batch_rows=self.batch_rows,
            learning_rate=self.learning_rate,
            patience=self.patience,
            least_steps=self.least_steps,
        )


class SvfConfig(BaseModel):
    """How singular-value offsets are moved after the head has been fitted; frozen apart, where it is asked for."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    rows: int = Field(default=400, ge=20)
    """Most training rows of it: their hidden states are kept in memory."""
    epochs: int = Field(default=25, ge=1)
    """Most epochs."""
    batch_rows: int = Field(default=20, ge=1)
    """Rows of a mini-batch."""
    learning_rate: float = Field(default=1e-2, gt=0)
    """Of Adam."""
    patience: int = Field(default=5, ge=1)
    """Epochs without a lower KL on the rows kept for stopping after which a fit stops."""
