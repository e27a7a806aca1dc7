"""Framing of server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html). Pure functions."""

from __future__ import annotations

from typing import Any

import orjson

from kubefugu_core.errors import to_openai


def data(payload: bytes) -> bytes:
    """One event. `payload` is JSON on one line."""
    return b"data: " + payload + b"\n\n"


def comment(text: str) -> bytes:
    """A line that clients skip; it keeps proxies and people patient."""
    return f": {' '.join(text.split())[:512]}\n\n".encode()


def error(failure: BaseException) -> bytes:
    """The event that ends a broken stream; no [DONE] follows it."""
    return data(orjson.dumps(to_openai(failure)))


def json_data(value: Any) -> bytes:
    """One event from a value."""
    return data(orjson.dumps(value))
