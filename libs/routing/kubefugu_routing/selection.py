"""From row logits to a worker and a role: masks, argmax, request-seeded sampling.

Workers and roles are two independent softmaxes (TRINITY, section 3). Where a worker may not take every role, the mask is
joint: the pair is chosen among the allowed pairs, which equals two independent choices when every pair is allowed. A worker
that has no trained row for its model can only be chosen when no trained one is offered, and ranks behind those that have one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from kubefugu_core.errors import InternalError, InvalidRequestError
from kubefugu_core.pool import Role

ROLES: tuple[Role, ...] = tuple(Role)
"""Order of the role rows."""

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Offer:
    """A worker that may be chosen for this request."""

    name: str
    model: str
    roles: frozenset[Role] = frozenset(ROLES)
    """Roles that it may take; empty means every role."""

    def may(self, role: Role) -> bool:
        """True if the worker may take the role."""
        return not self.roles or role in self.roles


@dataclass(frozen=True, slots=True)
class Sampling:
    """Draw instead of taking the best; `seed` makes this request's own generator."""

    temperature: float
    seed: int


@dataclass(frozen=True, slots=True)
class RankedWorker:
    """An offered worker as scored by the policy."""

    name: str
    logit: float | None
    """None: no trained row for this worker and model."""
    probability: float
    """Softmax over the offered workers with a row; 0 for the others, or 1 for the first where none has one."""

    @property
    def trained(self) -> bool:
        """True if the policy has a row for the worker."""
        return self.logit is not None


@dataclass(frozen=True, slots=True)
class RankedRole:
    """A role row."""

    role: Role
    logit: float
    probability: float
    """Softmax over the roles that some candidate may take; 0 for the others."""


@dataclass(frozen=True, slots=True)
class Selection:
    """The choice. `workers` begins with the chosen one and is the order of failover for the chosen role."""

    worker: str
    role: Role
    workers: tuple[RankedWorker, ...]
    roles: tuple[RankedRole, ...] = field(default=())


def _masked_softmax(logits: FloatArray, mask: NDArray[np.bool_], temperature: float = 1.0) -> FloatArray:
    """Softmax over the true positions of the mask; zeros elsewhere, all zeros where nothing is allowed."""
    if not mask.any():
        return np.zeros_like(logits)
    scaled = np.where(mask, logits / temperature, -np.inf)
    exp = np.exp(scaled - scaled.max())
    return np.asarray(exp / exp.sum(), dtype=np.float64)


def worker_rows(rows: Sequence[tuple[str, str]], offers: Sequence[Offer]) -> list[int | None]:
    """For each offer the index of its row (same name and same model), else None. Never by position or modulo."""
    index = {(name, model): i for i, (name, model) in enumerate(rows)}
    return [index.get((offer.name, offer.model)) for offer in offers]


def select(
    logits: NDArray[np.floating],
    rows: Sequence[tuple[str, str]],
    *,
    has_roles: bool,
    offers: Sequence[Offer],
    sampling: Sampling | None = None,
) -> Selection:
    """Choose a worker and a role.

    `logits` has shape (L,) or (L + 3,): worker rows, then role rows in the order solver, thinker, verifier; `rows` are the L
    (worker name, model) pairs. Without role rows the role is solver. Raises InvalidRequestError when nothing may be chosen and
    InternalError for logits that are not finite.
    """
    values = np.asarray(logits, dtype=np.float64)
    expected = len(rows) + (len(ROLES) if has_roles else 0)
    if values.shape != (expected,):
        raise InternalError(f"Expected {expected} logits, got shape {values.shape}.")
    if not np.isfinite(values).all():
        raise InternalError("The policy gave logits that are not finite.")
    _check_offers(offers)
    role_logits = values[len(rows) :] if has_roles else np.zeros(1)
    roles = ROLES if has_roles else (Role.SOLVER,)
    allowed = np.array([[offer.may(role) for role in roles] for offer in offers], dtype=bool)
    if not allowed.any():
        raise InvalidRequestError("No allowed worker may take any role that the policy can choose.", field="allowed")
    row_of = worker_rows(rows, offers)
    trained = np.array([row is not None for row in row_of])
    worker_logits = np.array([values[row] if row is not None else 0.0 for row in row_of])
    # Untrained workers are candidates only when no trained one may act.
    usable = trained & allowed.any(axis=1)
    candidates = usable if usable.any() else ~trained & allowed.any(axis=1)
    pairs = allowed & candidates[:, None]
    chosen_worker, chosen_role = _choose(worker_logits, role_logits, pairs, trained_only=bool(usable.any()), sampling=sampling)
    workers = _rank(offers, worker_logits, trained, allowed[:, chosen_role], chosen_worker)
    ranked_roles = _rank_roles(role_logits, np.asarray(pairs.any(axis=0))) if has_roles else ()
    return Selection(offers[chosen_worker].name, roles[chosen_role], workers, ranked_roles)


def _check_offers(offers: Sequence[Offer]) -> None:
    if not offers:
        raise InvalidRequestError("At least one worker must be allowed.", field="allowed")
    names = [offer.name for offer in offers]
    if len(set(names)) != len(names):
        raise InvalidRequestError("A worker is allowed twice.", field="allowed")


def _choose(
    worker_logits: FloatArray,
    role_logits: FloatArray,
    pairs: NDArray[np.bool_],
    *,
    trained_only: bool,
    sampling: Sampling | None,
) -> tuple[int, int]:
    """Indices of the chosen worker and role among the allowed pairs (workers x roles)."""
    if not trained_only:
        # No logits to go by: the first offered worker, in its best allowed role.
        worker = int(np.flatnonzero(pairs.any(axis=1))[0])
        return worker, int(np.argmax(np.where(pairs[worker], role_logits, -np.inf)))
    joint = worker_logits[:, None] + role_logits[None, :]
    if sampling is None:
        flat = int(np.argmax(np.where(pairs, joint, -np.inf)))
        return flat // pairs.shape[1], flat % pairs.shape[1]
    generator = np.random.default_rng(sampling.seed)
    probabilities = _masked_softmax(joint.ravel(), pairs.ravel(), sampling.temperature).reshape(pairs.shape)
    marginal = probabilities.sum(axis=1)
    worker = int(generator.choice(len(marginal), p=marginal / marginal.sum()))
    row = probabilities[worker]
    return worker, int(generator.choice(len(row), p=row / row.sum()))


def _rank(
    offers: Sequence[Offer],
    logits: FloatArray,
    trained: NDArray[np.bool_],
    takes_role: NDArray[np.bool_],
    chosen: int,
) -> tuple[RankedWorker, ...]:
    """Order of failover: the chosen one, those that may take the role, trained before untrained, by logit, as offered."""
    probabilities = _masked_softmax(logits, trained)
    if not trained.any():
        probabilities[chosen] = 1.0
    order = sorted(range(len(offers)), key=lambda i: (i != chosen, not takes_role[i], not trained[i], -logits[i], i))
    return tuple(RankedWorker(offers[i].name, float(logits[i]) if trained[i] else None, float(probabilities[i])) for i in order)


def _rank_roles(logits: FloatArray, mask: NDArray[np.bool_]) -> tuple[RankedRole, ...]:
    probabilities = _masked_softmax(logits, mask)
    order = sorted(range(len(ROLES)), key=lambda i: (not mask[i], -logits[i], i))
    return tuple(RankedRole(ROLES[i], float(logits[i]), float(probabilities[i])) for i in order)


def masked_because(rows: Sequence[tuple[str, str]], offers: Sequence[Offer]) -> Mapping[str, str]:
    """For each worker row that could not be chosen, the reason."""
    offered = {offer.name: offer.model for offer in offers}
    reasons = {}
    for name, model in rows:
        if name not in offered:
            reasons[name] = "not offered"
        elif offered[name] != model:
            reasons[name] = f"trained for {model}, now {offered[name]}"
    return reasons
