"""Options that several commands have, and what they stand for where they are not given."""

from __future__ import annotations

from typing import Annotated

import typer

DEFAULT_URL = "http://127.0.0.1:8080"
"""The gateway where nothing else is known."""

StackName = Annotated[str, typer.Option("--name", help="Name of the stack; several can run side by side.")]
Url = Annotated[
    str, typer.Option("--url", envvar="KUBEFUGU_URL", help="The gateway; default: the local stack, else " + DEFAULT_URL)
]
ApiKey = Annotated[
    str, typer.Option("--api-key", envvar="KUBEFUGU_API_KEY", help="API key of the gateway.", show_default=False)
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
Router = Annotated[
    str,
    typer.Option("--router", envvar="KUBEFUGU_ROUTER_TARGET", help="gRPC address of the router; default: the local stack's."),
]
AdminToken = Annotated[
    str,
    typer.Option("--admin-token", envvar="KUBEFUGU_ADMIN_TOKEN", help="Token of the router's admin calls.", show_default=False),
]


def gateway_url(given: str, name: str) -> str:
    """The gateway that is meant."""
    from kubefugu_cli.stack.layout import StackLayout
    from kubefugu_cli.stack.running import running_state
    from kubefugu_core.settings import cache_home

    if given:
        return given
    state = running_state(StackLayout.of(cache_home(), name))
    return state.url if state else DEFAULT_URL


def service_target(given: str, name: str, service: str) -> str:
    """gRPC address of a service: as given, else the running local stack's. Ends the command where there is neither."""
    from kubefugu_cli.console import fail
    from kubefugu_cli.stack.layout import StackLayout
    from kubefugu_cli.stack.running import running_state
    from kubefugu_core.settings import cache_home

    if given:
        return given
    layout = StackLayout.of(cache_home(), name)
    state = running_state(layout)
    if state is None:
        fail(f"No local stack runs here. Start one with `kubefugu up`, or give the {service}'s gRPC address.")
    if state.component(service) is None:
        fail(f"The local stack runs without a {service}.")
    return layout.target(service)
