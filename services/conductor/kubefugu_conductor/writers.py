"""Who writes plans: a worker of the pool behind its API, or a model in this process (`local.py`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from kubefugu_coordination.clock import Deadline
from kubefugu_coordination.workers import TokenUsage, WorkerClient
from kubefugu_coordination.workflow.planner_prompt import PromptStyle
from kubefugu_core.pool import Capability, WorkerSpec

LOCAL_PLANNER = "@local"
"""Name of the planner in the Conductor's own process. Not a possible worker name, so it can't collide with a pool's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Writing:
    """One call of a planner."""

    messages: Sequence[Mapping[str, str]]
    max_tokens: int
    temperature: float
    seed: int | None
    """None: the writer's own choice."""
    schema: Mapping[str, Any] | None = None
    """JSON schema to decode under; only for a writer with `schemas`."""


@dataclass(frozen=True, slots=True)
class Written:
    """What a planner wrote, and what it took."""

    text: str
    usage: TokenUsage
    cost_usd: float


class PlanWriter(Protocol):
    """A language model that can be asked for a plan."""

    name: str
    version: str
    """Of a trained Conductor in a line of versions; empty for any other planner."""
    style: PromptStyle
    """How much it is told."""
    max_steps: int
    """Most steps that it was made for; 0: any."""
    context_tokens: int
    schemas: bool
    """True: it can decode under a JSON schema."""

    @property
    def identity(self) -> object:
        """Equal for the same model behind the same endpoint."""
        ...

    async def write(self, writing: Writing, *, deadline: Deadline) -> Written:
        """One reply. Raises what worker clients raise, and DeadlineExceededError."""
        ...


class WorkerWriter:
    """A worker of the pool."""

    style = PromptStyle.FULL
    version = ""
    max_steps = 0

    def __init__(self, client: WorkerClient) -> None:
        self._client = client
        self.name = client.name
        self.context_tokens = client.spec.context_tokens
        self.schemas = Capability.JSON_SCHEMA in client.spec.capabilities

    @property
    def identity(self) -> WorkerSpec:
        """A changed pool entry is another planner."""
        return self._client.spec

    async def write(self, writing: Writing, *, deadline: Deadline) -> Written:
        """See PlanWriter."""
        body: dict[str, Any] = {
            "messages": list(writing.messages),
            "max_tokens": writing.max_tokens,
            "temperature": writing.temperature,
        }
        if writing.seed is not None:
            body["seed"] = writing.seed
        if writing.schema is not None:
            body["response_format"] = {"type": "json_schema", "json_schema": {"name": "plan", "schema": writing.schema}}
        reply = await self._client.complete(body, deadline=deadline)
        return Written(reply.text, reply.usage, reply.cost_usd)
