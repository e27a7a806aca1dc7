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
    model: str = ""
    """A planner in this process (needs the extra `local`): hub id, directory, GGUF file or a name of `kubefugu models`.
    It plans where neither request nor pool names a worker; they call it @local."""
    artifact_url: str = ""
    """A trained Conductor to put into `model`: a path on this machine, or a URL below an allowed prefix."""
    artifact_sha256: str = ""
    """The artifact's checksum; required for a URL."""
    allowed_uri_prefixes: tuple[str, ...] = ()
    """URL prefixes that artifacts may come from, as a JSON array; the folder of policy_set_file is always one."""
    policy_set_file: Path | None = None
    """A declared line of trained Conductors for `model` (in a cluster a mounted ConfigMap), followed while serving. Until it
    declares one, workers of the pool plan."""
    watch_seconds: float = 1.0
    """How often the file is looked at."""
    device: str = "cpu"
    """Device of the planner in this process: cpu, cuda, cuda:N or auto."""
    dtype: str = "auto"
    """Its weights: float32, bfloat16 or auto (bfloat16 on a GPU)."""
    threads: int = 0
    """Its threads; 0: torch's default."""
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
