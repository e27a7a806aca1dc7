"""Standardised coordinates for a head that has no bias.

Features are standardised for fitting, z = D (h - mu), but the served head is W h without a bias, so the constant part has to be
made from h itself. The hidden state after the final norm nearly spans the constant: least squares gives u with u.h = 1 up to a
few per cent. With c(h) = u.h in place of 1,

    z(h) = D (h - mu c(h)),   logits = V z(h) + b c(h) = (V D (I - mu u^T) + b u^T) h = W h,

is linear in h, so that fitting on [z(h), c(h)] and folding back is exact: what is fitted is what is served, up to rounding.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
_SHRINK = 1e-6
"""Relative ridge of the fit of the constant."""
_FLOOR = 1e-6
"""Relative floor of a coordinate's deviation."""


@dataclass(frozen=True, slots=True)
class Basis:
    """A linear map of features (n, d) to coordinates (n, d + 1), the last of which is nearly 1."""

    matrix: FloatArray
    """M, shape (d + 1, d)."""
    constant_error: float
    """Root mean square of u.h - 1 over the fitted rows."""

    def encode(self, features: NDArray[np.floating]) -> FloatArray:
        """Coordinates (n, d + 1) of features (n, d)."""
        return np.asarray(features, dtype=np.float64) @ self.matrix.T

    def fold(self, weights: FloatArray) -> NDArray[np.float32]:
        """The head (L, d), float32, that gives the same logits on features as `weights` (L, d + 1) on coordinates."""
        return np.ascontiguousarray((weights @ self.matrix).astype(np.float32))


def fit_basis(features: NDArray[np.floating]) -> Basis:
    """The basis of some training features (n, d)."""
    x = np.asarray(features, dtype=np.float64)
    n, d = x.shape
    gram = x.T @ x / n
    shrink = _SHRINK * float(np.trace(gram)) / d
    mean = x.mean(axis=0)
    u = np.linalg.solve(gram + shrink * np.eye(d), mean)
    constant = x @ u
    centred = x - np.outer(constant, mean)
    deviation = centred.std(axis=0)
    scale = 1.0 / np.maximum(deviation, _FLOOR * float(deviation.max() or 1.0))
    upper = scale[:, None] * (np.eye(d) - np.outer(mean, u))
    return Basis(matrix=np.vstack([upper, u]), constant_error=float(np.sqrt(np.mean((constant - 1) ** 2))))
