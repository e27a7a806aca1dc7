"""What outlives a request: parked workflows and the tool calls of a conversation, in SQLite or Redis behind one Protocol."""

from kubefugu_coordination.memory.store import StateStore, open_state_store, state_key

__all__ = ["StateStore", "open_state_store", "state_key"]
