"""Settings of workflows that belong to the service, not to a pool."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowSettings:
    """How workflows are planned and run."""

    planner_timeout_s: float = 120.0
    """Longest wait for a plan, its repair turn included."""
    planner_share: float = 0.4
    """Share of the request's time that planning may take at most; the rest is for the workers."""
    recursion_depth: int = 1
    """Levels of workflows below the first one, where the request's effort is high; otherwise none."""
    steps_factor: int = 4
    """All workflows of a request together may have so many times the steps of one."""
    max_tokens: int = 0
    """Tokens that a request's workflow may use, input and output; 0: unbounded."""
    step_max_tokens: int = 0
    """Longest reply of a step that is not the answer; the client's max_tokens is about the answer alone. 0: no bound."""
    failover: bool = True
    """A step whose worker fails or declines is given to another one. Off in training: a plan is judged by its own choice."""
    first_try_share: float = 0.6
    """Share of a step's time that its first worker gets where another one could be asked."""
    progress_s: float = 8.0
    """Seconds between signs of life."""
    router_timeout_s: float = 5.0
    """Longest wait for the router's ranking when a step fails over."""
    parked_ttl_s: float = 3600.0
    """How long a workflow waits for tool results."""
    keep_text: bool = False
    """True: replies are kept for decision records with content."""


DEFAULT_SETTINGS = WorkflowSettings()
