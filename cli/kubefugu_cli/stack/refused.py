"""A router whose declared head does not load never becomes ready. Its admin service says why, long before a timeout would."""

from __future__ import annotations

import time

from kubefugu.router.v1 import router_pb2
from kubefugu_cli.clients.services import RouterClient
from kubefugu_cli.stack.layout import StackLayout
from kubefugu_cli.stack.model import ComponentPhase, StackState
from kubefugu_cli.stack.plan import ROUTER
from kubefugu_core.errors import KubefuguError

_TIMEOUT_S = 0.5


class RefusalWatch:
    """Asks a starting router now and then whether it refused its active policy."""

    def __init__(self, layout: StackLayout, *, interval_s: float = 1.0) -> None:
        self._client = RouterClient(layout.target(ROUTER), timeout_s=_TIMEOUT_S)
        self._interval_s = interval_s
        self._next_at = time.monotonic() + interval_s

    def look(self, state: StackState) -> str:
        """The sentence of a refusal; empty where there is none, or where it is not time to ask."""
        router = state.component(ROUTER)
        if router is None or router.phase is not ComponentPhase.STARTING or time.monotonic() < self._next_at:
            return ""
        self._next_at = time.monotonic() + self._interval_s
        try:
            reply = self._client.get_policies()
        except KubefuguError:  # it is still loading
            return ""
        return refusal(reply)


def refusal(reply: router_pb2.GetPoliciesResponse) -> str:
    """What was refused and why, where nothing else serves; empty otherwise."""
    if reply.serving_generation:
        return ""
    refused = [policy for policy in reply.policies if policy.state == router_pb2.POLICY_STATE_REFUSED]
    return " ".join(f"The router refuses the policy {policy.version}: {policy.message}" for policy in refused)
