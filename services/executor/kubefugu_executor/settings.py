"""Settings of the executor, read from `KUBEFUGU_EXECUTOR_*` and the command line."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from kubefugu_core.settings import ServiceSettings, cache_home


class ExecutorSettings(ServiceSettings):
    """Runs chat requests: asks the router who answers, calls the workers, keeps the decision records."""

    model_config = SettingsConfigDict(
        env_prefix="KUBEFUGU_EXECUTOR_",
        extra="ignore",
        use_attribute_docstrings=True,
        env_ignore_empty=True,
        cli_kebab_case=True,
        cli_prog_name="kubefugu-executor",
        cli_implicit_flags=True,
    )

    pool_file: Path
    """WorkerPool manifest; re-read when it changes, without losing requests in flight."""
    keys_dir: Path | None = None
    """Directory with one API key file for each worker, named after it; re-read on change."""
    listen: str = "127.0.0.1:50052"
    """host:port or unix:/path."""
    router_target: str = "127.0.0.1:50051"
    """gRPC target of the router."""
    conductor_target: str = ""
    """gRPC target of the Conductor; empty: no fugu-ultra."""
    decisions_url: str = ""
    """sqlite:////path, redis://, rediss:// or unix:// (Redis's socket); empty: a SQLite file below KUBEFUGU_HOME."""
    decisions_days: float = Field(default=7.0, gt=0, le=3650)
    """Days that decision records are kept."""
    decisions_max: int = Field(default=100_000, ge=1, le=100_000_000)
    """Most decision records that are kept."""
    state_url: str = ""
    """Where parked workflows and the memory of tool calls are: sqlite:///path, redis://, rediss:// or unix://. Empty: the Redis
    of decisions_url where that is one, else a SQLite file below KUBEFUGU_HOME. Replicas need the same Redis."""
    workflow_key_file: Path | None = None
    """Key that authenticates the tool call ids of workflows, the same on all replicas. Absent: they share one in the store."""
    parked_seconds: float = Field(default=3600.0, gt=0, le=30 * 86_400)
    """How long a workflow waits for tool results."""
    planner_timeout_seconds: float = Field(default=120.0, gt=0, le=3600)
    """Longest wait for a plan; at most two fifths of the request's time are used in any case."""
    recursion_depth: int = Field(default=1, ge=0, le=4)
    """Levels of workflows below the first one, in requests of high effort."""
    workflow_max_tokens: int = Field(default=0, ge=0, le=1_000_000_000)
    """Tokens that one request's workflow may use; 0: unbounded."""
    strengths_file: Path | None = None
    """JSON table of each worker's mean measured score per group of questions, told to the planner."""
    record_content: bool = False
    """True: decision records carry prompts and replies."""
    router_timeout_seconds: float = Field(default=5.0, gt=0, le=300)
    """Longest wait for one routing decision."""
    progress_seconds: float = Field(default=8.0, gt=0, le=10)
    """Seconds between signs of life while a multi-turn answer is in the making."""
    max_in_flight: int = Field(default=2048, ge=1, le=1_000_000)
    """Requests at the same time; further ones are refused as overloaded."""

    def state_store_url(self) -> str:
        """state_url, or its default."""
        shared = self.decisions_url if self.decisions_url.startswith(("redis", "unix")) else ""
        return self.state_url or shared or f"sqlite:///{cache_home() / 'executor' / 'state.db'}"

    def store_url(self) -> str:
        """decisions_url, or its default."""
        return self.decisions_url or f"sqlite:///{cache_home() / 'executor' / 'decisions.db'}"
