"""Turns what came back over HTTP into the one error tree. Pure."""

from __future__ import annotations

import email.utils
from collections.abc import Mapping

import orjson

from kubefugu_coordination.workers.reply import error_text
from kubefugu_core.errors import (
    KubefuguError,
    RateLimitedError,
    WorkerError,
    WorkerMisconfiguredError,
    WorkerProtocolError,
    WorkerRejectedRequestError,
)

_REFUSES_US = frozenset({401, 402, 403, 404, 405, 407, 410})
_TRY_AGAIN = frozenset({"408", "425", "500", "502", "503", "504", "520", "522", "524", "529"})


def retry_after_s(headers: Mapping[str, str], *, now: float) -> float | None:
    """Seconds that Retry-After asks for (RFC 9110, 10.2.3: seconds or a date), `now` in seconds since the epoch."""
    value = headers.get("Retry-After", "").strip()
    if not value:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - now)
    except ValueError:
        return None


def status_error(status: int, headers: Mapping[str, str], body: bytes, *, worker: str, now: float) -> KubefuguError:
    """The error for an answer whose status is not 200. Its message carries what the worker said, never what we sent."""
    said = _said(body)
    text = f"Worker {worker} answered {status}" + (f": {said}" if said else ".")
    metadata = {"worker": worker, "status": str(status)}
    after = retry_after_s(headers, now=now)
    if status == 429:
        limited = RateLimitedError(text, retry_after_s=after)
        limited.metadata.update(metadata)
        return limited
    if status in _REFUSES_US:
        return WorkerMisconfiguredError(text, metadata=metadata)
    if 400 <= status < 500 and str(status) not in _TRY_AGAIN:
        return WorkerRejectedRequestError(text, metadata=metadata)
    if 300 <= status < 400:
        return WorkerMisconfiguredError(f"Worker {worker} answered a redirect ({status}); its URL is wrong.", metadata=metadata)
    if status < 300:
        return WorkerProtocolError(text, metadata=metadata)
    if after is not None:
        metadata["retry_after_s"] = f"{after:g}"
    return WorkerError(text, metadata=metadata)


def content_type_error(headers: Mapping[str, str], *, expected: str, worker: str) -> WorkerProtocolError | None:
    """An error unless the media type is `expected` (a structured suffix `+json` passes for JSON)."""
    kind = headers.get("Content-Type", "").split(";", 1)[0].strip().lower()
    if kind == expected or (expected == "application/json" and kind.endswith("+json")):
        return None
    return WorkerProtocolError(
        f"Worker {worker} answered {kind or 'without a content type'}, not {expected}.", metadata={"worker": worker}
    )


def may_retry(error: KubefuguError) -> bool:
    """True: the same worker may be asked again with the same request, because nothing of an answer was seen."""
    if isinstance(error, RateLimitedError):
        return True
    if "circuit" in error.metadata:
        return False
    return error.metadata.get("status") in _TRY_AGAIN or error.metadata.get("stage") == "connect"


def asked_pause_s(error: KubefuguError) -> float | None:
    """How long the worker asked us to wait, None where it did not."""
    value = error.metadata.get("retry_after_s")
    return float(value) if value else None


def _said(body: bytes) -> str:
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return ""
    if not isinstance(document, dict):
        return ""
    return error_text(document.get("error") or document.get("detail") or document.get("message") or "")


def name_worker(error: BaseException, worker: str) -> BaseException:
    """Say in an error which worker it was, where the place that raised it could not know."""
    if isinstance(error, KubefuguError) and "worker" not in error.metadata:
        error.metadata["worker"] = worker
        error.message = f"Worker {worker}: {error.message}"
        error.args = (error.message,)
    return error
