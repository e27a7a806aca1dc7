"""Names that more than one part must form in the same way."""

from __future__ import annotations

import hashlib

_MAX_LABEL = 63
"""Longest DNS label (RFC 1035), which a Service's name is."""


def managed_service_name(pool: str, worker: str) -> str:
    """Name of the Service (and Deployment) that the operator makes for a managed worker: `<pool>-<worker>` as a DNS label.

    Dots become dashes; what is longer than 63 characters is cut and ends in eight hex digits of its sha256, so that two long
    names do not meet.
    """
    plain = f"{pool}-{worker}"
    name = plain.replace(".", "-")
    if len(name) <= _MAX_LABEL:
        return name
    digest = hashlib.sha256(plain.encode()).hexdigest()[:8]
    return f"{name[: _MAX_LABEL - 9].rstrip('-')}-{digest}"
