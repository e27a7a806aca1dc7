"""Settings of the gateway: KUBEFUGU_GATEWAY_<FIELD>, or the flag of the same name."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from kubefugu_core.chat import ChatLimits
from kubefugu_core.settings import ServiceSettings

_FORGOTTEN_AFTER_S = 3.0
"""Load balancers take an address out within about this time (kube-proxy: one second and what iptables takes)."""


class GatewaySettings(ServiceSettings):
    """What the gateway can be told."""

    model_config = SettingsConfigDict(
        env_prefix="KUBEFUGU_GATEWAY_", cli_kebab_case=True, cli_prog_name="kubefugu-gateway", cli_implicit_flags=True
    )

    host: str = "127.0.0.1"
    """Address to listen on."""
    port: int = Field(default=8080, ge=0, le=65535)
    """Port to listen on; 0: any free one, which the log names."""
    executor_target: str = "127.0.0.1:50052"
    """gRPC target of the executor: host:port, dns:///name:port or unix:/path."""
    api_keys_file: Path | None = None
    """YAML list of {sha256, tenant, name}; re-read when it changes."""
    require_keys: Literal["auto", "always", "never"] = "auto"
    """auto: keys are needed when a keys file is given or the address is not loopback."""
    request_timeout_seconds: float = Field(default=600, gt=0, le=86_400)
    """Deadline of one request, handed down to the executor; the pool's own deadline may be shorter."""
    body_timeout_seconds: float = Field(default=30, gt=0, le=3600)
    """Time that a client has to send its body."""
    max_body_bytes: int = Field(default=20 * 1024 * 1024, ge=1024, le=30 * 1024 * 1024)
    """Largest request body."""
    max_messages: int = Field(default=2048, ge=1, le=1_000_000)
    """Most messages of one conversation."""
    max_in_flight: int = Field(default=1024, ge=1, le=1_000_000)
    """Chat requests at the same time; further ones get 503."""
    keep_alive_seconds: int = Field(default=75, ge=1, le=3600)
    """Time that an idle connection is kept."""
    linger_seconds: float = Field(default=-1, ge=-1, le=300)
    """Time after SIGTERM in which new connections are still taken; -1: 3 where other machines reach the address, else 0."""
    docs: bool = True
    """Serve the OpenAPI page at /docs and its document at /openapi.json."""

    @property
    def limits(self) -> ChatLimits:
        """Bounds of a request."""
        return ChatLimits(max_body_bytes=self.max_body_bytes, max_messages=self.max_messages)

    @property
    def linger_s(self) -> float:
        """Seconds between SIGTERM and the drain."""
        if self.linger_seconds >= 0:
            return self.linger_seconds
        return 0.0 if is_loopback(self.host) else _FORGOTTEN_AFTER_S

    @property
    def keys_needed(self) -> bool:
        """Whether a request needs an API key."""
        if self.require_keys != "auto":
            return self.require_keys == "always"
        return self.api_keys_file is not None or not is_loopback(self.host)


def is_loopback(host: str) -> bool:
    """True for an address that only this machine reaches. A name other than localhost counts as reachable."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"
