"""Errors and usage as they stand in decision records (docs/api.md, decision records)."""

from __future__ import annotations

from typing import Any

from kubefugu_coordination.workers.reply import TokenUsage
from kubefugu_core.errors import KubefuguError, spec_of

_MAX_MESSAGE = 500


def error_object(error: BaseException, *, keep_content: bool) -> dict[str, Any]:
    """Reason, message and field. Without content, nothing that a worker wrote."""
    if not isinstance(error, KubefuguError):
        cancelled = not isinstance(error, Exception)
        message = "The client went away." if cancelled else "Internal error."
        return {"reason": "CANCELLED" if cancelled else "INTERNAL", "message": message, "field": None}
    message = error.message[:_MAX_MESSAGE]
    if (status := error.metadata.get("status")) and not keep_content:
        # What a worker writes into its error may quote the prompt.
        message = f"Worker {error.metadata.get('worker', '?')} answered {status}."
    return {"reason": spec_of(error).reason, "message": message, "field": error.field}


def usage_members(usage: TokenUsage) -> dict[str, Any]:
    """Tokens of one call."""
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "estimated": usage.estimated,
    }
