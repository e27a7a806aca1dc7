"""The driver's last words: at most 4 kB of JSON, as termination message and beside the artifact."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from kubefugu_core.errors import KubefuguError, spec_of

MAX_BYTES = 4000
"""Kubernetes keeps 4096 bytes of a termination message."""


class Report(BaseModel):
    """What a run came to."""

    model_config = ConfigDict(frozen=True)

    reason: str
    """Trained, Stopped, or the condition reason of an error."""
    message: str = ""
    artifact_uri: str = ""
    artifact_sha256: str = ""
    score: float | None = None
    """Mean score of the trained router on held-out items."""
    baseline: float | None = None
    """Mean score of the worker that is best on the training rows."""
    gain: float | None = None
    gain_low: float | None = None
    gain_high: float | None = None
    items: int = 0
    """Held-out items."""
    data_sha256: str = ""

    def to_json(self) -> str:
        """JSON of at most MAX_BYTES: a longer message is cut."""
        text = self.model_dump_json(exclude_defaults=True)
        excess = len(text.encode()) - MAX_BYTES
        if excess > 0:
            return self.model_copy(update={"message": self.message[: -excess - 1]}).to_json()
        return text


def of_error(error: BaseException) -> Report:
    """Report of a failure; the text of foreign errors stays in the log."""
    if isinstance(error, KubefuguError):
        return Report(reason=spec_of(error).condition_reason, message=error.message)
    return Report(reason="InternalError", message=f"{type(error).__name__}; see the driver's log")


def leave(path: Path | None, report: Report) -> None:
    """Write the termination message; a place that can't be written is no reason to fail."""
    if path is None:
        return
    try:
        path.write_text(report.to_json(), encoding="utf-8")
    except OSError:
        return
