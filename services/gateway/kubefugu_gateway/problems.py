"""Every failure in OpenAI's error shape: {"error": {message, type, param, code}}. The only place that translates errors."""

from __future__ import annotations

import math
from typing import Any

import orjson
import structlog
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from kubefugu_core.errors import InvalidRequestError, KubefuguError, RequestCancelledError, spec_of, to_openai

_log = structlog.get_logger()

_HTTP_CODES = {
    404: "unknown_url",
    405: "method_not_allowed",
    408: "request_timeout",
    413: "request_too_large",
    415: "unsupported_media_type",
}


def install(app: FastAPI) -> None:
    """Register the handlers."""
    app.add_exception_handler(KubefuguError, _on_error)
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_exception_handler(RequestValidationError, _on_validation_error)
    app.add_exception_handler(Exception, _on_defect)


def _failure(request: Request, error: BaseException) -> Response:
    """The response for an error of the tree, or for a defect."""
    spec = spec_of(error)
    headers = _identity(request)
    if isinstance(error, KubefuguError) and "retry_after_s" in error.metadata:
        headers["retry-after"] = str(max(1, math.ceil(float(error.metadata["retry_after_s"]))))
    if spec.http_status == 401:
        headers["www-authenticate"] = "Bearer"
    if not spec.retryable:
        # OpenAI's SDKs retry 409, 429 and 5xx by themselves unless told.
        headers["x-should-retry"] = "false"
    return _json(to_openai(error), status=spec.http_status, headers=headers)


async def _on_error(request: Request, error: Exception) -> Response:
    if isinstance(error, RequestCancelledError):
        # Nobody is left to read it; some answer must be given to the server.
        return Response(status_code=spec_of(error).http_status)
    return _failure(request, error)


async def _on_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    message = error.detail
    if error.status_code == 404:
        message = f"Invalid URL ({request.method} {request.url.path[:256]})"
    elif error.status_code == 405:
        message = f"Not allowed to {request.method} on {request.url.path[:256]}."
    code = _HTTP_CODES.get(error.status_code)
    body = {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": code}}
    return _json(body, status=error.status_code, headers=_identity(request) | dict(error.headers or {}))


async def _on_validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    field = ".".join(str(part) for part in first["loc"][1:])
    return _failure(request, InvalidRequestError(f"Invalid '{field}': {first['msg']}.", field=field))


async def _on_defect(request: Request, error: Exception) -> Response:
    _log.error("request_failed", path=request.url.path, exc_info=error)
    return _failure(request, error)


def _identity(request: Request) -> dict[str, str]:
    """The request's id; that of its decision record only where the executor was asked, because only then there is one."""
    state: dict[str, Any] = request.scope.get("state", {})
    named = {"x-request-id": state.get("request_id"), "x-kubefugu-decision-id": state.get("decision_id")}
    return {name: value for name, value in named.items() if value}


def _json(body: Any, *, status: int, headers: dict[str, str]) -> Response:
    return Response(orjson.dumps(body), status_code=status, headers=headers, media_type="application/json")
