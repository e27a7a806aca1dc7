"""The `Api` over HTTP: kubernetes.aio's configuration, TLS and token handling, plain JSON objects instead of its models."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from urllib.parse import quote, urlencode

import aiohttp
from kubernetes.aio import client, config

from kubefugu_core.policy_sets.published import MANAGER
from kubefugu_operators.cluster.objects import ApiError, Body, Ref, api_version, collection_path

_PAGE = 500


class HttpApi:
    """One connection pool to the API server. Close it when done."""

    def __init__(self, configuration: client.Configuration, *, timeout_s: float = 30.0, user_agent: str = MANAGER) -> None:
        self._configuration = configuration
        self._rest: Any = client.ApiClient(configuration).rest_client
        self._user_agent = user_agent
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)

    async def close(self) -> None:
        """Close the connections."""
        await self._rest.close()

    async def request(self, method: str, path: str, *, body: Any = None, content_type: str = "application/json") -> Any:
        """One call; the answer's JSON. Raises ApiError."""
        headers = {"Accept": "application/json", "Content-Type": content_type, "User-Agent": self._user_agent}
        settings: dict[str, Any] = dict(await self._configuration.auth_settings())
        for setting in settings.values():
            headers[setting["key"]] = setting["value"]
        try:
            response = await self._rest.request(
                method, self._configuration.host + path, headers=headers, body=body, _request_timeout=self._timeout
            )
            raw = await response.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise ApiError(0, "Unreachable", f"{method} {path}: {error or type(error).__name__}") from error
        if 200 <= response.status < 300:
            return json.loads(raw)
        raise _refusal(response.status, raw)

    async def get(self, ref: Ref) -> Body | None:
        """The object, or None."""
        try:
            found: Body = await self.request("GET", _path(ref))
        except ApiError as error:
            if error.status == 404:
                return None
            raise
        return found

    async def list(self, kind: str, namespace: str, *, labels: str = "") -> list[Body]:
        """Objects of a kind that match a label selector, read in pages."""
        found: list[Body] = []
        query = {"limit": str(_PAGE)} | ({"labelSelector": labels} if labels else {})
        while True:
            page = await self.request("GET", f"{collection_path(kind, namespace)}?{urlencode(query)}")
            # Items of a list carry neither kind nor apiVersion.
            found += [{"apiVersion": api_version(kind), "kind": kind, **item} for item in page["items"]]
            following = page["metadata"].get("continue")
            if not following:
                return found
            query["continue"] = following

    async def apply(self, body: Body, *, subresource: str = "", force: bool = True) -> Body:
        """Server-side apply."""
        ref = Ref(body["kind"], body["metadata"]["namespace"], body["metadata"]["name"])
        suffix = f"/{subresource}" if subresource else ""
        query = urlencode({"fieldManager": MANAGER, "force": str(force).lower()})
        stored: Body = await self.request(
            "PATCH", f"{_path(ref)}{suffix}?{query}", body=body, content_type="application/apply-patch+yaml"
        )
        return stored

    async def create(self, body: Body) -> Body:
        """Create an object."""
        path = collection_path(body["kind"], body["metadata"]["namespace"])
        created: Body = await self.request("POST", f"{path}?{urlencode({'fieldManager': MANAGER})}", body=body)
        return created

    async def delete(self, ref: Ref, *, uid: str = "") -> None:
        """Delete an object and, in the background, what it owns."""
        options: Body = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Background"}
        if uid:
            options["preconditions"] = {"uid": uid}
        try:
            await self.request("DELETE", _path(ref), body=options)
        except ApiError as error:
            # 409: another object has this name by now, which is not ours to delete.
            if error.status not in (404, 409):
                raise

    async def annotate(self, ref: Ref, annotations: dict[str, str | None]) -> None:
        """Merge annotations."""
        query = urlencode({"fieldManager": MANAGER})
        body = {"metadata": {"annotations": annotations}}
        await self.request("PATCH", f"{_path(ref)}?{query}", body=body, content_type="application/merge-patch+json")


def _path(ref: Ref) -> str:
    return f"{collection_path(ref.kind, ref.namespace)}/{quote(ref.name, safe='')}"


def _refusal(status: int, raw: bytes) -> ApiError:
    try:
        told = json.loads(raw)
        return ApiError(status, told.get("reason", ""), told.get("message", ""))
    except (ValueError, AttributeError):
        return ApiError(status, "", raw[:500].decode(errors="replace"))


async def load_configuration(kubeconfig: str = "") -> client.Configuration:
    """In-cluster credentials, or those of a kubeconfig file where one is given."""
    configuration = client.Configuration()
    if kubeconfig:
        load: Any = config.load_kube_config
        await load(config_file=kubeconfig, client_configuration=configuration)
    else:
        await asyncio.to_thread(config.load_incluster_config, client_configuration=configuration)
    return configuration
