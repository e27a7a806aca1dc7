"""The WorkerPool kind: kubefugu_core.pool's spec, plus status, CEL rules, columns and condition reasons."""

from __future__ import annotations

from enum import StrEnum

from pydantic import BaseModel, Field

from kubefugu_core import pool
from kubefugu_core.pool import ApiModel
from kubefugu_operators.api import Column, Kind, Rule, Status
from kubefugu_operators.conditions import INTERNAL_ERROR, INTERNAL_ERROR_TEXT
from kubefugu_operators.workerpool.sample import SAMPLE


class WorkerStatus(ApiModel):
    """How one worker is doing."""

    name: str = Field(max_length=63)
    """The worker's name."""
    ready: bool = False
    """True: its endpoint answers and takes our key."""
    url: str = Field(default="", max_length=2048)
    """Base URL that the executor calls."""
    reason: str = Field(default="", max_length=128)
    """Constant for programs where it is not ready."""
    message: str = Field(default="", max_length=1024)
    """Sentence for people where it is not ready."""
    latency_millis: int = Field(default=0, ge=0)
    """Time of a listing of models, smoothed; written only when it changes by more than half."""
    replicas: str = Field(default="", max_length=32)
    """Managed workers: ready and desired replicas."""


class WorkerPoolStatus(Status):
    """Status of a pool."""

    workers: tuple[WorkerStatus, ...] = Field(default=(), max_length=256)
    """Workers in the spec's order."""
    ready_workers: str = Field(default="", max_length=32)
    """Ready and declared workers, e.g. 2/3."""
    active_policy: str = Field(default="", max_length=256)
    """RoutingPolicy and version that route this pool."""
    config_map: str = Field(default="", max_length=253)
    """ConfigMap with the executor's pool file."""


class ConditionType(StrEnum):
    """Conditions of a pool, in the order in which Ready looks at them."""

    KEYS_RESOLVED = "KeysResolved"
    CONFIGURED = "Configured"
    MANAGED_AVAILABLE = "ManagedAvailable"
    WORKERS_HEALTHY = "WorkersHealthy"
    READY = "Ready"


class Reason(StrEnum):
    """Reasons of a pool's conditions."""

    KEYS_FOUND = "KeysFound"
    NO_KEYS = "NoKeys"
    SECRET_NOT_FOUND = "SecretNotFound"  # noqa: S105
    SECRET_KEY_NOT_FOUND = "SecretKeyNotFound"  # noqa: S105
    CONFIGURED = "Configured"
    INVALID_SPEC = "InvalidSpec"
    NAME_CONFLICT = "NameConflict"
    WRITE_REFUSED = "WriteRefused"
    NO_MANAGED_WORKERS = "NoManagedWorkers"
    ALL_AVAILABLE = "AllAvailable"
    ROLLING_OUT = "RollingOut"
    IMAGE_PULL_FAILED = "ImagePullFailed"
    UNSCHEDULABLE = "Unschedulable"
    CRASHING = "Crashing"
    ALL_WORKERS_HEALTHY = "AllWorkersHealthy"
    SOME_WORKERS_UNHEALTHY = "SomeWorkersUnhealthy"
    NOT_PROBED_YET = "NotProbedYet"
    WORKER_UNREACHABLE = "WorkerUnreachable"
    KEY_REFUSED = "KeyRefused"
    WORKER_FAILING = "WorkerFailing"
    INTERNAL_ERROR = INTERNAL_ERROR


CONDITIONS: dict[str, dict[str, str]] = {
    ConditionType.KEYS_RESOLVED: {
        Reason.KEYS_FOUND: "Every secretKeyRef was found and its key copied into the Secret `<pool>-keys`.",
        Reason.NO_KEYS: "No worker of this pool needs a key.",
        Reason.SECRET_NOT_FOUND: "A referenced Secret does not exist. Create it; it is looked up again within a minute.",
        Reason.SECRET_KEY_NOT_FOUND: "The Secret lacks the named key. Add it, or correct `auth.secretKeyRef.key`.",
    },
    ConditionType.CONFIGURED: {
        Reason.CONFIGURED: "The executor's pool file is in the ConfigMap `<pool>-pool`.",
        Reason.INVALID_SPEC: "The stored spec is not valid for this version of the operator; the message names the field.",
        Reason.NAME_CONFLICT: "A needed object belongs to someone else. Rename the pool or worker, or delete that object.",
        Reason.WRITE_REFUSED: "The API server refused an object (admission, quota, permissions); see the message.",
    },
    ConditionType.MANAGED_AVAILABLE: {
        Reason.NO_MANAGED_WORKERS: "The pool has no managed workers.",
        Reason.ALL_AVAILABLE: "Every managed worker has the replicas that it should have.",
        Reason.ROLLING_OUT: "A Deployment is still rolling out; models may take minutes to load.",
        Reason.IMAGE_PULL_FAILED: "An image can't be pulled. Correct `managed.image` or add `managed.imagePullSecrets`.",
        Reason.UNSCHEDULABLE: "No node has room (CPU, memory, GPU, taints). Lower the requests, add tolerations or nodes.",
        Reason.CRASHING: "A container ends again and again. See `kubectl logs deployment/<pool>-<worker>`.",
    },
    ConditionType.WORKERS_HEALTHY: {
        Reason.ALL_WORKERS_HEALTHY: "Every worker's endpoint answers and takes our key.",
        Reason.NOT_PROBED_YET: "The first round of probes is not over.",
        Reason.WORKER_UNREACHABLE: "An endpoint does not answer. Check its URL, its pods and network policies.",
        Reason.KEY_REFUSED: "An endpoint refuses the key (401 or 403). Put the right key into the referenced Secret.",
        Reason.WORKER_FAILING: "An endpoint answers with a server error.",
    },
    ConditionType.READY: {
        Reason.ALL_WORKERS_HEALTHY: "The pool is configured and every worker is healthy.",
        Reason.SOME_WORKERS_UNHEALTHY: "The pool answers, but not with every worker; WorkersHealthy names those that fail.",
        Reason.INTERNAL_ERROR: INTERNAL_ERROR_TEXT,
    },
}  # fmt: skip

_ONE_ENDPOINT = Rule(
    "[has(self.url), has(self.service), has(self.managed)].filter(x, x).size() == 1",
    "a worker needs exactly one of url, service or managed: say where its OpenAI API is found, in one way.",
)
RULES: dict[type[BaseModel], tuple[Rule, ...]] = {
    pool.WorkerSpec: (
        _ONE_ENDPOINT,
        Rule(
            "!(self.name in ['fugu', 'fugu-ultra'])",
            "fugu and fugu-ultra are the names of the coordinated models: give the worker another name.",
            ".name",
        ),
        Rule(
            "!has(self.url) || !self.url.matches('^https?://[^/]*@')",
            "the URL must not carry a user or password: put the key into a Secret and name it in auth.secretKeyRef.",
            ".url",
        ),
    ),
    pool.Auth: (
        Rule("has(self.secretKeyRef)", "auth needs secretKeyRef: name a Secret in this namespace and the key inside it."),
    ),
    pool.EnvironmentVariable: (
        Rule(
            "!(has(self.secretKeyRef) && has(self.value) && self.value != '')",
            "an environment variable takes value or secretKeyRef, not both.",
        ),
    ),
    pool.WorkerPoolSpec: (
        Rule(
            "self.workers.exists(w, 'solver' in w.roles)",
            "no worker may take the role solver, so nothing could answer: allow it for at least one worker.",
            ".workers",
        ),
        Rule(
            "self.routing.planner == '' || self.workers.exists(w, w.name == self.routing.planner)",
            "routing.planner must be the name of a worker of this pool.",
            ".routing.planner",
        ),
    ),
}

KIND = Kind(
    kind="WorkerPool",
    plural="workerpools",
    short_name="wp",
    description="Workers that answer as one: any servers with an OpenAI chat API, run elsewhere or by the operator.",
    spec=pool.WorkerPoolSpec,
    status=WorkerPoolStatus,
    columns=(
        Column("Ready", '.status.conditions[?(@.type=="Ready")].status', description="Whether requests can be answered."),
        Column("Reason", '.status.conditions[?(@.type=="Ready")].reason', description="Why, or why not."),
        Column("Workers", ".status.readyWorkers", description="Ready and declared workers."),
        Column("Policy", ".status.activePolicy", description="RoutingPolicy and version that route this pool."),
        Column("Message", '.status.conditions[?(@.type=="Ready")].message', description="Sentence for people.", priority=1),
        Column("Age", ".metadata.creationTimestamp", type="date"),
    ),
    rules=RULES,
    list_keys={
        (pool.WorkerPoolSpec, "workers"): "name",
        (pool.ManagedContainer, "env"): "name",
        (WorkerPoolStatus, "workers"): "name",
        (WorkerPoolStatus, "conditions"): "type",
    },
    set_lists=frozenset({(pool.WorkerSpec, "capabilities"), (pool.WorkerSpec, "roles")}),
    conditions=CONDITIONS,
    sample=SAMPLE,
)
