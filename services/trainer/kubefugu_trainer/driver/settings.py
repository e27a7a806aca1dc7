"""What the cluster gives a driver, not the run: where evaluators are reached, where workers' keys are mounted."""

from __future__ import annotations

from pathlib import Path

from pydantic_settings import SettingsConfigDict

from kubefugu_coordination.workers.endpoint import KeySource
from kubefugu_core.errors import DataError
from kubefugu_core.settings import ServiceSettings
from kubefugu_trainer.driver.config import DriverConfig


class DriverSettings(ServiceSettings):
    """Read from the environment when a run begins."""

    model_config = SettingsConfigDict(env_prefix="KUBEFUGU_TRAINER_")

    broker: str = ""
    """Redis URL of the evaluators' broker; needed where a run asks for evaluators."""
    keys_dir: Path | None = None
    """Directory with one key file per worker name, re-read when it changes; none: keys come from where the pool says."""
    device: str = "auto"
    """Where a Conductor is trained: auto (cuda where there is one), cpu or cuda."""


def broker_of(config: DriverConfig) -> str | None:
    """The broker, where the run asks for evaluators. Raises DataError where there is none then."""
    if not config.evaluators:
        return None
    broker = DriverSettings().broker
    if not broker:
        raise DataError("The run asks for evaluators, but there is no broker: set KUBEFUGU_TRAINER_BROKER.", field="evaluators")
    return broker


def keys_of_workers() -> KeySource | None:
    """Keys of the workers that a run calls; None: where the pool's manifest says."""
    folder = DriverSettings().keys_dir
    return KeySource(keys_dir=folder) if folder is not None else None
