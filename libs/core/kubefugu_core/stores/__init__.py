"""State behind one Protocol each, with SQLite for one machine and Redis for a cluster.

Nothing here is on a request's critical path: writes are collected and made in batches by a task of their own.
"""

from kubefugu_core.stores.buffered import BufferedDecisions
from kubefugu_core.stores.decisions import DecisionStore, Retention, StoredDecision
from kubefugu_core.stores.opening import open_decision_store, open_state_store

__all__ = [
    "BufferedDecisions",
    "DecisionStore",
    "Retention",
    "StoredDecision",
    "open_decision_store",
    "open_state_store",
]
