"""The HTTP application: /v1/chat/completions, /v1/models, /health, errors in OpenAI's shape."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any, Protocol

import orjson
import structlog
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from kubefugu_core.chat import ChatLimits, parse_chat_request
from kubefugu_core.errors import (
    InvalidRequestError,
    KubefuguError,
    ModelNotFoundError,
    NotFoundError,
    OverloadedError,
    spec_of,
    to_openai,
)
from kubefugu_experts.api.chat import Completion, as_chunks, as_object, complete, to_question
from kubefugu_experts.engines.base import Question, Reply

_log = structlog.get_logger()
MAX_BODY_BYTES = 1 << 20


class Answerer(Protocol):
    """What the API needs of the sandbox."""

    left_out: dict[str, str]

    async def answer(self, name: str, question: Question) -> Reply:
        """Ask an engine."""
        ...


class ExpertsApi:
    """The endpoints over the engines."""

    def __init__(self, answerer: Answerer, *, names: Iterable[str], max_in_flight: int) -> None:
        self._answerer = answerer
        self._names = tuple(names)
        self._max_in_flight = max_in_flight
        self._in_flight = 0
        self._started_s = int(time.time())
        self._limits = ChatLimits(max_body_bytes=MAX_BODY_BYTES)

    @property
    def _available(self) -> list[str]:
        return [name for name in self._names if name not in self._answerer.left_out]

    async def chat_completions(self, request: Request) -> Response:
        """POST /v1/chat/completions."""
        parsed = parse_chat_request(await _body(request), limits=self._limits)
        if parsed.model not in self._available:
            reason = self._answerer.left_out.get(parsed.model, f"It is not one of {', '.join(self._available)}.")
            raise ModelNotFoundError(f"The model '{parsed.model}' does not exist. {reason}", field="model")
        question = to_question(parsed)
        completion = complete(parsed, await self._answer(parsed.model, question, request))
        _log.info("answered", model=completion.model, refused=completion.refused, tokens=completion.completion_tokens)
        if parsed.stream:
            return StreamingResponse(
                _events(completion, include_usage=parsed.include_usage),
                media_type="text/event-stream",
                headers={"Cache-Control": "no-cache"},
            )
        return _json(as_object(completion))

    async def models(self, request: Request) -> Response:
        """GET /v1/models."""
        return _json({"object": "list", "data": [self._model(name) for name in self._available]})

    async def model(self, request: Request) -> Response:
        """GET /v1/models/{model}."""
        name = request.path_params["model"]
        if name not in self._available:
            raise ModelNotFoundError(f"The model '{name}' does not exist.", field="model")
        return _json(self._model(name))

    async def health(self, request: Request) -> Response:
        """GET /health: which engines answer, and why others do not."""
        return _json({"status": "ok", "engines": self._available, "left_out": self._answerer.left_out})

    def _model(self, name: str) -> dict[str, Any]:
        return {"id": name, "object": "model", "created": self._started_s, "owned_by": "kubefugu"}

    async def _answer(self, name: str, question: Question, request: Request) -> Reply:
        """The engine's reply; a client that goes away ends the computation."""
        if self._in_flight >= self._max_in_flight:
            raise OverloadedError(f"{self._in_flight} questions are waiting already; try again later.")
        self._in_flight += 1
        answering = asyncio.ensure_future(self._answerer.answer(name, question))
        gone = asyncio.ensure_future(_disconnected(request))
        try:
            await asyncio.wait((answering, gone), return_when=asyncio.FIRST_COMPLETED)
            if answering.done():
                return answering.result()
            raise asyncio.CancelledError
        finally:
            self._in_flight -= 1
            for task in (answering, gone):
                task.cancel()
            await asyncio.gather(answering, gone, return_exceptions=True)


def create_app(api: ExpertsApi) -> Starlette:
    """The application."""
    return Starlette(
        routes=[
            Route("/v1/chat/completions", api.chat_completions, methods=["POST"]),
            Route("/v1/models", api.models),
            Route("/v1/models/{model}", api.model),
            Route("/health", api.health),
        ],
        exception_handlers={KubefuguError: _on_error, HTTPException: _on_http, Exception: _on_defect},
    )


async def _events(completion: Completion, *, include_usage: bool) -> AsyncIterator[bytes]:
    for chunk in as_chunks(completion, include_usage=include_usage):
        yield b"data: " + orjson.dumps(chunk) + b"\n\n"
    yield b"data: [DONE]\n\n"


async def _body(request: Request) -> bytes:
    """The body, cut off where it grows too large."""
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        parts.append(part)
        size += len(part)
        if size > MAX_BODY_BYTES:
            raise InvalidRequestError(f"The body is larger than {MAX_BODY_BYTES} bytes.", metadata={"code": "body_too_large"})
    return b"".join(parts)


async def _disconnected(request: Request) -> None:
    """Return when the client has gone. To be called after the body was read."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _json(document: object, status: int = 200) -> Response:
    return Response(orjson.dumps(document), status_code=status, media_type="application/json")


def _error(error: Exception) -> Response:
    return _json(to_openai(error), spec_of(error).http_status)


_Handler = Callable[[Request, Exception], Response]


def _on_error(request: Request, error: Exception) -> Response:
    return _error(error)


def _on_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 404:
        return _error(NotFoundError(f"There is nothing at {request.method} {request.url.path}."))
    response = _error(InvalidRequestError(f"{error.detail} ({request.method} {request.url.path})."))
    response.status_code = error.status_code
    return response


def _on_defect(request: Request, error: Exception) -> Response:
    return _error(error)
