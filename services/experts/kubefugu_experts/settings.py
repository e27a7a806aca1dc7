"""Settings of the experts process: KUBEFUGU_EXPERTS_<FIELD>, or the flag of the same name."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from kubefugu_core.settings import ServiceSettings
from kubefugu_experts.sandbox.limits import SandboxLimits


class ExpertsSettings(ServiceSettings):
    """What the experts process can be told."""

    model_config = SettingsConfigDict(
        env_prefix="KUBEFUGU_EXPERTS_", cli_kebab_case=True, cli_prog_name="kubefugu-experts", cli_implicit_flags=True
    )

    host: str = "127.0.0.1"
    """Address to listen on."""
    port: int = Field(default=8090, ge=0, le=65535)
    """Port to listen on; 0: any free one, which the log names."""
    engines: str = "all"
    """Comma-separated names of the engines to run: algebra, units, geography, definitions, logic, dates; or all."""
    children: int = Field(default=2, ge=1, le=256)
    """Questions answered at the same time, each in a process of its own."""
    answer_cpu_seconds: float = Field(default=5.0, gt=0, le=600)
    """Processor time for one answer; a question that needs more is declined."""
    answer_timeout_seconds: float = Field(default=30.0, gt=0, le=600)
    """Wall-clock time for one answer; a question that needs more is declined."""
    child_memory_mib: int = Field(default=4096, ge=512, le=1_048_576)
    """Address space of a child process."""
    max_in_flight: int = Field(default=256, ge=1, le=100_000)
    """Questions answered or waiting; further ones get 503."""

    @property
    def limits(self) -> SandboxLimits:
        """Limits of one question."""
        return SandboxLimits(
            answer_cpu_s=self.answer_cpu_seconds,
            answer_timeout_s=self.answer_timeout_seconds,
            memory_bytes=self.child_memory_mib << 20,
        )
