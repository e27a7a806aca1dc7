"""The frozen configuration of a run, as the operator writes it into the run's snapshot (config.json)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.alias_generators import to_camel

from kubefugu_core.errors import DataError


class _Part(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="ignore", frozen=True)


class RunIdentity(_Part):
    """Which run this is."""

    uid: str
    name: str


class BackboneRef(_Part):
    """Whose hidden state is read."""

    ref: str
    revision: str = ""
    bundle_url: str = ""
    bundle_sha256: str = ""

    @property
    def loadable(self) -> str:
        """Reference as load_backbone takes it."""
        return f"{self.ref}@{self.revision}" if self.revision else self.ref


class DataRef(_Part):
    """The outcome table, or the file of questions: a path or URL, and its checksum."""

    location: str
    sha256: str


class StorageRef(_Part):
    """Where the run's directory is."""

    directory: Path
    url: str = ""


class Budget(_Part):
    """What the run may spend."""

    max_seconds: float = 0.0
    """Training time; 0: no limit."""
    max_cost_usd: float = 0.0
    """US dollars for the worker calls of training; 0: no limit."""


class DriverConfig(_Part):
    """Everything that decides the result."""

    run: RunIdentity
    algorithm: str
    """supervised, sepCmaEs or grpo."""
    parameters: dict[str, Any] = {}
    backbone: BackboneRef
    input_format: str = "auto"
    data: DataRef
    pool: Path
    workers: tuple[str, ...] = ()
    seed: int = 42
    storage: StorageRef
    budget: Budget = Budget()
    evaluators: bool = False
    """True: candidates are measured by evaluator processes over the broker."""
    confidence: float = 0.95
    """Level of the gain's interval; 0 stands for the default."""

    @property
    def level(self) -> float:
        """Level of the gain's interval."""
        return self.confidence or 0.95


def read_config(path: Path) -> DriverConfig:
    """Read config.json. Raises DataError that names the field."""
    try:
        return DriverConfig.model_validate_json(path.read_bytes())
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}") from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        raise DataError(f"{path}: {field}: {first['msg']}", field=field) from error
