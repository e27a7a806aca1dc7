"""Settings of a service: a pydantic model read from the environment (`KUBEFUGU_<SERVICE>_<FIELD>`) by its composition root.

Nothing here reads the environment at import time. A service subclasses `ServiceSettings`, sets its own prefix and documents
each field with a docstring; `kubefugu-<service> --help` prints them.
"""

from __future__ import annotations

import os
from pathlib import Path

from pydantic_settings import BaseSettings, SettingsConfigDict


class ServiceSettings(BaseSettings):
    """What every service has."""

    model_config = SettingsConfigDict(
        env_prefix="KUBEFUGU_", extra="ignore", use_attribute_docstrings=True, env_ignore_empty=True
    )

    log_level: str = "info"
    """debug, info, warning or error. Prompts and replies are never logged unless `log_content` is set too."""
    log_format: str = "json"
    """json or console."""
    log_content: bool = False
    """True: debug lines may carry prompts and replies."""
    metrics_port: int = 0
    """Port of the Prometheus endpoint; 0: none."""
    drain_seconds: float = 10.0
    """Grace for calls in flight after SIGTERM."""


def cache_home() -> Path:
    """`KUBEFUGU_HOME`, default ~/.cache/kubefugu: models, factor bundles, features, run state."""
    return Path(os.environ.get("KUBEFUGU_HOME") or Path.home() / ".cache" / "kubefugu")
