"""The endpoints beside chat: models, decision records, health, metrics."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.responses import JSONResponse, Response

from kubefugu.executor.v1 import executor_pb2
from kubefugu_core.errors import ModelNotFoundError
from kubefugu_gateway.auth import Authenticator
from kubefugu_gateway.executor import Executor
from kubefugu_gateway.metrics import GatewayMetrics

_PICTURE = {"content-security-policy": "default-src 'none'; style-src 'unsafe-inline'", "x-content-type-options": "nosniff"}
"""A picture may quote what planners wrote: opened on its own, it runs nothing and loads nothing."""


def make_router(*, executor: Executor, authenticator: Authenticator, metrics: GatewayMetrics) -> APIRouter:
    """Routes over an executor."""
    router = APIRouter()

    def tenant_of(request: Request) -> str:
        return authenticator.tenant(request.scope["headers"])

    @router.get("/v1/models", summary="Models that can be asked for")
    async def list_models(request: Request) -> dict[str, Any]:
        tenant_of(request)
        return {"object": "list", "data": [_model(model) for model in await executor.list_models()]}

    @router.get("/v1/models/{model:path}", summary="One model")
    async def get_model(model: str, request: Request) -> dict[str, Any]:
        tenant_of(request)
        for known in await executor.list_models():
            if known.id == model:
                return _model(known)
        raise ModelNotFoundError(f"The model '{model[:256]}' does not exist.", field="model")

    @router.get("/v1/decisions/{request_id}", summary="The decision record of a request")
    async def get_decision(request_id: str, request: Request) -> Response:
        record = await executor.get_decision(request_id, tenant=tenant_of(request))
        return Response(record, media_type="application/json")

    @router.get("/v1/decisions/{request_id}/graph.svg", summary="The picture of a request's workflow", response_class=Response)
    async def get_graph(request_id: str, request: Request) -> Response:
        svg = await executor.get_graph(request_id, tenant=tenant_of(request))
        return Response(svg, media_type="image/svg+xml", headers=_PICTURE)

    @router.get("/healthz", summary="The process lives")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @router.get("/readyz", summary="Requests can be answered now", responses={503: {"description": "Not ready"}})
    async def readyz() -> Response:
        if await executor.is_serving():
            return JSONResponse({"status": "ready"})
        return JSONResponse({"status": "not ready", "reason": "the executor is not serving"}, status_code=503)

    @router.get("/metrics", summary="Prometheus metrics", include_in_schema=False)
    async def prometheus() -> Response:
        return Response(generate_latest(metrics.registry), headers={"content-type": CONTENT_TYPE_LATEST})

    return router


def _model(model: executor_pb2.Model) -> dict[str, Any]:
    return {
        "id": model.id,
        "object": "model",
        "created": model.created.seconds,
        "owned_by": model.owned_by,
        "kubefugu": {"context_tokens": model.context_tokens, "capabilities": list(model.capabilities)},
    }
