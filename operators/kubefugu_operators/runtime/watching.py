"""kopf brings events; all that a handler does is to put the owner's key into the work queue.

Only `on.event` is used: change handlers would annotate the objects, timers and daemons would add finalizers. Label selectors
are applied by the API server, so that other people's objects are never read.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import kopf

from kubefugu_operators import names
from kubefugu_operators.api import GROUP, VERSION
from kubefugu_operators.cluster.objects import Ref
from kubefugu_operators.kinds import KINDS
from kubefugu_operators.runtime.freshness import Freshness
from kubefugu_operators.runtime.metrics import Metrics
from kubefugu_operators.runtime.queue import WorkQueue

_CHILDREN = (
    ("", "v1", "configmaps"),
    ("", "v1", "services"),
    ("", "v1", "pods"),
    ("apps", "v1", "deployments"),
    ("batch", "v1", "jobs"),
)
_SELECTOR = "app.kubernetes.io/name=kubefugu"
Login = Callable[..., kopf.ConnectionInfo]
"""Called with kopf's keyword arguments, in a thread, whenever credentials are needed anew."""
_KINDS = frozenset(kind.kind for kind in KINDS)


def owners(namespace: str, metadata: Mapping[str, Any]) -> Iterable[Ref]:
    """Objects of our kinds that an object belongs to: by controller reference, and by label for pods and published versions."""
    found: dict[Ref, None] = {}
    for reference in metadata.get("ownerReferences") or ():
        if reference["kind"] in _KINDS and reference["apiVersion"] == f"{GROUP}/{VERSION}":
            found[Ref(reference["kind"], namespace, reference["name"])] = None
    labels = metadata.get("labels") or {}
    told = [(kind, names.owner_label(kind)) for kind in ("WorkerPool", "TrainingRun", "RoutingPolicy")]
    for kind, label in (*told, ("RoutingPolicy", names.CONDUCTOR_POLICY)):
        name = labels.get(label)
        if name:
            found[Ref(kind, namespace, name)] = None
    return found


class Watcher:
    """A kopf operator of its own registry and settings."""

    def __init__(
        self,
        *,
        queue: WorkQueue,
        metrics: Metrics,
        freshness: Freshness,
        namespaces: Sequence[str],
        login: Login,
    ) -> None:
        self._queue = queue
        self._metrics = metrics
        self._freshness = freshness
        self._namespaces = list(namespaces)
        self._login = login
        self.ready = asyncio.Event()

    async def run(self, stop: asyncio.Event) -> None:
        """Watch until `stop` is set. Ends with an error when a watch can't go on."""
        logging.getLogger("kopf").setLevel(logging.WARNING)
        registry = kopf.OperatorRegistry()
        self._register(registry)
        scope: dict[str, Any] = {"namespaces": self._namespaces} if self._namespaces else {"clusterwide": True}
        # Without an identity kopf asks for the user's name, which a container's user id need not have.
        identity: Any = "kubefugu-operator"
        try:
            await kopf.operator(
                registry=registry,
                settings=_settings(),
                standalone=True,
                identity=identity,
                stop_flag=stop,
                ready_flag=self.ready,
                **scope,
            )
        except OSError:
            # At its end kopf raises what any other task of the loop ended with, such as a probe's name look-up.
            if not stop.is_set():
                raise

    def _register(self, registry: kopf.OperatorRegistry) -> None:
        kopf.on.login(registry=registry)(self._login)
        for kind in KINDS:
            kopf.on.event(GROUP, VERSION, kind.plural, registry=registry, id=f"own-{kind.plural}")(self._own(kind.kind))
        for group, version, plural in _CHILDREN:
            kopf.on.event(group, version, plural, registry=registry, id=f"child-{plural}")(self._child(plural))

    def _own(self, kind: str) -> Callable[..., Any]:
        async def handle(event: Any, **_: Any) -> None:
            metadata = event["object"]["metadata"]
            ref = Ref(kind, metadata["namespace"], metadata["name"])
            self._metrics.event(kind)
            self._freshness.seen(ref, metadata["resourceVersion"], gone=event["type"] == "DELETED")
            # The status lags behind the spec: a user's edit, or a new object.
            status = event["object"].get("status") or {}
            self._queue.add(ref, hasty=status.get("observedGeneration") != metadata.get("generation"))

        return handle

    def _child(self, plural: str) -> Callable[..., Any]:
        async def handle(event: Any, **_: Any) -> None:
            metadata = event["object"]["metadata"]
            self._metrics.event(plural)
            for ref in owners(metadata["namespace"], metadata):
                self._queue.add(ref)

        return handle


def _settings() -> kopf.OperatorSettings:
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    settings.scanning.disabled = True
    settings.watching.server_timeout = 300
    settings.watching.connect_timeout = 10
    settings.watching.client_timeout = 330
    settings.networking.request_timeout = 30
    settings.process.ultimate_exiting_timeout = None
    for group, version, plural in _CHILDREN:
        settings.watching.label_selectors[group, version, plural] = _SELECTOR
    return settings
