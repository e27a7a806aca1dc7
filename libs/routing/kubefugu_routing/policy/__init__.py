"""Policies: the artifact, its file, its binding to a backbone and a pool, and the published forms."""

from kubefugu_routing.policy.artifact import FactorRef, PolicyArtifact, WorkerRow
from kubefugu_routing.policy.binding import Policy, bind
from kubefugu_routing.policy.storage import load_artifact, save_artifact

__all__ = ["FactorRef", "Policy", "PolicyArtifact", "WorkerRow", "bind", "load_artifact", "save_artifact"]
