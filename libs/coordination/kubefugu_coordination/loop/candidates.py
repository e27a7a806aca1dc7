"""Which workers are asked in a turn, and in which order."""

from __future__ import annotations

from collections.abc import Sequence

from kubefugu_coordination.loop.router import Decision, Offer
from kubefugu_core.pool import Role, WorkerSpec


def offers(workers: Sequence[WorkerSpec], roles: Sequence[Role]) -> list[Offer]:
    """Workers and roles masked jointly: a worker is offered with those of `roles` that it may take, or not at all."""
    offered = []
    for worker in workers:
        if common := tuple(role for role in roles if role in worker.roles):
            offered.append(Offer(worker.name, worker.model, common))
    return offered


def candidates(decision: Decision, role: Role, workers: Sequence[WorkerSpec]) -> list[WorkerSpec]:
    """The chosen worker, then the others in the decision's order, fallback workers last; only those that may take `role`.

    A worker that the decision does not name (it was not offered this role) is left out, unless no other may take the role.
    """
    able = {worker.name: worker for worker in workers if role in worker.roles}
    ranked = [able[score.worker] for score in decision.workers if score.worker in able and score.worker != decision.worker]
    ordered = [worker for worker in ranked if not worker.fallback] + [worker for worker in ranked if worker.fallback]
    if decision.worker in able:
        ordered.insert(0, able[decision.worker])
    return ordered or list(able.values())


def without_router(workers: Sequence[WorkerSpec]) -> list[WorkerSpec]:
    """Who answers when no decision can be had: the declared fallback workers; the only worker where there is just one."""
    solvers = [worker for worker in workers if Role.SOLVER in worker.roles]
    return solvers if len(solvers) == 1 else [worker for worker in solvers if worker.fallback]


def affordable(
    ordered: Sequence[WorkerSpec], *, left_usd: float | None, prompt_tokens: int, completion_tokens: int
) -> list[WorkerSpec]:
    """Those whose call would cost at most what is left; `None` is no limit. Tokens are lower bounds of the coming call."""
    if left_usd is None:
        return list(ordered)
    return [w for w in ordered if w.prices.cost_usd(prompt_tokens, completion_tokens) <= left_usd]
