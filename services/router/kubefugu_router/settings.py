"""Settings of the router, read from `KUBEFUGU_ROUTER_*` and the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from kubefugu_core.settings import ServiceSettings


class RouterSettings(ServiceSettings):
    """Decides which worker acts next and in which role."""

    model_config = SettingsConfigDict(
        env_prefix="KUBEFUGU_ROUTER_",
        extra="ignore",
        use_attribute_docstrings=True,
        env_ignore_empty=True,
        cli_kebab_case=True,
        cli_prog_name="kubefugu-router",
    )

    listen: str = "127.0.0.1:50051"
    """host:port or unix:/path."""
    backbone: str = "smollm2-135m-instruct"
    """Hub id, directory, GGUF file or a name of `kubefugu models`."""
    host: Literal["inprocess", "triton"] = "inprocess"
    """Where the engine runs: in this process, or behind a Triton server."""
    triton_target: str = "127.0.0.1:8001"
    """Triton's gRPC address (host triton)."""
    triton_stage_dir: Path | None = None
    """Folder shared with the Triton server, where policies are staged (host triton)."""
    device: str = "auto"
    """cpu, cuda, cuda:N or auto (in process)."""
    dtype: str = "auto"
    """float32, bfloat16 or auto: bfloat16 on a GPU, else float32 (in process)."""
    threads: int = Field(default=0, ge=0, le=512)
    """Threads of the engine on a CPU; 0: the cores, at most eight."""
    max_input_tokens: int = Field(default=1024, ge=64, le=131_072)
    """Longest router input; a longer transcript keeps its head (a quarter) and its tail, and the decision says so. On a CPU a
    thousand tokens cost seconds; on a GPU 4096 are cheap."""
    kv_cache_mib: int = Field(default=512, ge=0, le=1_048_576)
    """Bound of the prefix cache, in MiB; 0: none (in process)."""
    max_step_tokens: int = Field(default=0, ge=0, le=1_048_576)
    """Tokens of one engine step, so that a long transcript does not stall short ones; 0: 512 on a CPU, 8192 on a GPU."""
    max_queue_requests: int = Field(default=512, ge=1, le=100_000)
    """Requests that wait for the engine; further ones are told UNAVAILABLE at once."""
    policy_set_file: Path | None = None
    """JSON of the declared PolicySet; watched for changes."""
    pool_file: Path | None = None
    """WorkerPool manifest; where it is given, a policy that doesn't belong to the pool is refused when it is loaded."""
    state_dir: Path | None = None
    """Artifacts and the last accepted policy set survive a restart here; absent: nothing does."""
    allowed_uri_prefixes: tuple[str, ...] = ()
    """URL prefixes that artifacts and factor bundles may come from. The policy set file's own folder is always allowed."""
    admin_token_file: Path | None = None
    """File with the bearer token of the admin calls, re-read on change; absent: no token is asked for."""
    keep_resident: int = Field(default=4, ge=0, le=64)
    """Versions no longer named that stay loaded, so that a rollback is immediate."""
    watch_seconds: float = Field(default=1.0, gt=0, le=3600)
    """Interval at which the policy set file is looked at."""
    pulse_seconds: float = Field(default=10.0, gt=0, le=3600)
    """Interval of the real inference that health stands on."""
    reflection: bool = False
    """True: serve gRPC reflection."""
