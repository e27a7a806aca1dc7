"""How much one question may cost."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxLimits:
    """Limits of a child process."""

    answer_cpu_s: float = 5.0
    """Processor time of one answer: what counts on a busy machine. Then the child ends itself."""
    answer_timeout_s: float = 30.0
    """Wall-clock time of one answer; then the child is killed."""
    memory_bytes: int = 4 << 30
    """Address space of a child."""
    start_timeout_s: float = 120.0
    """Until a fresh child has loaded its engines."""
