"""Decision records: what happened to a request, made from its events."""

from kubefugu_coordination.decisions.record import DecisionRecorder, RecordStatus

__all__ = ["DecisionRecorder", "RecordStatus"]
