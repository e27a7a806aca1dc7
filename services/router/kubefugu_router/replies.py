"""Decisions and policy states as messages."""

from __future__ import annotations

from kubefugu.router.v1 import router_pb2
from kubefugu_core.errors import KubefuguError, spec_of
from kubefugu_core.policy_sets import DeclaredSet
from kubefugu_router.domain.ports import FloatArray
from kubefugu_router.registry import PolicyRegistry, Resident
from kubefugu_router.requests import ROLE_TO_PROTO, RouteQuery
from kubefugu_router.router import Outcome
from kubefugu_routing.backbone.info import BackboneInfo
from kubefugu_routing.policy import PolicyArtifact
from kubefugu_routing.selection import ROLES, Offer, masked_because


def decision(outcome: Outcome) -> router_pb2.Decision:
    """The decision of a request."""
    selection = outcome.selection
    message = router_pb2.Decision(
        policy_version=outcome.version,
        worker=selection.worker,
        role=ROLE_TO_PROTO[selection.role],
        cached_tokens=outcome.cached_tokens,
        engine_ms=outcome.engine_ms,
        canary=outcome.canary,
    )
    for worker in selection.workers:
        score = message.workers.add(name=worker.name, probability=worker.probability, trained=worker.trained)
        if worker.logit is not None:
            score.logit = worker.logit
    for role in selection.roles:
        message.roles.add(role=ROLE_TO_PROTO[role.role], logit=role.logit, probability=role.probability)
    if outcome.encoded is not None:
        message.input_tokens = len(outcome.encoded.token_ids)
        message.truncated = outcome.encoded.truncated
        message.dropped_tokens = outcome.encoded.dropped_tokens
    for version, shadow in outcome.shadows.items():
        message.shadows.add(policy_version=version, worker=shadow.worker, role=ROLE_TO_PROTO[shadow.role])
    return message


def route_result(got: Outcome | KubefuguError) -> router_pb2.RouteResult:
    """One request of a batch, decided or failed alone."""
    if isinstance(got, KubefuguError):
        return router_pb2.RouteResult(error=router_pb2.RouteError(reason=spec_of(got).reason, message=got.message))
    return router_pb2.RouteResult(decision=decision(got))


def row_logits(
    artifact: PolicyArtifact, logits: FloatArray, offers: tuple[Offer, ...] | None = None
) -> list[router_pb2.RowLogit]:
    """Every row in the artifact's order; with `offers`, why a row could not be chosen."""
    rows = tuple((row.name, row.model) for row in artifact.workers)
    reasons = masked_because(rows, offers) if offers is not None else {}
    out = []
    for i, name in enumerate(artifact.row_names):
        role = i >= len(rows)
        why = reasons.get(name, "") if not role else ""
        if role and offers is not None and not any(offer.may(ROLES[i - len(rows)]) for offer in offers):
            why = "no allowed worker may take it"
        out.append(router_pb2.RowLogit(name=name, logit=float(logits[i]), role=role, masked_because=why))
    return out


def explanation(outcome: Outcome, others: list[Outcome], query: RouteQuery) -> router_pb2.ExplainResponse:
    """What went into a decision."""
    message = router_pb2.ExplainResponse(decision=decision(outcome), others=[decision(other) for other in others])
    if outcome.encoded is not None and outcome.acting is not None and outcome.logits is not None:
        message.input_text = outcome.encoded.text
        message.input_format = outcome.acting.artifact.input_format.value
        message.token_ids.extend(outcome.encoded.token_ids)
        message.rows.extend(row_logits(outcome.acting.artifact, outcome.logits, query.offers))
    return message


def statuses(registry: PolicyRegistry) -> list[router_pb2.PolicyStatus]:
    """Resident versions, those that decide first, then refused ones."""
    declared = registry.declared
    named = declared.named if declared else ()
    residents = {resident.version: resident for resident in registry.residents}
    order = [residents[version] for version in named] + [r for v, r in residents.items() if v not in named]
    out = [_resident_status(resident, declared) for resident in order]
    for version, why in registry.refusals.items():
        out.append(
            router_pb2.PolicyStatus(
                version=version,
                state=router_pb2.POLICY_STATE_REFUSED,
                sha256=why.sha256,
                reason=why.reason,
                message=why.message,
            )
        )
    return out


def _resident_status(resident: Resident, declared: DeclaredSet | None) -> router_pb2.PolicyStatus:
    artifact, version = resident.artifact, resident.version
    state = router_pb2.POLICY_STATE_RESIDENT
    if declared is not None:
        if version == declared.active:
            state = router_pb2.POLICY_STATE_ACTIVE
        elif declared.canary is not None and version == declared.canary.version:
            state = router_pb2.POLICY_STATE_CANARY
        elif version in declared.shadow:
            state = router_pb2.POLICY_STATE_SHADOW
    return router_pb2.PolicyStatus(
        version=version,
        state=state,
        sha256=resident.staged.sha256,
        workers=[row.name for row in artifact.workers],
        has_role_rows=artifact.roles,
        input_format=artifact.input_format.value,
        tie_mode=artifact.tie_mode.value,
        has_offsets=artifact.has_offsets,
        decisions=resident.decisions,
    )


def backbone(info: BackboneInfo) -> router_pb2.BackboneInfo:
    """The backbone that the engine runs."""
    return router_pb2.BackboneInfo(
        id=info.id,
        revision=info.revision,
        hidden_size=info.hidden_size,
        num_layers=info.num_layers,
        dtype=info.dtype,
        device=info.device,
    )
