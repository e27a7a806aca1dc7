"""`kubefugu route`: the router's Explain as tables."""

from __future__ import annotations

from google.protobuf.json_format import MessageToDict
from rich.table import Table

from kubefugu.common.v1 import common_pb2
from kubefugu.router.v1 import router_pb2
from kubefugu_cli.clients.services import RouterClient
from kubefugu_cli.console import new_table, out, print_json
from kubefugu_cli.pools import find_pool_file
from kubefugu_cli.stack.layout import StackLayout
from kubefugu_cli.stack.running import running_state
from kubefugu_core.errors import InvalidRequestError
from kubefugu_core.pool import Role, WorkerPool, load_pool
from kubefugu_core.settings import cache_home

_ROLES = {
    Role.SOLVER: common_pb2.ROLE_SOLVER,
    Role.THINKER: common_pb2.ROLE_THINKER,
    Role.VERIFIER: common_pb2.ROLE_VERIFIER,
}
_SHOWN_TOKENS = 40


def pool_of(given: str, name: str) -> WorkerPool:
    """The pool that is meant: a file or ready pool by name, else the running stack's, else the default pool."""
    if given:
        return load_pool(find_pool_file(given))
    layout = StackLayout.of(cache_home(), name)
    return load_pool(layout.pool_file if running_state(layout) else find_pool_file(None))


def role_name(role: common_pb2.Role.ValueType) -> str:
    """`solver` for ROLE_SOLVER; empty for the unspecified one."""
    return common_pb2.Role.Name(role).removeprefix("ROLE_").lower().replace("unspecified", "")


def ask(target: str, question: str, *, pool: WorkerPool, allow: list[str], version: str) -> router_pb2.ExplainResponse:
    """Let the router decide one turn. Raises InvalidRequestError for an unknown worker, and what the router raises."""
    names = {worker.name for worker in pool.spec.workers}
    unknown = [name for name in allow if name not in names]
    if unknown:
        known = ", ".join(sorted(names))
        raise InvalidRequestError(f"The pool has no worker {', '.join(unknown)}. It has {known}.", field="allow")
    allowed = [
        common_pb2.AllowedWorker(name=worker.name, model=worker.model, roles=[_ROLES[role] for role in worker.roles])
        for worker in sorted(pool.spec.workers, key=lambda worker: not worker.fallback)
        if not allow or worker.name in allow
    ]
    transcript = [common_pb2.TranscriptMessage(role="user", text=question)]
    return RouterClient(target).explain(router_pb2.RouteRequest(transcript=transcript, allowed=allowed, policy_version=version))


def show_json(reply: router_pb2.ExplainResponse) -> None:
    """The whole answer."""
    print_json(MessageToDict(reply, preserving_proto_field_name=True, always_print_fields_with_no_presence=True))


def show_short(reply: router_pb2.ExplainResponse) -> None:
    """One line."""
    decision = reply.decision
    if not decision.policy_version:
        out().print(f"{decision.worker} (no policy)", markup=False)
        return
    first = decision.workers[0] if decision.workers else None
    certainty = f", probability {first.probability:.3f}" if first else ""
    out().print(f"{decision.worker} ({_role(decision)}policy {decision.policy_version}{certainty})", markup=False)


def show(reply: router_pb2.ExplainResponse) -> None:
    """Decision, input, rows, other policies."""
    decision = reply.decision
    console = out()
    if not decision.policy_version:
        show_short(reply)
        console.print("The router has no trained head for this pool: fallback workers first, then the pool's order.")
        return
    console.print(f"[bold]{decision.worker}[/] ({_role(decision)}policy {decision.policy_version})")
    console.print(
        f"{decision.input_tokens} tokens as {reply.input_format}, engine {decision.engine_ms:.1f} ms"
        + (f", {decision.cached_tokens} from the prefix cache" if decision.cached_tokens else "")
        + (f", {decision.dropped_tokens} tokens of the middle left out" if decision.truncated else ""),
        markup=False,
    )
    console.print(reply.input_text, style="cyan", markup=False)
    shown = " ".join(str(token) for token in reply.token_ids[:_SHOWN_TOKENS])
    more = len(reply.token_ids) - _SHOWN_TOKENS
    console.print(f"token ids: {shown}{f' ... and {more} more' if more > 0 else ''}", style="dim", markup=False)
    console.print(rows_table(reply))
    if reply.others:
        console.print(_others_table(reply))


def rows_table(reply: router_pb2.ExplainResponse) -> Table:
    """Every row of the policy, best first, and the allowed workers that have none."""
    workers = {score.name: score for score in reply.decision.workers}
    roles = {role_name(score.role): score for score in reply.decision.roles}
    table = new_table("row", "logit", "probability", "why it cannot be chosen")
    for row in sorted(reply.rows, key=lambda row: (row.role, -row.logit)):
        score = roles.get(row.name) if row.role else workers.get(row.name)
        chosen = row.name == (role_name(reply.decision.role) if row.role else reply.decision.worker)
        table.add_row(
            f"role {row.name}" if row.role else row.name,
            f"{row.logit:+.3f}",
            f"{score.probability:.4f}" if score and not row.masked_because else "",
            row.masked_because,
            style="bold green" if chosen else "dim" if row.masked_because else "",
        )
    rows = {row.name for row in reply.rows if not row.role}
    for score in reply.decision.workers:
        if score.name not in rows:
            table.add_row(score.name, "", "", "no trained row: asked after those that have one")
    return table


def _others_table(reply: router_pb2.ExplainResponse) -> Table:
    table = new_table("other policy", "worker", "role", "probability")
    for other in reply.others:
        probability = f"{other.workers[0].probability:.4f}" if other.workers else ""
        table.add_row(other.policy_version, other.worker, role_name(other.role), probability)
    return table


def _role(decision: router_pb2.Decision) -> str:
    name = role_name(decision.role)
    return f"{name}, " if name else ""
