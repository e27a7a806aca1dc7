"""Conditions: set on the first visit, lastTransitionTime moved only when status flips, the first failure gives the summary."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from kubefugu_operators.cluster.objects import Body

Truth = Literal["True", "False", "Unknown"]
_MAX_MESSAGE = 1024
INTERNAL_ERROR = "InternalError"
"""Reason of a summary condition: a pass over the object failed in a way that the operator does not know."""
INTERNAL_ERROR_TEXT = "The operator failed on this object; the message names the error, its log has more. It goes on trying."


@dataclass(frozen=True, slots=True)
class Finding:
    """What a reconciliation found out about one condition."""

    type: str
    status: Truth
    reason: str
    message: str = ""

    @property
    def holds(self) -> bool:
        """True where the condition is True."""
        return self.status == "True"


def timestamp(moment: datetime) -> str:
    """RFC 3339 in UTC with seconds, as Kubernetes writes it."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_timestamp(text: str) -> datetime:
    """The moment that `timestamp` or the API server wrote."""
    return datetime.fromisoformat(text)


def merge(findings: Sequence[Finding], previous: Iterable[Body], *, generation: int, now: datetime) -> list[Body]:
    """metav1.Condition objects. A condition whose status stays keeps its lastTransitionTime."""
    before = {condition["type"]: condition for condition in previous}
    result = []
    for finding in findings:
        old = before.get(finding.type)
        stays = old is not None and old["status"] == finding.status
        result.append(
            {
                "type": finding.type,
                "status": finding.status,
                "reason": finding.reason,
                "message": finding.message[:_MAX_MESSAGE],
                "observedGeneration": generation,
                "lastTransitionTime": old["lastTransitionTime"] if stays and old is not None else timestamp(now),
            }
        )
    return result


def first_failing(findings: Sequence[Finding]) -> Finding | None:
    """The first that is False, else the first that is Unknown, else None."""
    for wanted in ("False", "Unknown"):
        for finding in findings:
            if finding.status == wanted:
                return finding
    return None


def is_told(body: Body) -> bool:
    """True where the status speaks of the object as it is: conditions are set, and for this generation of the spec."""
    status = body.get("status") or {}
    return bool(status.get("conditions")) and status.get("observedGeneration") == body["metadata"].get("generation")
