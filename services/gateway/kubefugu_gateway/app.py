"""The ASGI application: FastAPI around the routes, the chat endpoint as a plain route in front of them."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from starlette.routing import Route

from kubefugu_core.chat import chat_request_json_schema
from kubefugu_gateway import problems
from kubefugu_gateway.auth import Authenticator
from kubefugu_gateway.chat import ChatCompletions
from kubefugu_gateway.executor import Executor
from kubefugu_gateway.metrics import GatewayMetrics
from kubefugu_gateway.routes import make_router

CHAT_PATH = "/v1/chat/completions"


class _Application(FastAPI):
    def openapi(self) -> dict[str, Any]:
        """FastAPI's document with the chat endpoint, which FastAPI does not see, written into it."""
        if self.openapi_schema is None:
            document = get_openapi(title=self.title, version=self.version, description=self.description, routes=self.routes)
            schema = chat_request_json_schema()
            schemas = document.setdefault("components", {}).setdefault("schemas", {})
            for name, definition in schema.pop("$defs").items():
                schemas[name] = _rebased(definition)
            schemas["ChatRequest"] = _rebased(schema)
            document["paths"][CHAT_PATH] = {
                "post": {
                    "summary": "Answer a conversation",
                    "operationId": "chat_completions",
                    "requestBody": {
                        "required": True,
                        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/ChatRequest"}}},
                    },
                    "responses": {
                        "200": {
                            "description": "A chat.completion, or with stream=true chat.completion.chunk events",
                            "content": {"application/json": {}, "text/event-stream": {}},
                        }
                    },
                }
            }
            self.openapi_schema = document
        return self.openapi_schema


def create_app(
    *, chat: ChatCompletions, executor: Executor, authenticator: Authenticator, metrics: GatewayMetrics, docs: bool = True
) -> FastAPI:
    """Put the application together."""
    app = _Application(
        title="kubefugu",
        description="Many language models answer as one, behind OpenAI's chat API.",
        docs_url="/docs" if docs else None,
        redoc_url=None,
        openapi_url="/openapi.json" if docs else None,
        redirect_slashes=False,
    )
    problems.install(app)
    app.router.routes.insert(0, Route(CHAT_PATH, chat, methods=["POST"], name="chat_completions"))
    app.include_router(make_router(executor=executor, authenticator=authenticator, metrics=metrics))
    return app


def _rebased(value: Any) -> Any:
    """The same schema with its references pointing into the OpenAPI document."""
    if isinstance(value, dict):
        return {key: _rebased(child) for key, child in value.items()}
    if isinstance(value, list):
        return [_rebased(child) for child in value]
    if isinstance(value, str) and value.startswith("#/$defs/"):
        return value.replace("#/$defs/", "#/components/schemas/", 1)
    return value
