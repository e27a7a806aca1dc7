"""Separable CMA-ES with cumulative step-size adaptation: ask, tell, and a state that resumes bit for bit.

The covariance matrix is diagonal, so a generation costs O(lambda N). Equations: Ros & Hansen, "A Simple Modification in CMA-ES
Achieving Linear Time and Space Complexity" (PPSN 2008), in the notation of Hansen, "The CMA Evolution Strategy: A Tutorial"
(arXiv 1604.00772, 2023), whose numbers stand in brackets. Only ranks count; `tell` takes losses, lower is better.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kubefugu_core.errors import DataError

Vector = NDArray[np.float64]
Population = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Strategy:
    """Strategy parameters, all from the dimension and the population size."""

    dimension: int
    population: int
    parents: int
    """mu: candidates that are recombined."""
    weights: Vector
    """Recombination weights w_1..w_mu, positive, falling, summing to one [49-53]."""
    mu_eff: float
    c_sigma: float
    d_sigma: float
    c_c: float
    c_1: float
    c_mu: float
    chi: float
    """Expected length of a standard normal vector."""

    @classmethod
    def default(cls, dimension: int, population: int | None = None) -> Strategy:
        """The textbook's defaults; learning rates raised by (N + 2) / 3 for the diagonal model (Ros & Hansen, section 2)."""
        n = dimension
        lam = population or 4 + math.floor(3 * math.log(n))
        if n < 1 or lam < 4:
            raise DataError(f"sep-CMA-ES needs a dimension of one or more and four or more candidates, not {n} and {lam}.")
        mu = lam // 2
        raw = math.log((lam + 1) / 2) - np.log(np.arange(1, mu + 1))
        weights = raw / raw.sum()
        mu_eff = 1 / float(np.sum(weights**2))
        faster = (n + 2) / 3
        c_1 = min(1.0, faster * 2 / ((n + 1.3) ** 2 + mu_eff))
        c_mu = min(1 - c_1, faster * 2 * (mu_eff - 2 + 1 / mu_eff) / ((n + 2) ** 2 + mu_eff))
        c_sigma = (mu_eff + 2) / (n + mu_eff + 5)
        return cls(
            dimension=n,
            population=lam,
            parents=mu,
            weights=weights,
            mu_eff=mu_eff,
            c_sigma=c_sigma,
            d_sigma=1 + 2 * max(0.0, math.sqrt((mu_eff - 1) / (n + 1)) - 1) + c_sigma,
            c_c=(4 + mu_eff / n) / (n + 4 + 2 * mu_eff / n),
            c_1=c_1,
            c_mu=c_mu,
            chi=math.sqrt(2) * math.exp(math.lgamma((n + 1) / 2) - math.lgamma(n / 2)),
        )


@dataclass(slots=True)
class State:
    """Everything that the next generation depends on, the generator included."""

    mean: Vector
    sigma: float
    variances: Vector
    """Diagonal of C."""
    path_sigma: Vector
    path_c: Vector
    generation: int
    generator: dict[str, Any]
    """State of the numpy bit generator."""

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Arrays for a checkpoint; nothing in them has to be unpickled."""
        arrays: dict[str, NDArray[Any]] = {
            field.name: np.asarray(getattr(self, field.name)) for field in fields(self) if field.name != "generator"
        }
        arrays["generator"] = np.frombuffer(json.dumps(self.generator).encode(), dtype=np.uint8)
        return arrays

    @classmethod
    def from_arrays(cls, arrays: dict[str, NDArray[Any]]) -> State:
        """Read `to_arrays` back. Raises DataError where a part is missing."""
        missing = [field.name for field in fields(cls) if field.name not in arrays]
        if missing:
            raise DataError(f"The optimiser's checkpoint lacks {', '.join(missing)}.")
        return cls(
            mean=np.array(arrays["mean"], dtype=np.float64),
            sigma=float(arrays["sigma"]),
            variances=np.array(arrays["variances"], dtype=np.float64),
            path_sigma=np.array(arrays["path_sigma"], dtype=np.float64),
            path_c=np.array(arrays["path_c"], dtype=np.float64),
            generation=int(arrays["generation"]),
            generator=json.loads(arrays["generator"].tobytes().decode()),
        )


class SepCma:
    """The optimiser. `ask` draws a population from the generator, `tell` ranks it; both in turn, generation by generation."""

    def __init__(
        self,
        mean: Vector,
        sigma: float,
        *,
        generator: np.random.Generator,
        population: int | None = None,
        strategy: Strategy | None = None,
    ) -> None:
        if sigma <= 0 or not np.isfinite(sigma):
            raise DataError(f"sigma must be a positive number, not {sigma}.", field="sigma")
        if mean.ndim != 1 or not np.isfinite(mean).all():
            raise DataError("The start vector must be one-dimensional and finite.", field="mean")
        self.strategy = strategy or Strategy.default(mean.size, population)
        self._generator = generator
        self._mean = mean.astype(np.float64).copy()
        self._sigma = float(sigma)
        self._variances = np.ones(mean.size)
        self._path_sigma = np.zeros(mean.size)
        self._path_c = np.zeros(mean.size)
        self._generation = 0

    @property
    def mean(self) -> Vector:
        """The mean vector m, shape (N,): what is evaluated on held-out items and published."""
        return self._mean.copy()

    @property
    def sigma(self) -> float:
        """Step size."""
        return self._sigma

    @property
    def generator(self) -> np.random.Generator:
        """The generator that `ask` draws from; what else a run draws must come from it too, as only its state is saved."""
        return self._generator

    @property
    def generation(self) -> int:
        """Generations told so far."""
        return self._generation

    def state(self) -> State:
        """A copy of the state, to be saved after `tell`."""
        return State(
            mean=self._mean.copy(),
            sigma=self._sigma,
            variances=self._variances.copy(),
            path_sigma=self._path_sigma.copy(),
            path_c=self._path_c.copy(),
            generation=self._generation,
            generator=_plain(self._generator.bit_generator.state),
        )

    @classmethod
    def resume(cls, state: State, *, population: int | None = None, strategy: Strategy | None = None) -> SepCma:
        """Go on exactly where `state` was taken."""
        generator = np.random.default_rng()
        try:
            generator.bit_generator.state = state.generator
        except (KeyError, TypeError, ValueError) as error:
            raise DataError("The optimiser's checkpoint holds no usable generator state.", field="generator") from error
        made = cls(state.mean, state.sigma, generator=generator, population=population, strategy=strategy)
        made._variances = state.variances.copy()
        made._path_sigma = state.path_sigma.copy()
        made._path_c = state.path_c.copy()
        made._generation = state.generation
        return made

    def ask(self) -> Population:
        """Draw the generation's candidates, shape (lambda, N): x = m + sigma D z, z ~ N(0, I) [38-40]."""
        z = self._generator.standard_normal((self.strategy.population, self.strategy.dimension))
        return self._mean + self._sigma * np.sqrt(self._variances) * z

    def tell(self, candidates: Population, losses: Vector) -> None:
        """Update from the candidates of `ask` and their losses (lower is better). Ties keep the order of the candidates.

        Raises DataError for a wrong shape or a loss that is not a number.
        """
        s = self.strategy
        if candidates.shape != (s.population, s.dimension) or losses.shape != (s.population,):
            raise DataError(f"tell needs {s.population} candidates and losses, not {candidates.shape} and {losses.shape}.")
        if np.isnan(losses).any():
            raise DataError(f"The losses of candidates {np.flatnonzero(np.isnan(losses)).tolist()} are not numbers.")
        best = candidates[np.argsort(losses, kind="stable")[: s.parents]]
        y = (best - self._mean) / self._sigma
        step = s.weights @ y  # [41]
        deviations = np.sqrt(self._variances)
        self._mean = self._mean + self._sigma * step  # [42], c_m = 1
        normal = math.sqrt(s.c_sigma * (2 - s.c_sigma) * s.mu_eff)
        self._path_sigma = (1 - s.c_sigma) * self._path_sigma + normal * step / deviations  # [43]
        length = float(np.linalg.norm(self._path_sigma))
        unbiased = length / math.sqrt(1 - (1 - s.c_sigma) ** (2 * (self._generation + 1)))
        stalled = unbiased >= (1.4 + 2 / (s.dimension + 1)) * s.chi  # h_sigma = 0
        self._path_c = (1 - s.c_c) * self._path_c  # [45]
        if not stalled:
            self._path_c = self._path_c + math.sqrt(s.c_c * (2 - s.c_c) * s.mu_eff) * step
        lost = s.c_c * (2 - s.c_c) if stalled else 0.0
        self._variances = (
            (1 - s.c_1 - s.c_mu + s.c_1 * lost) * self._variances
            + s.c_1 * self._path_c**2
            + s.c_mu * (s.weights @ y**2)  # [47], diagonal
        )
        self._sigma *= math.exp(min(1.0, (s.c_sigma / s.d_sigma) * (length / s.chi - 1)))  # [44]
        self._generation += 1


def _plain(state: Any) -> dict[str, Any]:
    """A bit generator's state as JSON can carry it (its integers exceed 64 bits, which JSON allows)."""
    plain: dict[str, Any] = json.loads(json.dumps(state))
    return plain
