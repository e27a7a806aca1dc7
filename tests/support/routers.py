"""A router that decides on script, for tests of the loop's own rules."""

from __future__ import annotations

from collections import deque

from kubefugu_coordination.clock import Deadline
from kubefugu_coordination.loop.router import Decision, RoleScore, RouteQuery, Score
from kubefugu_core.errors import KubefuguError
from kubefugu_core.pool import Role

ROLES = tuple(RoleScore(role, 0.0, 1 / 3) for role in Role)


def decide(
    worker: str, role: str = "solver", *, order: tuple[str, ...] = (), roles: bool = True, trained: bool = True
) -> Decision:
    """A decision for `worker` in `role`; `order` ranks the others behind it."""
    ranked = (worker, *(name for name in order if name != worker))
    scores = tuple(Score(name, 1 / (n + 1), -float(n) if trained else None, trained) for n, name in enumerate(ranked))
    return Decision("policy-1", worker, Role(role), scores, ROLES if roles else (), input_tokens=10)


class ScriptedRouter:
    """Answers with the next decision of its script (an error is raised); the last one is repeated. Notes every query."""

    def __init__(self, *script: Decision | KubefuguError) -> None:
        self._script = deque(script)
        self.queries: list[RouteQuery] = []

    async def route(self, query: RouteQuery, *, deadline: Deadline) -> Decision:
        self.queries.append(query)
        step = self._script.popleft() if len(self._script) > 1 else self._script[0]
        if isinstance(step, KubefuguError):
            raise step
        return step
