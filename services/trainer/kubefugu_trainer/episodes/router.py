"""A head as the coordination loop's router, in process: what a router service would decide with this policy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kubefugu_coordination.clock import Deadline
from kubefugu_coordination.loop.router import Decision, RoleScore, RouteQuery, Score
from kubefugu_routing.policy import WorkerRow
from kubefugu_routing.selection import Offer, Sampling, Selection, select
from kubefugu_trainer.episodes.features import Features

VERSION = "candidate"


@dataclass(frozen=True)
class HeadPolicy:
    """A head over the pool's workers."""

    head: NDArray[np.float32]
    """(L, d), or (L + 3, d) with role rows."""
    workers: tuple[WorkerRow, ...]
    roles: bool
    agents: int | None = None
    """`{num_agents}` of the dispatcher prompt; None: as many as rows."""

    @property
    def num_agents(self) -> int:
        """What the dispatcher prompt names."""
        return len(self.workers) if self.agents is None else self.agents


class PolicyRouter:
    """See coordination's Router."""

    def __init__(self, policy: HeadPolicy, features: Features) -> None:
        self._policy = policy
        self._features = features
        self._rows = [(row.name, row.model) for row in policy.workers]

    async def route(self, query: RouteQuery, *, deadline: Deadline) -> Decision:
        """See Router."""
        from kubefugu_routing.engine.engine import head_logits

        feature = self._features.feature(query.transcript)
        logits = head_logits(feature[None, :], self._policy.head)[0]
        offers = [Offer(offer.name, offer.model, frozenset(offer.roles)) for offer in query.offers]
        sampling = None
        if query.sampling is not None:
            sampling = Sampling(temperature=query.sampling.temperature, seed=query.sampling.seed)
        return decision_of(
            select(logits, self._rows, has_roles=self._policy.roles, offers=offers, sampling=sampling), version=VERSION
        )


def decision_of(selection: Selection, *, version: str) -> Decision:
    """A selection as the loop reads it."""
    return Decision(
        policy_version=version,
        worker=selection.worker,
        role=selection.role,
        workers=tuple(Score(w.name, w.probability, w.logit, w.trained) for w in selection.workers),
        roles=tuple(RoleScore(r.role, r.logit, r.probability) for r in selection.roles),
    )


def role_rows(
    first: Sequence[NDArray[np.float32]], later: Sequence[NDArray[np.float32]], *, margin: float
) -> NDArray[np.float32]:
    """Role rows (3, d) for a head that has none: solve first, then verify.

    `first`: features of questions before any response, `later`: with one. Ridge regression (dual form) of the role logits on
    them: `margin` for the solver on `first` and for the verifier on `later`, 0 for the others, -`margin` for the thinker.
    """
    begins = np.arange(len(first) + len(later)) < len(first)
    targets = margin * np.stack([np.where(begins, 1.0, 0.0), np.full(len(begins), -1.0), np.where(begins, 0.0, 1.0)], axis=1)
    return _dual_ridge([*first, *later], targets)


def lift(
    first: Sequence[NDArray[np.float32]], later: Sequence[NDArray[np.float32]], *, behind: Sequence[float]
) -> NDArray[np.float32]:
    """A row (d,) whose logit is 0 on `first` and `behind` on `later`, by the same ridge regression.

    Added to the rows of workers, it brings them level with the best one where there is a response, and changes nothing before.
    """
    targets = np.concatenate([np.zeros(len(first)), np.asarray(behind, dtype=np.float64)])
    return np.asarray(_dual_ridge([*first, *later], targets[:, None])[0], dtype=np.float32)


def _dual_ridge(features: Sequence[NDArray[np.float32]], targets: NDArray[np.float64]) -> NDArray[np.float32]:
    """Rows (k, d) that give targets (n, k) on n features."""
    x = np.asarray(features, dtype=np.float64)
    gram = x @ x.T
    weights = np.linalg.solve(gram + 1e-4 * np.trace(gram) / len(x) * np.eye(len(x)), targets)
    return np.asarray(weights.T @ x, dtype=np.float32)
