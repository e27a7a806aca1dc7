"""Parked workflows: kept under their id and tenant until the tool results come, on whichever replica they do.

A workflow stays parked after it was taken up again, until it expires: a client that repeats a request whose answer it lost gets
an answer, not an error.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field

import orjson
import structlog

from kubefugu_coordination.workflow.state import ParkedWorkflow
from kubefugu_coordination.workflow.tool_ids import MAX_CALLS, WORKFLOW_ID_BYTES, ToolCallIds
from kubefugu_core.errors import BudgetExceededError, WorkflowExpiredError
from kubefugu_core.stores.state import StateStore, state_key

_log = structlog.get_logger()
_SECRET_KEY = state_key("secret", "", "tool-call-ids")
GONE = "These tool results belong to a workflow that no longer waits for them (it has expired) or that does not exist."


class ParkingLot:
    """Stores parked workflows and mints their tool call ids."""

    def __init__(self, store: StateStore, *, secret: bytes, ttl_s: float) -> None:
        self._store = store
        self.ids = ToolCallIds(secret)
        self.ttl_s = ttl_s

    @classmethod
    async def open(cls, store: StateStore, *, ttl_s: float, secret: bytes | None = None) -> ParkingLot:
        """Without a secret of its own, all replicas share one that the first of them put into the store."""
        if secret is None:
            secret = await store.put_once(_SECRET_KEY, secrets.token_bytes(32))
        return cls(store, secret=secret, ttl_s=ttl_s)

    async def park(self, tenant: str, workflow_id: str, workflow: ParkedWorkflow) -> None:
        """Keep it. Raises UnavailableError: without it the tool results would lead nowhere."""
        value = orjson.dumps(workflow.to_json())
        await self._store.put(state_key("workflow", tenant, workflow_id), value, ttl_s=self.ttl_s)

    async def fetch(self, tenant: str, workflow_id: str) -> ParkedWorkflow:
        """The workflow. Raises WorkflowExpiredError, UnavailableError."""
        value = await self._store.get(state_key("workflow", tenant, workflow_id))
        if value is None:
            raise WorkflowExpiredError(GONE, field="messages")
        try:
            return ParkedWorkflow.from_json(orjson.loads(value))
        except (ValueError, KeyError, TypeError) as error:
            _log.error("parked_workflow_unreadable", workflow=workflow_id, reason=str(error))
            raise WorkflowExpiredError(GONE, field="messages") from error


@dataclass(slots=True)
class OpenCalls:
    """Tool calls that one request's workflow hands to the client, numbered across all its steps."""

    ids: ToolCallIds
    tenant: str
    workflow_id: str = field(default_factory=lambda: secrets.token_hex(WORKFLOW_ID_BYTES))
    _next: int = 0

    def add(self) -> tuple[int, str]:
        """Number and client id of one more call. Raises BudgetExceededError past the bound of one workflow."""
        if self._next >= MAX_CALLS:
            raise BudgetExceededError(f"A workflow waits for at most {MAX_CALLS} tool calls.")
        number = self._next
        self._next += 1
        return number, self.ids.mint(self.tenant, self.workflow_id, number)
