"""The pool: the typed source of the `WorkerPool` resource, of pool files and of the executor's configuration.

A pool file is a `WorkerPool` manifest. Field names are the manifest's (camelCase aliases); money is a decimal string; the
local-only fields (`process`, `auth.env`, `auth.file`) are left out of the generated CRD (json_schema_extra {"local": True}).
"""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic.alias_generators import to_camel

from kubefugu_core.errors import DataError

API_VERSION = "kubefugu.dev/v1alpha1"
COORDINATED_MODELS = ("fugu", "fugu-ultra")
"""Model names that no worker may have."""

DecimalString = Annotated[str, Field(pattern=r"^[0-9]{1,9}(\.[0-9]{1,9})?$")]
Name = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", max_length=63)]


class ApiModel(BaseModel):
    """Base of everything that is written in manifests: camelCase, unknown fields refused, attribute docstrings are the docs."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True, use_attribute_docstrings=True
    )


class Role(StrEnum):
    """Role of a turn (TRINITY, section 3), in the order of the head's role rows."""

    SOLVER = "solver"
    THINKER = "thinker"
    VERIFIER = "verifier"


class Capability(StrEnum):
    """What a worker's endpoint supports beyond text. A request that needs one is only given to workers that declare it."""

    TOOLS = "tools"
    """Function tools, tool_choice and tool results."""
    VISION = "vision"
    """image_url content parts."""
    JSON_MODE = "jsonMode"
    """response_format json_object."""
    JSON_SCHEMA = "jsonSchema"
    """response_format json_schema (constrained decoding)."""
    LOGPROBS = "logprobs"
    """logprobs and top_logprobs."""


class SecretKeyRef(ApiModel):
    """A key of a Secret in the pool's namespace."""

    name: str = Field(min_length=1, max_length=253)
    """Name of the Secret."""
    key: str = Field(min_length=1, max_length=253)
    """Key in the Secret's data."""


class Auth(ApiModel):
    """Where a worker's API key comes from. Exactly one source."""

    secret_key_ref: SecretKeyRef | None = None
    """A Secret in the pool's namespace."""
    env: str | None = Field(default=None, json_schema_extra={"local": True})
    """Environment variable, on one machine only."""
    file: str | None = Field(default=None, json_schema_extra={"local": True})
    """File with the key, on one machine only; re-read on change."""

    @model_validator(mode="after")
    def _one_source(self) -> Auth:
        if sum(source is not None for source in (self.secret_key_ref, self.env, self.file)) != 1:
            raise ValueError("auth needs exactly one of secretKeyRef, env or file")
        return self


class ServiceEndpoint(ApiModel):
    """A Service in the pool's namespace."""

    name: Name
    """Name of the Service."""
    port: int = Field(ge=1, le=65535)
    """Port of the Service."""
    path: str = Field(default="/v1", pattern=r"^/[^\s]*$", max_length=256)
    """Path of the OpenAI API below the Service."""


class Prices(ApiModel):
    """US dollars per million tokens, as decimal strings."""

    input_per_million_tokens: DecimalString = "0"
    """Price of input tokens."""
    output_per_million_tokens: DecimalString = "0"
    """Price of output tokens."""

    def cost_usd(self, prompt_tokens: int, completion_tokens: int) -> float:
        """Cost of one call in US dollars."""
        total = (
            Decimal(self.input_per_million_tokens) * prompt_tokens + Decimal(self.output_per_million_tokens) * completion_tokens
        )
        return float(total / 1_000_000)


class Limits(ApiModel):
    """Limits that the worker imposes; 0 means none."""

    max_concurrency: int = Field(default=0, ge=0, le=10_000)
    """Calls in flight at the same time; further ones wait within their deadline."""
    requests_per_minute: int = Field(default=0, ge=0, le=1_000_000)
    """Requests a minute."""
    tokens_per_minute: int = Field(default=0, ge=0, le=1_000_000_000)
    """Tokens a minute, input and output."""


class Timeouts(ApiModel):
    """Timeouts of one worker call."""

    connect_seconds: int = Field(default=5, ge=1, le=300)
    """Until the connection stands."""
    first_token_seconds: int = Field(default=60, ge=1, le=3600)
    """Until the first byte of a streamed answer's body; an answer that is not streamed has only the total."""
    idle_seconds: int = Field(default=30, ge=1, le=3600)
    """Between two pieces of a streamed answer."""
    total_seconds: int = Field(default=300, ge=1, le=86_400)
    """For the whole call."""


class LocalProcess(ApiModel):
    """A worker that `kubefugu up` starts on this machine."""

    kind: Literal["llamacpp", "expert"]
    """llamacpp: a GGUF model behind llama.cpp's server; expert: a narrow engine of kubefugu-experts."""
    model: str
    """llamacpp: a name of `kubefugu models`, or a GGUF file. expert: the engine's name."""
    context_tokens: int = Field(default=8192, ge=256, le=1_048_576)
    """llamacpp: context of each slot."""
    slots: int = Field(default=2, ge=1, le=64)
    """llamacpp: requests decoded at the same time."""


class EnvironmentVariable(ApiModel):
    """An environment variable: a plain value or a key of a Secret."""

    name: str = Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=128)
    """Name of the variable."""
    value: str = Field(default="", max_length=4096)
    """Plain value; never a secret."""
    secret_key_ref: SecretKeyRef | None = None
    """A Secret in the same namespace, instead of value."""

    @model_validator(mode="after")
    def _one_source(self) -> EnvironmentVariable:
        if self.value and self.secret_key_ref is not None:
            raise ValueError("an environment variable takes value or secretKeyRef, not both")
        return self


class Toleration(ApiModel):
    """A taint that pods tolerate, as in Kubernetes' pod spec."""

    key: str = Field(default="", max_length=316)
    """Key of the taint; empty with operator Exists: every taint."""
    operator: Literal["Equal", "Exists"] = "Equal"
    """How value is compared."""
    value: str = Field(default="", max_length=63)
    """Value of the taint."""
    effect: Literal["", "NoSchedule", "PreferNoSchedule", "NoExecute"] = ""
    """Effect of the taint; empty: every effect."""


class ModelVolume(ApiModel):
    """A volume claim with model files."""

    claim_name: Name
    """PersistentVolumeClaim in the same namespace."""
    mount_path: str = Field(default="/models", pattern=r"^/[^\s:]*$", max_length=256)
    """Where it is mounted."""
    read_only: bool = True
    """False: the server downloads into it."""


class ManagedContainer(ApiModel):
    """A model server that the operator runs as a Deployment and Service."""

    image: str = Field(min_length=1, max_length=1024)
    """Container image."""
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] = "IfNotPresent"
    """When the image is pulled."""
    command: tuple[str, ...] = Field(default=(), max_length=64)
    """Entry point; empty: the image's."""
    args: tuple[str, ...] = Field(default=(), max_length=128)
    """Arguments."""
    port: int = Field(default=8000, ge=1, le=65535)
    """Port of the OpenAI API in the container."""
    path: str = Field(default="/v1", pattern=r"^/[^\s]*$", max_length=256)
    """Path of the OpenAI API."""
    health_path: str = Field(default="/health", pattern=r"^/[^\s]*$", max_length=256)
    """Path of the readiness probe."""
    replicas: int | None = Field(default=None, ge=0, le=1000)
    """Replicas of the Deployment; absent: one at first, then left to whoever scales it (an autoscaler)."""
    cpu: str = Field(default="", max_length=32, pattern=r"^([0-9]+m?|[0-9]*\.[0-9]+)?$")
    """CPU request, e.g. 500m; empty: none."""
    memory: str = Field(default="", max_length=32, pattern=r"^([0-9]+(Ki|Mi|Gi|Ti|k|M|G|T)?)?$")
    """Memory request and limit, e.g. 4Gi; empty: none."""
    gpus: int = Field(default=0, ge=0, le=64)
    """Number of GPUs (limit of the resource named by gpuResource)."""
    gpu_resource: str = Field(default="nvidia.com/gpu", min_length=1, max_length=128)
    """Resource name of the GPUs."""
    env: tuple[EnvironmentVariable, ...] = Field(default=(), max_length=64)
    """Environment variables, e.g. a hub token."""
    model_volume: ModelVolume | None = None
    """A volume with model files."""
    startup_seconds: int = Field(default=600, ge=10, le=86_400)
    """How long loading the model may take before the container is started anew."""
    run_as_user: int = Field(default=65532, ge=1, le=2_147_483_647)
    """User id of the container; root is not possible."""
    node_selector: dict[str, str] = Field(default={}, max_length=32)
    """Labels of the nodes that may run it."""
    tolerations: tuple[Toleration, ...] = Field(default=(), max_length=32)
    """Taints that it tolerates."""
    image_pull_secrets: tuple[Name, ...] = Field(default=(), max_length=8)
    """Secrets for the image's registry."""


class WorkerSpec(ApiModel):
    """One worker: any server that speaks the OpenAI chat API."""

    name: Name
    """Name in the pool; also a model name of the gateway."""
    model: str = Field(min_length=1, max_length=256)
    """Model id sent to the endpoint; a trained head row belongs to this id."""
    url: str | None = Field(default=None, pattern=r"^https?://[^\s]+$", max_length=2048)
    """Base URL of the OpenAI API, e.g. https://api.example.com/v1."""
    service: ServiceEndpoint | None = None
    """A Service in the same namespace, instead of url."""
    managed: ManagedContainer | None = None
    """A model server run by the operator, instead of url."""
    process: LocalProcess | None = Field(default=None, json_schema_extra={"local": True})
    """A process started by `kubefugu up`, instead of url."""
    auth: Auth | None = None
    """API key; absent: none is sent."""
    description: str = Field(default="", max_length=1024)
    """What the worker is good at, for the Conductor and for people."""
    capabilities: tuple[Capability, ...] = Field(default=(), max_length=16)
    """What the endpoint supports beyond text."""
    context_tokens: int = Field(default=8192, ge=256, le=10_000_000)
    """Context window, in tokens."""
    prices: Prices = Prices()
    """Prices; absent: free."""
    limits: Limits = Limits()
    """Rate and concurrency limits."""
    timeouts: Timeouts = Timeouts()
    """Timeouts of one call."""
    roles: tuple[Role, ...] = Field(default=(Role.SOLVER, Role.THINKER, Role.VERIFIER), min_length=1, max_length=3)
    """Roles that it may take."""
    specialist: bool = False
    """True: it may decline (OpenAI's refusal field), upon which the next best worker is asked."""
    fallback: bool = False
    """True: asked last, when every better worker failed or declined."""

    @model_validator(mode="after")
    def _one_endpoint(self) -> WorkerSpec:
        if sum(part is not None for part in (self.url, self.service, self.managed, self.process)) != 1:
            raise ValueError("a worker needs exactly one of url, service, managed or process")
        if self.name in COORDINATED_MODELS:
            raise ValueError(f"{' and '.join(COORDINATED_MODELS)} are the names of the coordinated models")
        if self.url is not None and "@" in self.url.split("/", 3)[2]:
            raise ValueError("the URL must not carry a user or password; use auth")
        return self


class RoutingMode(StrEnum):
    """How a request without options is answered."""

    FUGU = "fugu"
    FUGU_ULTRA = "fugu-ultra"


class RoutingDefaults(ApiModel):
    """Defaults of requests to this pool; a request may lower budgets, not raise them."""

    mode: RoutingMode = RoutingMode.FUGU
    """Mode of the pool's bare name."""
    max_turns: int = Field(default=5, ge=1, le=20)
    """Upper bound of turns in the coordination loop."""
    max_steps: int = Field(default=5, ge=1, le=20)
    """Upper bound of steps in a workflow."""
    turn_timeout_seconds: int = Field(default=120, ge=1, le=3600)
    """Deadline of one worker call of a turn; a failover begins a new one, within the request's deadline."""
    request_timeout_seconds: int = Field(default=300, ge=1, le=86_400)
    """Deadline of one request."""
    max_cost_usd: DecimalString = "0"
    """Upper bound of one request's cost; 0: none."""
    planner: str = Field(default="", max_length=63)
    """Worker that plans workflows; empty: the Conductor's own."""


class PolicyRef(ApiModel):
    """A RoutingPolicy in the same namespace."""

    name: Name
    """Name of the RoutingPolicy."""


class WorkerPoolSpec(ApiModel):
    """Workers that answer as one, and how they are used."""

    workers: tuple[WorkerSpec, ...] = Field(min_length=1, max_length=256)
    """The workers; names are unique."""
    routing: RoutingDefaults = RoutingDefaults()
    """Defaults of requests."""
    policy_ref: PolicyRef | None = None
    """RoutingPolicy whose versions route this pool; absent: the router's own."""

    @model_validator(mode="after")
    def _unique_names(self) -> WorkerPoolSpec:
        names = [worker.name for worker in self.workers]
        doubled = sorted({name for name in names if names.count(name) > 1})
        if doubled:
            raise ValueError(f"worker names must be unique: {', '.join(doubled)}")
        if not any(Role.SOLVER in worker.roles for worker in self.workers):
            raise ValueError("no worker may take the role solver, so nothing could answer")
        if self.routing.planner and self.routing.planner not in names:
            raise ValueError("routing.planner must be the name of a worker of this pool")
        return self


class ObjectMeta(BaseModel):
    """The part of Kubernetes object metadata that a pool file needs; the rest is carried along unread."""

    model_config = ConfigDict(extra="allow", frozen=True)
    name: Name
    namespace: str = ""


class WorkerPool(ApiModel):
    """A WorkerPool manifest."""

    api_version: Literal["kubefugu.dev/v1alpha1"]
    kind: Literal["WorkerPool"]
    metadata: ObjectMeta
    spec: WorkerPoolSpec


def load_pool(path: Path) -> WorkerPool:
    """Read a pool file (YAML or JSON). Raises DataError with the file and the offending field."""
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise DataError(f"{path}: {error}") from error
    return parse_pool(document, source=str(path))


def parse_pool(document: object, *, source: str) -> WorkerPool:
    """Validate a manifest. Raises DataError; `field` is the dotted path of the first offending field."""
    try:
        return WorkerPool.model_validate(document)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        raise DataError(f"{source}: {field}: {first['msg']}", field=field) from error
