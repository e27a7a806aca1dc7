"""Replies of a live pool on disk, keyed by the full request: repeated steps cost nothing, in a resumed run neither."""

from __future__ import annotations

import base64
from pathlib import Path

from kubefugu_trainer.runs.files import AppendLog


class FileReplyCache:
    """A `ReplyCache` in an append-only file of JSON lines; all of it is in memory as well."""

    def __init__(self, path: Path) -> None:
        self._log = AppendLog(path)
        self._entries = {str(line["key"]): base64.b64decode(line["reply"]) for line in self._log.read()}
        self.hits = 0
        self.misses = 0

    async def get(self, key: str) -> bytes | None:
        """See ReplyCache."""
        found = self._entries.get(key)
        if found is None:
            self.misses += 1
        else:
            self.hits += 1
        return found

    async def put(self, key: str, completion: bytes) -> None:
        """See ReplyCache."""
        if key not in self._entries:
            self._entries[key] = completion
            self._log.append({"key": key, "reply": base64.b64encode(completion).decode()})

    def close(self) -> None:
        """Close the file."""
        self._log.close()
