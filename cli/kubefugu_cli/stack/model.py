"""The two documents of a stack: the plan (what is to run) and the state (what runs). Both are JSON files of its folder."""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

_Model = TypeVar("_Model", bound=BaseModel)


class Document(BaseModel):
    """Base of the documents: attribute docstrings are the docs, unknown fields of other versions are ignored."""

    model_config = ConfigDict(use_attribute_docstrings=True, extra="ignore")


class Probe(Document):
    """How a process is asked whether it can work now."""

    kind: Literal["http", "grpc"]
    """http: a GET that answers 200; grpc: the health service says SERVING."""
    target: str
    """URL, or gRPC address."""


class Component(Document):
    """A process of the stack."""

    name: str
    """Unique in the stack; names the log file."""
    argv: tuple[str, ...]
    """Command line."""
    env: dict[str, str] = Field(default_factory=dict)
    """Added to the environment of `kubefugu up`. Holds no secrets: it is written to disk."""
    probe: Probe
    """Readiness."""
    after: tuple[str, ...] = ()
    """Components that must be ready before this one is started."""
    port: int | None = None
    """TCP port it listens on, if any."""
    tier: int = 0
    """At the end of the stack higher tiers are ended first."""
    required: bool = True
    """False: when it does not come up, the stack goes on without it and says so."""
    ready_timeout_s: float = 300.0
    """Until the first readiness."""


class LeftOut(Document):
    """A worker that was left out, and why."""

    worker: str
    """Name in the pool."""
    reason: str
    """A sentence."""


class StackPlan(Document):
    """Everything the supervisor needs."""

    name: str
    """Name of the stack."""
    url: str
    """Address of the gateway."""
    pool: str
    """Pool file as given by the user."""
    pool_name: str
    """metadata.name of the pool."""
    components: tuple[Component, ...]
    """The processes."""
    left_out: tuple[LeftOut, ...] = ()
    """Workers of the pool that this stack does not have."""
    policy_generation: int = 0
    """Generation of the policy set that `up` declared; 0: it declared none."""


class ComponentPhase(StrEnum):
    """State of a process."""

    WAITING = "waiting"
    """For another component."""
    STARTING = "starting"
    """Runs, not ready yet."""
    READY = "ready"
    """Answered its probe."""
    RESTARTING = "restarting"
    """Ended by itself; waits for its backoff."""
    FAILED = "failed"
    """Did not come up."""
    STOPPED = "stopped"
    """Ended on request."""


class ComponentState(Document):
    """A process as it is."""

    name: str
    """As in the plan."""
    phase: ComponentPhase = ComponentPhase.WAITING
    """State."""
    pid: int | None = None
    """Process id while it runs."""
    created: float | None = None
    """Creation time of the process, seconds since the epoch; pid and it together name a process for good."""
    port: int | None = None
    """TCP port, if any."""
    restarts: int = 0
    """Times that it ended by itself after it had been ready."""
    since: float = 0.0
    """Start of this phase, seconds since the epoch."""
    started_s: float | None = None
    """Seconds from its start to its first readiness."""
    message: str = ""
    """The last thing that went wrong, a sentence."""


class StackPhase(StrEnum):
    """State of a stack."""

    STARTING = "starting"
    READY = "ready"
    STOPPING = "stopping"
    STOPPED = "stopped"
    FAILED = "failed"


class ProcessRef(Document):
    """A process that is meant and no later one with the same pid."""

    pid: int
    """Process id."""
    created: float
    """Creation time, seconds since the epoch."""


class StackState(Document):
    """A stack as it is."""

    name: str
    """Name of the stack."""
    url: str
    """Address of the gateway."""
    pool: str
    """Pool file as given by the user."""
    pool_name: str
    """metadata.name of the pool."""
    phase: StackPhase = StackPhase.STARTING
    """State."""
    supervisor: ProcessRef
    """The process that keeps the others."""
    guardian: ProcessRef | None = None
    """The process that ends the others should the supervisor be killed."""
    started_at: float = 0.0
    """Seconds since the epoch."""
    components: tuple[ComponentState, ...] = ()
    """The processes."""
    left_out: tuple[LeftOut, ...] = ()
    """Workers of the pool that this stack does not have."""
    message: str = ""
    """Why it failed, a sentence."""

    def component(self, name: str) -> ComponentState | None:
        """The state of one process, None where the stack has no such process."""
        return next((component for component in self.components if component.name == name), None)


def write_document(path: Path, document: BaseModel) -> None:
    """Replace a file as a whole; a reader never sees half of it."""
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    aside.write_text(document.model_dump_json(indent=1), encoding="utf-8")
    aside.replace(path)


def read_document(path: Path, kind: type[_Model]) -> _Model | None:
    """Read a document; None where the file is absent or is none of ours."""
    try:
        return kind.model_validate_json(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValidationError):
        return None
