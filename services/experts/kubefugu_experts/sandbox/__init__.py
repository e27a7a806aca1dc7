"""Engines run in child processes that can be killed: a computer algebra system or a solver may need for ever."""

from kubefugu_experts.sandbox.limits import SandboxLimits
from kubefugu_experts.sandbox.pool import Sandbox

__all__ = ["Sandbox", "SandboxLimits"]
