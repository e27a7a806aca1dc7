"""What a request's events have told so far, and the response headers made of it. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from kubefugu.executor.v1 import executor_pb2
from kubefugu_gateway.progress import role_name

Header = tuple[bytes, bytes]


@dataclass(slots=True, kw_only=True)
class Observed:
    """The worker that speaks now, and how many turns began."""

    worker: str = ""
    role: str | None = None
    policy_version: str = ""
    turns: set[int] = field(default_factory=set)
    done: executor_pb2.Done | None = None

    def take(self, event: executor_pb2.ExecuteResponse) -> None:
        """Learn from one event; a failover's later attempt replaces the worker."""
        kind = event.WhichOneof("event")
        if kind == "turn_started":
            started = event.turn_started
            self.worker, self.role, self.policy_version = started.worker, role_name(started.role), started.policy_version
            self.turns.add(started.turn)
        elif kind == "routed":
            routed = event.routed
            self.worker, self.role, self.policy_version = routed.worker, role_name(routed.role), routed.policy_version
        elif kind == "done":
            done = self.done = event.done
            self.worker, self.role = done.worker or self.worker, role_name(done.role) or self.role
            self.policy_version = done.policy_version or self.policy_version

    def headers(self, *, final: bool) -> list[Header]:
        """x-kubefugu-* headers. The number of turns is only told where it is `final`."""
        turns = ""
        if final:
            turns = str(self.done.turns if self.done is not None and self.done.turns else len(self.turns) or "")
        named = (
            (b"x-kubefugu-worker", self.worker),
            (b"x-kubefugu-role", self.role or ""),
            (b"x-kubefugu-policy-version", self.policy_version),
            (b"x-kubefugu-turns", turns),
        )
        return [(name, _safe(value)) for name, value in named if value]


def _safe(value: str) -> bytes:
    """Header bytes: printable ASCII only, so that no name can break the head of the response."""
    return "".join(char if " " <= char <= "~" else "?" for char in value[:256]).encode()
