"""Policy sets from the command line: read, declared as a whole, probed.

The local stack's router reads its set from a file too. `declare` writes that file after the router took the set, so that a
restarted router serves the same.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from google.protobuf.json_format import MessageToDict, MessageToJson

from kubefugu.common.v1 import common_pb2
from kubefugu.router.v1 import router_pb2
from kubefugu_cli.clients.services import RouterClient
from kubefugu_cli.console import new_table, out, print_json
from kubefugu_cli.stack.layout import StackLayout
from kubefugu_core.errors import DataError, InvalidRequestError
from kubefugu_core.settings import cache_home

_STATE_STYLES = {"active": "green", "canary": "cyan", "shadow": "blue", "refused": "red"}


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What the command line asks for."""

    active: str
    artifact: Path | None
    canary: str
    percent: float
    shadow: tuple[str, ...]
    sources: tuple[str, ...]
    """VERSION=FILE."""


def client(target: str, admin_token: str) -> RouterClient:
    """The router's admin client."""
    return RouterClient(target, admin_token=admin_token)


def layout_of(name: str) -> StackLayout:
    """The local stack's files."""
    return StackLayout.of(cache_home(), name)


def declare(router: RouterClient, wanted: Wanted, *, layout: StackLayout | None) -> router_pb2.GetPoliciesResponse:
    """Declare the next generation. `layout`: the local stack whose router it is; its artifacts are copied there."""
    declared = router.get_policies().declared
    sources = {source.version: source for source in declared.sources}
    for version, path in _given_sources(wanted).items():
        sources[version] = source_of(version, keep(path, version, layout.policies_dir) if layout else path)
    policy_set = router_pb2.PolicySet(
        generation=declared.generation + 1, active=wanted.active, shadow=wanted.shadow, sources=sources.values()
    )
    if wanted.canary:
        policy_set.canary.CopyFrom(router_pb2.Canary(version=wanted.canary, percent=wanted.percent))
    router.set_policies(policy_set)
    if layout is not None:
        write_policy_set(layout.policy_set_file, policy_set)
    return router.get_policies()


def write_policy_set(path: Path, policy_set: router_pb2.PolicySet) -> None:
    """Write the document that routers read, as a whole or not at all."""
    aside = path.with_name(f".{path.name}.new")
    aside.write_text(MessageToJson(policy_set, preserving_proto_field_name=True), encoding="utf-8")
    aside.replace(path)


def source_of(version: str, path: Path) -> router_pb2.PolicySource:
    """Where a version is found, with the file's sha256. Raises DataError."""
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from error
    return router_pb2.PolicySource(version=version, uri=path.absolute().as_uri(), sha256=digest)


def artifact_file(path: Path) -> Path:
    """The artifact that is meant: the file itself, or the only artifact of a run's folder. Raises DataError."""
    if path.is_dir():
        found = sorted(path.glob("*.safetensors"))
        if len(found) != 1:
            raise DataError(f"{path} holds {len(found)} artifacts (*.safetensors); name one.", field="artifact")
        return found[0]
    if not path.is_file():
        raise DataError(f"There is no artifact {path}.", field="artifact")
    return path


def _given_sources(wanted: Wanted) -> dict[str, Path]:
    given = {wanted.active: wanted.artifact} if wanted.artifact else {}
    for text in wanted.sources:
        version, equals, path = text.partition("=")
        if not (version and equals and path):
            raise InvalidRequestError(f"{text!r} is not VERSION=FILE.", field="source")
        given[version] = Path(path)
    return {version: artifact_file(path.expanduser()) for version, path in given.items()}


def keep(path: Path, version: str, folder: Path) -> Path:
    """A copy of an artifact in the stack's folder: what serves shall not change when the training folder does.

    Raises DataError where it cannot be read.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}", field="artifact") from error
    kept = folder / f"{version}-{hashlib.sha256(content).hexdigest()[:12]}.safetensors"
    folder.mkdir(parents=True, exist_ok=True)
    kept.write_bytes(content)
    return kept


def state_name(state: router_pb2.PolicyState.ValueType) -> str:
    """`active` for POLICY_STATE_ACTIVE."""
    return router_pb2.PolicyState.Name(state).removeprefix("POLICY_STATE_").lower()


def show(reply: router_pb2.GetPoliciesResponse, *, json_output: bool) -> None:
    """The table, or JSON."""
    if json_output:
        print_json(MessageToDict(reply, preserving_proto_field_name=True, always_print_fields_with_no_presence=True))
        return
    backbone = reply.backbone
    out().print(
        f"backbone {backbone.id} (revision {backbone.revision[:12]}, {backbone.num_layers} layers of {backbone.hidden_size}, "
        f"{backbone.dtype} on {backbone.device}), generation {reply.serving_generation}",
        markup=False,
    )
    table = new_table("version", "state", "workers", "roles", "format", "offsets", "decisions")
    for policy in reply.policies:
        state = state_name(policy.state)
        table.add_row(
            policy.version,
            f"[{_STATE_STYLES.get(state, 'white')}]{state}[/]",
            str(len(policy.workers)),
            "yes" if policy.has_role_rows else "no",
            policy.input_format,
            policy.tie_mode if policy.has_offsets else "no",
            str(policy.decisions),
        )
    out().print(table)
    for policy in reply.policies:
        if policy.message:
            why = f"{policy.version}: {policy.reason} {policy.message}"
            out().print(why, style="red", markup=False, soft_wrap=True)


def probe(router: RouterClient, version: str, question: str) -> router_pb2.ProbeResponse:
    """Probe a version with the router's own transcript, or with one question."""
    transcript = [common_pb2.TranscriptMessage(role="user", text=question)] if question else []
    return router.probe(router_pb2.ProbeRequest(policy_version=version, transcript=transcript))


def show_probe(reply: router_pb2.ProbeResponse, *, json_output: bool) -> None:
    """Logits of each row, one column an instance."""
    if json_output:
        print_json(MessageToDict(reply, preserving_proto_field_name=True))
        return
    table = new_table("row", *(instance.instance for instance in reply.instances))
    logits = [{row.name: row.logit for row in instance.rows} for instance in reply.instances]
    for row in reply.instances[0].rows if reply.instances else ():
        table.add_row(row.name, *(f"{column[row.name]:+.4f}" if row.name in column else "" for column in logits))
    table.add_section()
    table.add_row("sha256", *(instance.sha256[:12] for instance in reply.instances))
    out().print(table)
