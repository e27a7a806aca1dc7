"""Coordinates in which a head without a bias is fitted.

Features are standardised for fitting, z = D (h - mu), but the served head is W h without a bias, so the constant part has to be
made from h itself. The hidden state after the final norm nearly spans the constant: least squares gives u with u.h = 1 up to a
few per cent. With c(h) = u.h in place of 1,

    z(h) = D (h - mu c(h)),   logits = V z(h) + b c(h) = (V D (I - mu u^T) + b u^T) h = W h,

is linear in h, so that fitting on [z(h), c(h)] and folding back is exact: what is fitted is what is served, up to rounding.

D is a metric: a penalty on |V|^2 is cheap in directions that D stretches. It starts as one over the deviation of each feature.
Where shifts are given (how features move when a question's wording is disturbed), D shrinks the directions that they lie in,
D <- (I + strength * E[s s^T])^(-1/2) D with s the shift in standardised features: relying on them becomes dear. The result is
turned to its principal axes, which changes no penalty and lets first-order optimisers converge.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
_SHRINK = 1e-6
"""Relative ridge of the fit of the constant."""
_FLOOR = 1e-6
"""Relative floor of a feature's deviation."""


@dataclass(frozen=True, slots=True)
class Basis:
    """A linear map of features (n, d) to coordinates (n, d + 1), the last of which is nearly 1."""

    matrix: FloatArray
    """M, shape (d + 1, d)."""
    constant_error: float
    """Root mean square of u.h - 1 over the fitted rows."""

    @property
    def constant(self) -> FloatArray:
        """u, shape (d,): u.h is nearly 1."""
        return np.asarray(self.matrix[-1], dtype=np.float64)

    def encode(self, features: NDArray[np.floating]) -> FloatArray:
        """Coordinates (n, d + 1) of features (n, d)."""
        return np.asarray(features, dtype=np.float64) @ self.matrix.T

    def fold(self, weights: FloatArray) -> NDArray[np.float32]:
        """The head (..., L, d), float32, that gives the same logits on features as `weights` (..., L, d + 1) on coordinates."""
        return np.ascontiguousarray((weights @ self.matrix).astype(np.float32))


def fit_basis(features: NDArray[np.floating], *, shifts: NDArray[np.floating] | None = None, strength: float = 0.0) -> Basis:
    """The basis of some training features (n, d); `shifts` (m, d) are differences of disturbed and undisturbed features."""
    x = np.asarray(features, dtype=np.float64)
    n, d = x.shape
    gram = x.T @ x / n
    shrink = _SHRINK * float(np.trace(gram)) / d
    mean = x.mean(axis=0)
    u = np.linalg.solve(gram + shrink * np.eye(d), mean)
    constant = x @ u
    centred = x - np.outer(constant, mean)
    deviation = centred.std(axis=0)
    metric = np.diag(1.0 / np.maximum(deviation, _FLOOR * float(deviation.max() or 1.0)))
    if shifts is not None and len(shifts) and strength > 0:
        moved = np.asarray(shifts, dtype=np.float64)
        moved = (moved - np.outer(moved @ u, mean)) @ metric
        values, axes = np.linalg.eigh(moved.T @ moved / len(moved))
        metric = (axes / np.sqrt(1.0 + strength * np.maximum(values, 0.0))) @ axes.T @ metric
    z = centred @ metric.T
    _, turn = np.linalg.eigh(z.T @ z / n)
    upper = turn.T[::-1] @ metric @ (np.eye(d) - np.outer(mean, u))
    return Basis(matrix=np.vstack([upper, u]), constant_error=float(np.sqrt(np.mean((constant - 1) ** 2))))
