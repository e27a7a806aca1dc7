"""`kubefugu policy`: what the router decides with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kubefugu_cli.commands import forward
from kubefugu_cli.commands.options import AdminToken, Json, Router, StackName, service_target
from kubefugu_cli.stack.layout import DEFAULT_NAME

app = typer.Typer(help="Policies of the router: list, declare, probe, change.", no_args_is_help=True)
forward.register(app, forward.POLICY_FORWARDED)


@app.command("list")
def list_policies(
    router: Router = "", admin_token: AdminToken = "", name: StackName = DEFAULT_NAME, json_output: Json = False
) -> None:
    """Show what is declared, loaded, serving, or refused and why."""
    from kubefugu_cli import policies

    policies.show(policies.client(service_target(router, name, "router"), admin_token).get_policies(), json_output=json_output)


@app.command("set")
def set_policy(
    version: Annotated[str, typer.Argument(help="Version that shall decide.")],
    artifact: Annotated[Path | None, typer.Option("--artifact", help="Its head artifact, a file or a run's folder.")] = None,
    canary: Annotated[str, typer.Option("--canary", help="Version that decides for a share of the conversations.")] = "",
    percent: Annotated[float, typer.Option("--percent", min=0, max=100, help="That share.")] = 5.0,
    shadow: Annotated[list[str] | None, typer.Option("--shadow", help="Version that only watches; repeatable.")] = None,
    source: Annotated[
        list[str] | None, typer.Option("--source", metavar="VERSION=FILE", help="Artifact of another version; repeatable.")
    ] = None,
    router: Router = "",
    admin_token: AdminToken = "",
    name: StackName = DEFAULT_NAME,
    json_output: Json = False,
) -> None:
    """Declare which versions decide, take a share, or watch. Sources of versions declared earlier are kept."""
    from kubefugu_cli import policies

    reply = policies.declare(
        policies.client(service_target(router, name, "router"), admin_token),
        policies.Wanted(
            active=version,
            artifact=artifact,
            canary=canary,
            percent=percent,
            shadow=tuple(shadow or ()),
            sources=tuple(source or ()),
        ),
        layout=None if router else policies.layout_of(name),
    )
    policies.show(reply, json_output=json_output)


@app.command()
def probe(
    version: Annotated[str, typer.Argument(help="Version to probe.")],
    question: Annotated[str, typer.Option("--question", help="Transcript; default: the router's own probe.")] = "",
    router: Router = "",
    admin_token: AdminToken = "",
    name: StackName = DEFAULT_NAME,
    json_output: Json = False,
) -> None:
    """Decide a fixed transcript with one version on every engine instance."""
    from kubefugu_cli import policies

    client = policies.client(service_target(router, name, "router"), admin_token)
    policies.show_probe(policies.probe(client, version, question), json_output=json_output)


@app.command()
def publish(
    artifact: Annotated[Path, typer.Argument(help="Artifact of a head or a Conductor: a file, or a run's folder.")],
    policy: Annotated[str, typer.Option("--policy", help="RoutingPolicy that gets the version.")] = "main",
    version: Annotated[str, typer.Option("--version", help="Its name; default: the artifact's name and checksum.")] = "",
    url: Annotated[str, typer.Option("--url", help="Where the cluster fetches it, for one larger than 900 kB.")] = "",
    namespace: Annotated[str, typer.Option("--namespace", "-n", help="Namespace; default: kubectl's own.")] = "",
    context: Annotated[str, typer.Option("--context", help="Context of the kubeconfig.")] = "",
    kubeconfig: Annotated[str, typer.Option("--kubeconfig", help="Kubeconfig; default: kubectl's own.")] = "",
    print_only: Annotated[bool, typer.Option("--print", help="Print the manifest instead of creating it.")] = False,
) -> None:
    """Publish a version trained elsewhere to a RoutingPolicy in the cluster that kubectl talks to; its rollout begins."""
    from kubefugu_cli import publishing

    target = publishing.Target(policy=policy, namespace=namespace, context=context, kubeconfig=kubeconfig)
    body = publishing.manifest(artifact, target, version=version, url=url)
    if print_only:
        publishing.print_manifest(body)
    else:
        publishing.publish(body, target)
