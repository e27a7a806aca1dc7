"""What else acts in a cluster, played against a real API server: pods, kubelets' status, routers and executors by gRPC."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

import grpc
from aiohttp import web

from kubefugu.conductor.v1 import conductor_pb2
from kubefugu.executor.v1 import executor_pb2, executor_pb2_grpc
from kubefugu.router.v1 import router_pb2, router_pb2_grpc
from kubefugu_core.rpc import RpcServer
from kubefugu_operators import names
from kubefugu_operators.cluster.client import HttpApi
from kubefugu_operators.cluster.objects import Body, Ref
from support.ports import free_port

_GROUPS = {"Pod": "/api/v1", "Job": "/apis/batch/v1", "Deployment": "/apis/apps/v1"}


def pod(namespace: str, name: str, labels: dict[str, str], *, spec: Body | None = None) -> Body:
    """A pod of ours."""
    container = {"name": "c", "image": "i"}
    labels = {"app.kubernetes.io/name": "kubefugu", **labels}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": spec or {"containers": [container]},
    }


async def set_status(api: HttpApi, kind: str, namespace: str, name: str, status: Body) -> None:
    """What kubelet and controllers write."""
    path = f"{_GROUPS[kind]}/namespaces/{namespace}/{kind.lower()}s/{name}/status"
    await api.request("PATCH", path, body={"status": status}, content_type="application/merge-patch+json")


async def served(api: HttpApi, namespace: str, policy: str) -> dict[str, Any]:
    """What GetPolicies tells where the stored set is served, as by a pod with the mounted folder."""
    stored = await api.get(Ref("ConfigMap", namespace, f"{policy}-policyset"))
    if stored is None:
        return {}
    document = json.loads(stored["data"]["policy-set.json"])
    states = {document["active"]: router_pb2.POLICY_STATE_ACTIVE}
    states |= dict.fromkeys(document.get("shadow", ()), router_pb2.POLICY_STATE_SHADOW)
    if "canary" in document:
        states[document["canary"]["version"]] = router_pb2.POLICY_STATE_CANARY
    policies = [router_pb2.PolicyStatus(version=version, state=state) for version, state in states.items()]
    return {"policies": policies, "serving_generation": document["generation"]}


class Router(router_pb2_grpc.RouterAdminServiceServicer):
    """Serves whatever the stored set of the policy `main` declares."""

    def __init__(self, api: HttpApi, namespace: str) -> None:
        self._api = api
        self._namespace = namespace

    async def GetPolicies(self, request: Any, context: Any) -> router_pb2.GetPoliciesResponse:
        """See the proto."""
        return router_pb2.GetPoliciesResponse(**await served(self._api, self._namespace, "main"))


@contextlib.asynccontextmanager
async def one_conductor(api: HttpApi, namespace: str, port: int, policy: str) -> AsyncIterator[None]:
    """A Conductor pod that follows a policy and serves whatever its stored set declares."""

    async def get_policies(request: Any, context: Any) -> conductor_pb2.GetPoliciesResponse:
        return conductor_pb2.GetPoliciesResponse(**await served(api, namespace, policy))

    handler = grpc.unary_unary_rpc_method_handler(
        get_policies,
        request_deserializer=conductor_pb2.GetPoliciesRequest.FromString,
        response_serializer=conductor_pb2.GetPoliciesResponse.SerializeToString,
    )
    rpc = RpcServer(f"127.0.0.5:{port}", services=[])
    service = conductor_pb2.DESCRIPTOR.services_by_name["ConductorService"].full_name
    rpc.grpc.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {"GetPolicies": handler}),))
    await rpc.start()
    try:
        await _running_pod(api, namespace, "conductor-0", "conductor", "127.0.0.5", {names.POLICY: policy})
        yield
    finally:
        await rpc.stop(0)


class Executor(executor_pb2_grpc.ExecutorServiceServicer):
    """Has answered so many requests by version."""

    def __init__(self, counts: Mapping[str, int]) -> None:
        self._counts = counts

    async def GetPolicyCounters(self, request: Any, context: Any) -> executor_pb2.GetPolicyCountersResponse:
        """See the proto."""
        policies = [executor_pb2.PolicyCounters(policy_version=version, requests=n) for version, n in self._counts.items()]
        return executor_pb2.GetPolicyCountersResponse(policies=policies)


async def _running_pod(api: HttpApi, namespace: str, name: str, component: str, ip: str, more: dict[str, str]) -> None:
    labels = {"kubefugu.dev/routing-policy": "main", "app.kubernetes.io/component": component, **more}
    await api.create(pod(namespace, name, labels))
    await set_status(api, "Pod", namespace, name, {"phase": "Running", "podIP": ip})


@contextlib.asynccontextmanager
async def models_endpoint(key: str = "") -> AsyncIterator[str]:
    """A worker's endpoint that lists models, for those alone who have the key where there is one."""

    async def models(request: web.Request) -> web.Response:
        good = not key or request.headers.get("Authorization") == f"Bearer {key}"
        return web.json_response({"data": []}, status=200 if good else 401)

    app = web.Application()
    app.router.add_get("/v1/models", models)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        port = free_port()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        await runner.cleanup()


@contextlib.asynccontextmanager
async def two_routers(api: HttpApi, namespace: str, port: int) -> AsyncIterator[None]:
    """Two router pods of the policy `main` on two loopback addresses."""
    async with contextlib.AsyncExitStack() as stack:
        for number, ip in enumerate(("127.0.0.2", "127.0.0.3")):
            rpc = RpcServer(f"{ip}:{port}", services=[])
            router_pb2_grpc.add_RouterAdminServiceServicer_to_server(Router(api, namespace), rpc.grpc)
            await rpc.start()
            stack.push_async_callback(rpc.stop, 0)
            await _running_pod(api, namespace, f"router-{number}", "router", ip, {})
        yield


@contextlib.asynccontextmanager
async def one_executor(api: HttpApi, namespace: str, port: int, counts: Mapping[str, int]) -> AsyncIterator[None]:
    """An executor pod of the pool `pool`, the policy `main` and the Conductors' `planners`; `counts` may grow while it runs."""
    rpc = RpcServer(f"127.0.0.4:{port}", services=[])
    executor_pb2_grpc.add_ExecutorServiceServicer_to_server(Executor(counts), rpc.grpc)
    await rpc.start()
    try:
        more = {names.POOL: "pool", names.CONDUCTOR_POLICY: "planners"}
        await _running_pod(api, namespace, "executor-0", "executor", "127.0.0.4", more)
        yield
    finally:
        await rpc.stop(0)
