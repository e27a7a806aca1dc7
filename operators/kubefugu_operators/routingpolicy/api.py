"""The RoutingPolicy kind: rollout and pin are the user's, versions and traffic are status."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, Field, model_validator

from kubefugu_core.pool import ApiModel
from kubefugu_operators.api import Column, Kind, Rule, Status
from kubefugu_operators.conditions import INTERNAL_ERROR, INTERNAL_ERROR_TEXT
from kubefugu_operators.routingpolicy.sample import SAMPLE

VERSION_PATTERN = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"


class Strategy(StrEnum):
    """How a new version becomes active."""

    CANARY = "Canary"
    """Through the steps."""
    IMMEDIATE = "Immediate"
    """At once, after every router has loaded and probed it."""
    MANUAL = "Manual"
    """Only by pin."""


class CanaryStep(ApiModel):
    """One step of a canary rollout."""

    percent: int = Field(ge=1, le=100)
    """Share of conversations that the candidate decides."""
    pause_seconds: int = Field(default=60, ge=0, le=2_592_000)
    """How long the step lasts at least."""


class Abort(ApiModel):
    """When a candidate is given up, by the executors' live counters of the current rollout."""

    minimum_requests: int = Field(default=20, ge=0, le=1_000_000)
    """A step ends only when the candidate has answered as many requests since the rollout began; 0: time alone decides."""
    max_failure_percent: int = Field(default=5, ge=0, le=100)
    """Failed requests of the candidate beyond those of the active version, in percentage points."""
    max_negative_feedback_percent: int = Field(default=20, ge=0, le=100)
    """Negative among the candidate's feedback, beyond that of the active version, in percentage points."""


class Rollout(ApiModel):
    """How new versions become active."""

    strategy: Strategy = Strategy.CANARY
    """Canary, Immediate or Manual."""
    shadow_seconds: int = Field(default=0, ge=0, le=2_592_000)
    """The candidate first decides in shadow (recorded, not acted upon) for this long; 0: no shadow. A Conductor in shadow is
    loaded and does not plan."""
    steps: tuple[CanaryStep, ...] = Field(
        default=(CanaryStep(percent=10, pause_seconds=300), CanaryStep(percent=50, pause_seconds=300)), max_length=16
    )
    """Steps of a canary; the last one is followed by promotion."""
    abort: Abort = Abort()
    """When a candidate is given up."""


class RoutingPolicySpec(ApiModel):
    """A line of versions: of routing heads where routers follow it, of trained Conductors where a Conductor does (in the chart:
    policy and conductor.local.policy). What is published and what is live are status."""

    rollout: Rollout = Rollout()
    """How new versions become active."""
    pin: str = Field(default="", max_length=63, pattern=r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?)?$")
    """Version that is active whatever else is published: rollback is one patch of it. Empty: the rollout decides."""
    suspend: bool = False
    """True: what is live stays live and no rollout moves."""
    version_history_limit: int = Field(default=10, ge=1, le=100)
    """Published versions that are kept besides those in use."""

    @model_validator(mode="after")
    def _rising(self) -> RoutingPolicySpec:
        percents = [step.percent for step in self.rollout.steps]
        if percents != sorted(set(percents)):
            raise ValueError("the percentages of rollout.steps must rise")
        if self.rollout.strategy is Strategy.CANARY and not percents:
            raise ValueError("a Canary rollout needs steps")
        return self


class VersionStatus(ApiModel):
    """One published version."""

    name: str = Field(max_length=63)
    """Name of the version."""
    state: Literal["Active", "Canary", "Shadow", "Candidate", "Available", "Rejected", "Refused"]
    """What it does now. Rejected: given up by a rollout. Refused: the routers won't load it."""
    sha256: str = Field(default="", max_length=64)
    """Checksum of the artifact."""
    config_map: str = Field(default="", max_length=253)
    """ConfigMap that holds it."""
    source: str = Field(default="", max_length=253)
    """TrainingRun that made it, or who published it."""
    gain: str = Field(default="", max_length=32)
    """Held-out gain over the best single worker, as its run measured it."""
    published: str = Field(default="", max_length=32)
    """When it was published."""
    message: str = Field(default="", max_length=1024)
    """Why it was rejected or refused."""
    requests: int = Field(default=0, ge=0)
    """Requests that it decided in the current rollout, in steps of a tenth."""
    failures: int = Field(default=0, ge=0)
    """Requests among them that failed."""


class RolloutStatus(ApiModel):
    """The rollout that is going on."""

    candidate: str = Field(default="", max_length=63)
    """Version that is being rolled out."""
    step: int = Field(default=0, ge=0)
    """Step that is going on, from 1; 0: shadow or loading."""
    percent: int = Field(default=0, ge=0, le=100)
    """Share of conversations."""
    step_started: str = Field(default="", max_length=32)
    """When the step began."""


class RoutingPolicyStatus(Status):
    """Status of a line of versions."""

    active: str = Field(default="", max_length=63)
    """Version that decides."""
    previous: str = Field(default="", max_length=63)
    """Version that decided before: the one to pin for a rollback."""
    rollout: RolloutStatus = RolloutStatus()
    """The rollout that is going on."""
    canary: str = Field(default="", max_length=96)
    """Candidate and share, for kubectl get."""
    generation: int = Field(default=0, ge=0, json_schema_extra={"format": "int64"})
    """Generation of the declared policy set."""
    routers: str = Field(default="", max_length=32)
    """Routers (or Conductors) that serve the declared set, of all, e.g. 2/2."""
    versions: tuple[VersionStatus, ...] = Field(default=(), max_length=128)
    """Published versions, newest first."""


class ConditionType(StrEnum):
    """Conditions of a policy, in the order in which Ready looks at them."""

    VERSIONS_FOUND = "VersionsFound"
    DECLARED = "Declared"
    CONVERGED = "Converged"
    PROGRESSING = "Progressing"
    READY = "Ready"


class Reason(StrEnum):
    """Reasons of a policy's conditions."""

    VERSIONS_FOUND = "VersionsFound"
    NO_VERSION = "NoVersion"
    ARTIFACT_CORRUPT = "ArtifactCorrupt"
    DECLARED = "Declared"
    PIN_NOT_FOUND = "PinNotFound"
    INVALID_SPEC = "InvalidSpec"
    NAME_CONFLICT = "NameConflict"
    WRITE_REFUSED = "WriteRefused"
    ALL_ROUTERS_SERVE = "AllRoutersServe"
    NO_ROUTERS = "NoRouters"
    PROPAGATING = "Propagating"
    ROUTER_UNREACHABLE = "RouterUnreachable"
    ROUTER_REFUSED = "RouterRefused"
    IDLE = "Idle"
    PINNED = "Pinned"
    SUSPENDED = "Suspended"
    LOADING_CANDIDATE = "LoadingCandidate"
    SHADOWING = "Shadowing"
    CANARY_STEP = "CanaryStep"
    WAITING_FOR_REQUESTS = "WaitingForRequests"
    CANDIDATE_REJECTED = "CandidateRejected"
    SERVING = "Serving"
    INTERNAL_ERROR = INTERNAL_ERROR


CONDITIONS: dict[str, dict[str, str]] = {
    ConditionType.VERSIONS_FOUND: {
        Reason.VERSIONS_FOUND: "At least one version is published and its bytes match its checksum.",
        Reason.NO_VERSION: "Nothing is published yet. Apply a TrainingRun that publishes here, or `kubefugu policy publish`.",
        Reason.ARTIFACT_CORRUPT: "A version's bytes are not those of its checksum; it is left out. Publish it again.",
        Reason.INVALID_SPEC: "The stored spec is not valid for this version of the operator; the message names the field.",
    },
    ConditionType.DECLARED: {
        Reason.DECLARED: "The policy set is in the ConfigMap `<policy>-policyset`.",
        Reason.NO_VERSION: "There is nothing to declare yet.",
        Reason.PIN_NOT_FOUND: "spec.pin names no published version; what was live stays live. Correct the pin.",
        Reason.NAME_CONFLICT: "An object that is needed belongs to someone else. Rename the policy, or delete that object.",
        Reason.WRITE_REFUSED: "The API server refused an object (admission, quota, permissions); the message says why.",
    },
    ConditionType.CONVERGED: {
        Reason.ALL_ROUTERS_SERVE: "Every router (or Conductor) serves the declared set.",
        Reason.NO_VERSION: "There is nothing to serve yet.",
        Reason.NO_ROUTERS: "No pod has the label `kubefugu.dev/routing-policy: <policy>` (chart: policy, conductor.local).",
        Reason.PROPAGATING: "Some pods do not serve the declared set yet.",
        Reason.ROUTER_UNREACHABLE: "A router or Conductor does not answer, or a router not with this admin token.",
        Reason.ROUTER_REFUSED: "A pod refuses a version (backbone, rows or checksum do not fit); the message says why.",
    },
    ConditionType.PROGRESSING: {
        Reason.IDLE: "No rollout is going on.",
        Reason.PINNED: "spec.pin decides; rollouts wait.",
        Reason.SUSPENDED: "spec.suspend is true; rollouts wait.",
        Reason.LOADING_CANDIDATE: "The candidate is being loaded and probed.",
        Reason.SHADOWING: "The candidate decides in shadow.",
        Reason.CANARY_STEP: "A canary step is going on; see status.rollout.",
        Reason.WAITING_FOR_REQUESTS: "The step's time is over, but the candidate has not seen abort.minimumRequests yet.",
        Reason.CANDIDATE_REJECTED: "The last candidate was given up; the message says why. The active version stays.",
    },
    ConditionType.READY: {
        Reason.SERVING: "The active version decides on every pod that follows the policy.",
        Reason.INTERNAL_ERROR: INTERNAL_ERROR_TEXT,
    },
}  # fmt: skip

RULES: dict[type[BaseModel], tuple[Rule, ...]] = {
    Rollout: (
        Rule(
            "self.steps.all(a, self.steps.exists_one(b, b.percent == a.percent)) && self.steps.map(s, s.percent).isSorted()",
            "the percentages of rollout.steps must rise from step to step.",
            ".steps",
        ),
        Rule(
            "self.strategy != 'Canary' || self.steps.size() > 0",
            "a Canary rollout needs steps; use the strategy Immediate to promote at once.",
            ".steps",
        ),
    ),
}

KIND = Kind(
    kind="RoutingPolicy",
    plural="routingpolicies",
    short_name="rp",
    description="A line of published versions (routing heads, or trained Conductors): what is live, canary, pin and rollback.",
    spec=RoutingPolicySpec,
    status=RoutingPolicyStatus,
    columns=(
        Column("Ready", '.status.conditions[?(@.type=="Ready")].status', description="Whether the active version is served."),
        Column("Reason", '.status.conditions[?(@.type=="Ready")].reason', description="Why, or why not."),
        Column("Active", ".status.active", description="Version that decides."),
        Column("Canary", ".status.canary", description="Candidate and its share."),
        Column("Routers", ".status.routers", description="Routers, or Conductors, that serve the declared set."),
        Column("Previous", ".status.previous", description="Version to pin for a rollback.", priority=1),
        Column("Message", '.status.conditions[?(@.type=="Ready")].message', description="Sentence for people.", priority=1),
        Column("Age", ".metadata.creationTimestamp", type="date"),
    ),
    rules=RULES,
    list_keys={
        (RoutingPolicyStatus, "versions"): "name",
        (RoutingPolicyStatus, "conditions"): "type",
    },
    conditions=CONDITIONS,
    sample=SAMPLE,
)
