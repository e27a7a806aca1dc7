"""Settings of the Conductor, read from `KUBEFUGU_CONDUCTOR_*` and the command line."""

from __future__ import annotations

from pathlib import Path

from pydantic_settings import SettingsConfigDict

from kubefugu_core.settings import ServiceSettings


class ConductorSettings(ServiceSettings):
    """Plans workflows over a pool: a query and the offered workers in, a validated workflow out."""

    model_config = SettingsConfigDict(
        env_prefix="KUBEFUGU_CONDUCTOR_",
        extra="ignore",
        use_attribute_docstrings=True,
        env_ignore_empty=True,
        cli_kebab_case=True,
        cli_prog_name="kubefugu-conductor",
    )

    pool_file: Path
    """WorkerPool manifest; re-read when it changes."""
    keys_dir: Path | None = None
    """Directory with one API key file for each worker, named after it; re-read on change."""
    planner: str = ""
    """Worker that plans where neither the request nor the pool names one. Empty: the first worker that declares jsonSchema and
    is no specialist, else the first one that is no specialist."""
    listen: str = "127.0.0.1:50053"
    """host:port or unix:/path."""
    max_output_tokens: int = 1024
    """Bound of one planner call's output where the request sets none."""
    max_subtask_chars: int = 400
    """Longest subtask under constrained decoding; keeps a weak planner from rambling up to its token limit. 0: unbounded."""
    temperature: float = 0.0
    """Sampling temperature of the planner."""
    constrained: bool = True
    """Decode under the plan's JSON schema where the planner's worker declares jsonSchema."""
