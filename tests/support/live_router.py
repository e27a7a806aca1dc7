"""A real router over a tiny random backbone, and real policy artifacts for it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import numpy as np
from grpc_health.v1 import health_pb2, health_pb2_grpc
from prometheus_client import CollectorRegistry

from kubefugu.common.v1 import common_pb2
from kubefugu.router.v1 import router_pb2, router_pb2_grpc
from kubefugu_core.errors import KubefuguError
from kubefugu_core.rpc import from_rpc_error, open_channel
from kubefugu_router.main import running
from kubefugu_router.settings import RouterSettings
from kubefugu_routing.backbone import BackboneInfo, load_backbone
from kubefugu_routing.formats import RouterFormat
from kubefugu_routing.policy import FactorRef, PolicyArtifact, WorkerRow, save_artifact
from kubefugu_routing.svf import SvfOffsets, TieMode, layout_of
from kubefugu_routing.svf.factors import make_bundle, save_bundle
from support.waiting import until

WORKERS = ("alpha", "beta", "gamma")
TIMEOUT_S = 60.0


@dataclass
class Policies:
    """Makes artifacts of one backbone in a folder; versions are file names."""

    folder: Path
    backbone: Path

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._loaded = load_backbone(str(self.backbone))

    @property
    def info(self) -> BackboneInfo:
        return self._loaded.info

    def write(
        self,
        version: str,
        *,
        seed: int = 0,
        workers: Sequence[str] = WORKERS,
        roles: bool = False,
        offsets: bool = False,
        fmt: RouterFormat = RouterFormat.RAW,
        best: str = "",
        **changes: Any,
    ) -> router_pb2.PolicySource:
        """A random head (or one that prefers `best` on any input), perhaps with offsets and their bundle."""
        rng = np.random.default_rng(seed)
        rows = len(workers) + (3 if roles else 0)
        head = rng.normal(size=(rows, self.info.hidden_size)).astype(np.float32)
        if best:
            # The tiny backbone's features are far from zero on every input: a large multiple of their mean decides.
            mean = self.mean_feature()
            head *= 0.01
            head[list(workers).index(best)] += 10 * mean / np.linalg.norm(mean)
        moved, factors = None, None
        if offsets:
            layout = layout_of(self.info)
            names = [name for name in layout.lengths if name not in ("embed_tokens", "lm_head")]
            blocks = {n: rng.normal(scale=0.2, size=layout.lengths[n]).astype(np.float32) for n in names}
            moved = SvfOffsets(layer=layout.layer, tie_mode=TieMode.AUTHOR, blocks=blocks)
            path = self.folder / "factors.safetensors"
            factors = FactorRef(path.as_uri(), save_bundle(path, make_bundle(self._loaded, layer=layout.layer)))
        fields: dict[str, Any] = {
            "backbone_id": self.info.id,
            "backbone_revision": self.info.revision,
            "layer": layout_of(self.info).layer,
            "head": head,
            "workers": tuple(WorkerRow(name, f"model-{name}") for name in workers),
            "roles": roles,
            "input_format": fmt,
            "offsets": moved,
            "factors": factors,
        }
        path = self.folder / f"{version}.safetensors"
        digest = save_artifact(path, PolicyArtifact(**(fields | changes)))
        return router_pb2.PolicySource(version=version, uri=path.as_uri(), sha256=digest)

    def mean_feature(self) -> np.ndarray[Any, Any]:
        """Mean feature over a few short texts."""
        from kubefugu_routing.engine import Engine

        texts = [f"user: question {i} about things" for i in range(12)]
        ids = [self._loaded.tokenizer(text, add_special_tokens=False).input_ids for text in texts]
        return np.asarray(Engine(self._loaded).features(ids).mean(axis=0))


def policy_set(generation: int, active: str, *sources: router_pb2.PolicySource, **more: Any) -> router_pb2.PolicySet:
    return router_pb2.PolicySet(generation=generation, active=active, sources=sources, **more)


def request(text: str = "What is the capital of France?", *, workers: Sequence[str] = WORKERS, **more: Any) -> Any:
    """A RouteRequest for one user message."""
    return router_pb2.RouteRequest(
        transcript=[common_pb2.TranscriptMessage(role="user", text=text)],
        allowed=[common_pb2.AllowedWorker(name=name, model=f"model-{name}") for name in workers],
        **more,
    )


class Client:
    """Calls a router; errors are those of the error tree."""

    def __init__(self, target: str, *, token: str = "") -> None:
        self._channel = open_channel(target)
        self._metadata = (("authorization", f"Bearer {token}"),) if token else ()
        self._router = router_pb2_grpc.RouterServiceStub(self._channel)
        self._admin = router_pb2_grpc.RouterAdminServiceStub(self._channel)
        self._health = health_pb2_grpc.HealthStub(self._channel)

    async def _call(self, method: Any, message: Any, timeout_s: float) -> Any:
        try:
            return await method(message, timeout=timeout_s, metadata=self._metadata)
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from error

    async def route(self, message: Any = None, *, timeout_s: float = TIMEOUT_S) -> router_pb2.Decision:
        response = await self._call(self._router.Route, message or request(), timeout_s)
        return response.decision

    async def batch(self, messages: Sequence[Any]) -> Any:
        return await self._call(self._router.RouteBatch, router_pb2.RouteBatchRequest(requests=messages), TIMEOUT_S)

    async def explain(self, message: Any = None) -> Any:
        return await self._call(self._router.Explain, router_pb2.ExplainRequest(request=message or request()), TIMEOUT_S)

    async def declare(self, declared: router_pb2.PolicySet) -> Any:
        return await self._call(self._admin.SetPolicies, router_pb2.SetPoliciesRequest(policy_set=declared), TIMEOUT_S)

    async def policies(self) -> Any:
        return await self._call(self._admin.GetPolicies, router_pb2.GetPoliciesRequest(), TIMEOUT_S)

    async def probe(self, version: str, *texts: str) -> Any:
        transcript = [common_pb2.TranscriptMessage(role="user", text=text) for text in texts]
        message = router_pb2.ProbeRequest(policy_version=version, transcript=transcript)
        return await self._call(self._admin.Probe, message, TIMEOUT_S)

    async def states(self) -> Mapping[str, str]:
        """Version -> state name in lower case."""
        reply = await self.policies()
        return {p.version: router_pb2.PolicyState.Name(p.state).removeprefix("POLICY_STATE_").lower() for p in reply.policies}

    async def serving(self, service: str = "kubefugu.router.v1.RouterService") -> bool:
        try:
            reply = await self._health.Check(health_pb2.HealthCheckRequest(service=service), timeout=TIMEOUT_S)
        except grpc.aio.AioRpcError:
            return False
        return bool(reply.status == health_pb2.HealthCheckResponse.SERVING)

    async def until_serving(self, *, timeout_s: float = 60.0) -> None:
        seen: list[bool] = []

        async def look() -> None:
            while not (seen and seen[-1]):
                seen.append(await self.serving())

        import asyncio

        task = asyncio.create_task(look())
        try:
            await until(lambda: bool(seen and seen[-1]), what="the router serves", timeout_s=timeout_s)
        finally:
            task.cancel()

    async def close(self) -> None:
        await self._channel.close()


def settings_for(backbone: Path, folder: Path, **changes: Any) -> RouterSettings:
    """Settings for a test: a unix socket, one thread, quick watchers, artifacts from anywhere below `folder`."""
    fields: dict[str, Any] = {
        "listen": f"unix:{folder / 'router.sock'}",
        "backbone": str(backbone),
        "device": "cpu",
        "dtype": "float32",
        "threads": 1,
        "kv_cache_mib": 16,
        "watch_seconds": 0.05,
        "pulse_seconds": 0.2,
        "allowed_uri_prefixes": (folder.as_uri(),),
        "drain_seconds": 5.0,
    }
    return RouterSettings(**(fields | changes), _cli_parse_args=[])  # type: ignore[call-arg]


@asynccontextmanager
async def router(settings: RouterSettings, *, token: str = "") -> AsyncIterator[Client]:
    """A router in this process, behind a real socket, and a client of it."""
    async with running(settings, registry=CollectorRegistry()):
        client = Client(settings.listen, token=token)
        try:
            yield client
        finally:
            await client.close()


async def refusal(call: Any) -> KubefuguError:
    """The error that a call raises."""
    try:
        got = await call
    except KubefuguError as error:
        return error
    raise AssertionError(f"it succeeded: {got}")
