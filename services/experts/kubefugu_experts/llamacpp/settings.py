"""Settings of the llama.cpp host: KUBEFUGU_LLAMACPP_<FIELD>, or the flag of the same name."""

from __future__ import annotations

import os

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from kubefugu_core.settings import ServiceSettings


class LlamaCppSettings(ServiceSettings):
    """What the host can be told."""

    model_config = SettingsConfigDict(
        env_prefix="KUBEFUGU_LLAMACPP_", cli_kebab_case=True, cli_prog_name="kubefugu-llamacpp", cli_implicit_flags=True
    )

    model: str
    """A name of `kubefugu models list`, or a GGUF file."""
    alias: str = ""
    """Model id that /v1/models lists; empty: the model's name."""
    host: str = "127.0.0.1"
    """Address to listen on."""
    port: int = Field(default=8081, ge=0, le=65535)
    """Port to listen on; 0: any free one, which the log names."""
    context_tokens: int = Field(default=4096, ge=256, le=1_048_576)
    """Context of each slot."""
    slots: int = Field(default=2, ge=1, le=64)
    """Requests decoded at the same time; further ones wait."""
    threads: int = Field(default=0, ge=0, le=1024)
    """Threads that compute; 0: half of the cores that this process may use, at least 1. llama.cpp's threads wait for each other
    by spinning: as many as cores on a machine that others use too is many times slower than one."""
    gpu_layers: int = Field(default=0, ge=-1, le=100_000)
    """Layers on a GPU, for builds of xllamacpp that have one; -1: all."""
    max_tokens: int = Field(default=1024, ge=1, le=1_048_576)
    """Most tokens of one answer, also of a request that names more or none."""
    prompt_cache_mib: int = Field(default=256, ge=0, le=1_048_576)
    """Memory for the state of earlier prompts."""

    @property
    def compute_threads(self) -> int:
        """Threads to use."""
        return self.threads or max(1, len(os.sched_getaffinity(0)) // 2)
