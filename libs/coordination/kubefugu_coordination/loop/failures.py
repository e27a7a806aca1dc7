"""What went wrong with the workers of one turn, and the one error that the client is told in the end."""

from __future__ import annotations

from kubefugu_core.errors import (
    KubefuguError,
    NoWorkerAvailableError,
    RateLimitedError,
    WorkerRefusedError,
    WorkerRejectedRequestError,
    spec_of,
)


class Failures:
    """Collects failed and declining workers in the order in which they were asked."""

    def __init__(self) -> None:
        self._errors: list[tuple[str, KubefuguError]] = []

    def add(self, worker: str, error: KubefuguError) -> None:
        """Note one."""
        self._errors.append((worker, error))

    def __len__(self) -> int:
        return len(self._errors)

    def summary(self) -> KubefuguError:
        """The only worker's own error; where all that did not decline agree, their kind; else NoWorkerAvailableError."""
        errors = [error for _, error in self._errors if not isinstance(error, WorkerRefusedError)]
        if len(errors) == len(self._errors) == 1:
            return errors[0]
        if errors and all(isinstance(error, WorkerRejectedRequestError) for error in errors):
            return errors[0]
        if errors and all(isinstance(error, RateLimitedError) for error in errors):
            waits = [error.retry_after_s for error in errors if isinstance(error, RateLimitedError) and error.retry_after_s]
            return RateLimitedError("Every allowed worker is at its rate limit.", retry_after_s=min(waits, default=None))
        told = "; ".join(f"{worker}: {spec_of(error).reason.lower()}" for worker, error in self._errors)
        return NoWorkerAvailableError(
            f"No worker could answer ({told or 'none is allowed'}).",
            metadata={f"worker.{worker}": spec_of(error).reason for worker, error in self._errors},
        )
