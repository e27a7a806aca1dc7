"""Chat request bodies for tests."""

from __future__ import annotations

from typing import Any

USER = {"role": "user", "content": "hi"}
TOOL = {"type": "function", "function": {"name": "add", "parameters": {"type": "object", "properties": {}}}}
CALL = {"id": "call_1", "type": "function", "function": {"name": "add", "arguments": "{}"}}
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA", "detail": "low"}}


def body(*messages: Any, **options: Any) -> dict[str, Any]:
    """A request to fugu; one user message where none is given."""
    return {"model": "fugu", "messages": list(messages) or [USER], **options}
