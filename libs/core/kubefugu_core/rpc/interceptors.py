"""Server interceptors: a deadline on every call, errors told with ErrorInfo, an admin token on admin services."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeAlias

import grpc
import structlog

from kubefugu_core.errors import AuthenticationError, InvalidRequestError, KubefuguError
from kubefugu_core.rpc.details import DETAILS_KEY, encode

_log = structlog.get_logger()
_EXEMPT = ("/grpc.health.", "/grpc.reflection.")

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any] | None"
Continuation = Callable[[grpc.HandlerCallDetails], Awaitable[Handler]]
Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


async def _abort(context: Context, error: BaseException, method: str) -> None:
    if not isinstance(error, KubefuguError):
        _log.error("rpc_failed", method=method, exc_info=error)
    code, message, details = encode(error)
    await context.abort(code, message, ((DETAILS_KEY, details),))


def _check_deadline(context: Context) -> None:
    # gRPC reports a call without a deadline as None, or as a remaining time of centuries.
    remaining = context.time_remaining()
    if remaining is None or remaining > 30 * 24 * 3600:
        raise InvalidRequestError("This call needs a deadline.", field="grpc-timeout")


class ErrorInterceptor(grpc.aio.ServerInterceptor):
    """Translate raised errors and refuse calls without a deadline. Handlers are async functions or async generators."""

    async def intercept_service(self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails) -> Handler:
        """Wrap the handler of every call but health and reflection."""
        handler = await continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None or method.startswith(_EXEMPT):
            return handler
        if handler.unary_unary is not None:
            return grpc.unary_unary_rpc_method_handler(
                _guard_unary(handler.unary_unary, method),
                request_deserializer=handler.request_deserializer,
                response_serializer=handler.response_serializer,
            )
        if handler.unary_stream is not None:
            return grpc.unary_stream_rpc_method_handler(
                _guard_stream(handler.unary_stream, method),
                request_deserializer=handler.request_deserializer,
                response_serializer=handler.response_serializer,
            )
        return handler


def _guard_unary(behaviour: Any, method: str) -> Any:
    async def call(request: Any, context: Context) -> Any:
        try:
            _check_deadline(context)
            return await behaviour(request, context)
        except (asyncio.CancelledError, grpc.aio.AbortError):
            raise
        except Exception as error:
            await _abort(context, error, method)

    return call


def _guard_stream(behaviour: Any, method: str) -> Any:
    async def call(request: Any, context: Context) -> AsyncIterator[Any]:
        try:
            _check_deadline(context)
            async for response in behaviour(request, context):
                yield response
        except (asyncio.CancelledError, GeneratorExit, grpc.aio.AbortError):
            raise
        except Exception as error:
            await _abort(context, error, method)

    return call


class AdminTokenInterceptor(grpc.aio.ServerInterceptor):
    """Require `authorization: Bearer TOKEN` on the services whose full name ends in AdminService.

    `read_token` is asked at each call, so that a rotated Secret is picked up; an empty token switches the check off.
    """

    def __init__(self, read_token: Callable[[], str]) -> None:
        self._read_token = read_token

    async def intercept_service(self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails) -> Handler:
        """Replace the handler of an admin call without the token by one that refuses."""
        handler = await continuation(handler_call_details)
        service = handler_call_details.method.rsplit("/", 1)[0]
        if handler is None or not service.endswith("AdminService"):
            return handler
        token = self._read_token()
        given = dict(handler_call_details.invocation_metadata or ()).get("authorization", "")
        given = given.decode() if isinstance(given, bytes) else given
        if not token or hmac.compare_digest(given.encode(), f"Bearer {token}".encode()):
            return handler

        async def refuse(request: Any, context: Context) -> None:
            await _abort(context, AuthenticationError("This call needs the admin token.", field="authorization"), service)

        return grpc.unary_unary_rpc_method_handler(
            refuse, request_deserializer=handler.request_deserializer, response_serializer=handler.response_serializer
        )
