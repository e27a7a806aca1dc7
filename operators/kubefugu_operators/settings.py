"""Settings of the operator (KUBEFUGU_OPERATOR_*). The chart sets them; `--help` lists them."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field
from pydantic_settings import CliApp, SettingsConfigDict

from kubefugu_core.settings import ServiceSettings


class OperatorSettings(ServiceSettings):
    """What the operator can be told."""

    model_config = SettingsConfigDict(
        env_prefix="KUBEFUGU_OPERATOR_",
        extra="ignore",
        use_attribute_docstrings=True,
        env_ignore_empty=True,
        cli_kebab_case=True,
        cli_prog_name="kubefugu-operator",
    )

    namespaces: str = ""
    """Namespaces to serve, separated by commas; empty: every namespace (needs cluster-wide permissions)."""
    kubeconfig: str = ""
    """A kubeconfig file; empty: the pod's service account."""
    http_host: str = "0.0.0.0"  # noqa: S104
    """Address of /healthz, /readyz and /metrics."""
    http_port: int = Field(default=8080, ge=0, le=65535)
    """Port of /healthz, /readyz and /metrics; 0: a free one."""
    workers: int = Field(default=8, ge=1, le=256)
    """Objects that are worked on at the same time."""
    resync_seconds: float = Field(default=300.0, gt=0)
    """Every object is looked at this often, events or not; also how often watches are checked against a listing."""
    watch_grace_seconds: float = Field(default=60.0, gt=0)
    """A watch that has not delivered what a listing shows after this time counts as dead."""
    probe_seconds: float = Field(default=15.0, gt=0)
    """Interval of worker probes."""
    poll_seconds: float = Field(default=5.0, gt=0)
    """Interval at which routers, executors and training drivers are asked."""
    router_port: int = 50051
    """gRPC port of router pods."""
    executor_port: int = 50052
    """gRPC port of executor pods."""
    conductor_port: int = 50053
    """gRPC port of Conductor pods."""
    router_directory: str = "/etc/kubefugu/policies"
    """Folder in which router and Conductor pods mount the declared policy set."""
    admin_token_file: Path | None = None
    """File with the token for the routers' admin service; re-read at each call."""
    admin_token_secret: str = ""
    """Secret that the operator makes, with a random token, where there is none; empty: it makes none."""
    deployment: str = ""
    """Name of the operator's own Deployment, which owns that Secret."""
    pod_namespace: str = ""
    """Namespace of the operator itself."""
    trainer_image: str = "kubefugu-trainer:dev"
    """Image of training drivers and evaluators."""
    driver_port: int = Field(default=50054, ge=1, le=65535)
    """gRPC port of training drivers."""
    trainer_pod_file: Path | None = None
    """YAML with additions to the pods of runs: initContainers, volumes, volumeMounts, env, imagePullPolicy, user, pod."""


def load(arguments: list[str]) -> OperatorSettings:
    """Environment and `--flags`; flags win. `--help` prints and exits."""
    return CliApp.run(OperatorSettings, cli_args=arguments)
