"""Declared policy sets: which published versions decide, for whom. Routers and Conductors follow the same document."""

from kubefugu_core.policy_sets.declared import Canary, DeclaredSet, Source, share_of, succeeds
from kubefugu_core.policy_sets.watched import UNREADABLE, PolicySetFile

__all__ = ["UNREADABLE", "Canary", "DeclaredSet", "PolicySetFile", "Source", "share_of", "succeeds"]
