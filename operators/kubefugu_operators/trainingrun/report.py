"""The driver's report: at most 4 kB of JSON, its termination message and part of the collected artifact. And the gate on it."""

from __future__ import annotations

import json

from pydantic import BaseModel, ConfigDict, ValidationError

from kubefugu_operators.cluster.objects import Body
from kubefugu_operators.trainingrun.spec import Gate
from kubefugu_operators.trainingrun.status import Result

DRIVER_CONTAINER = "driver"
INVALID_INPUT_EXIT = 65
"""EX_DATAERR: repeating would not help."""
STOPPED_EXITS = (75, 143)
"""EX_TEMPFAIL and SIGTERM: stopped at a safe point; the next attempt goes on from there."""


class Report(BaseModel):
    """What a driver says at its end. Unknown fields are ignored, so that drivers may say more."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    reason: str = ""
    message: str = ""
    artifact_uri: str = ""
    artifact_sha256: str = ""
    score: float | None = None
    baseline: float | None = None
    gain: float | None = None
    gain_low: float | None = None
    gain_high: float | None = None
    items: int = 0


def parse(text: str) -> Report | None:
    """The report, or None where the text is none."""
    try:
        return Report.model_validate(json.loads(text))
    except (ValueError, ValidationError):
        return None


def termination(pod: Body) -> tuple[int, str] | None:
    """Exit code and termination message of a pod's driver; None while it has not ended."""
    for container in (pod.get("status") or {}).get("containerStatuses", ()):
        if container["name"] == DRIVER_CONTAINER:
            ended = (container.get("state") or {}).get("terminated")
            if ended:
                return int(ended.get("exitCode", 0)), str(ended.get("message", ""))
    return None


def ended_by_error(pod: Body) -> bool:
    """True where the program itself failed: not stopped, not deleted, not evicted."""
    ended = termination(pod)
    if ended is None or ended[0] in (0, *STOPPED_EXITS) or pod["metadata"].get("deletionTimestamp"):
        return False
    conditions = (pod.get("status") or {}).get("conditions", ())
    return not any(told["type"] == "DisruptionTarget" and told["status"] == "True" for told in conditions)


def explanation(pods: tuple[Body, ...]) -> str:
    """What the newest ended driver said about its failure."""
    for pod in reversed(pods):
        ended = termination(pod)
        if ended is None:
            continue
        code, text = ended
        told = parse(text)
        said = told.message if told else text.strip().splitlines()[-1] if text.strip() else ""
        return f"the driver ended with code {code}{f': {said}' if said else ''}"
    return ""


def result(report: Report) -> Result:
    """The report's figures as status fields."""
    return Result(
        score=number(report.score),
        baseline=number(report.baseline),
        gain=number(report.gain),
        gain_low=number(report.gain_low),
        gain_high=number(report.gain_high),
        items=report.items,
    )


def number(value: float | None) -> str:
    """A figure as a decimal string with at most four places."""
    return "" if value is None else f"{value:.4f}".rstrip("0").rstrip(".")


def gate_refusal(report: Report, gate: Gate) -> str:
    """Why the gate is not met; empty where it is."""
    minimum = float(gate.minimum_gain)
    measured = report.gain_low if float(gate.confidence) > 0 else report.gain
    if measured is None:
        return "The report has no measured gain."
    if measured >= minimum:
        return ""
    if float(gate.confidence) > 0:
        interval = f"[{number(report.gain_low)}, {number(report.gain_high)}]"
        return (
            f"The gain is {number(report.gain)}, its interval {interval} on {report.items} held-out items;"
            f" the lower end must reach {gate.minimum_gain}."
        )
    return f"The gain is {number(report.gain)}; {gate.minimum_gain} is required."
