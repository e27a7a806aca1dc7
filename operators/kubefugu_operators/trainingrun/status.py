"""Status of a TrainingRun, its conditions and their reasons."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from kubefugu_core.pool import ApiModel
from kubefugu_operators.api import Status
from kubefugu_operators.conditions import INTERNAL_ERROR, INTERNAL_ERROR_TEXT


class Progress(ApiModel):
    """What the driver told last. Numbers with fractions are decimal strings."""

    state: str = Field(default="", max_length=32)
    """Preparing, Running, Evaluating, Succeeded, Failed or Stopped."""
    step: int = Field(default=0, ge=0)
    """Completed generations, epochs or steps."""
    total_steps: int = Field(default=0, ge=0)
    """How many there will be."""
    mean_fitness: str = Field(default="", max_length=32)
    """Mean fitness of the last completed step."""
    best_fitness: str = Field(default="", max_length=32)
    """Best fitness so far."""
    sigma: str = Field(default="", max_length=32)
    """Step size of the evolution strategy."""
    eta_seconds: int = Field(default=0, ge=0)
    """Estimated time to the end."""
    cost_usd: str = Field(default="", max_length=32)
    """Spent on worker calls."""
    message: str = Field(default="", max_length=1024)
    """Sentence of the driver."""


class Artifact(ApiModel):
    """The trained artifact."""

    config_map: str = Field(default="", max_length=253)
    """ConfigMap of the run that holds it (key artifact.safetensors)."""
    url: str = Field(default="", max_length=2048)
    """Where else it is found."""
    sha256: str = Field(default="", max_length=64)
    """Checksum."""
    version: str = Field(default="", max_length=63)
    """Version under which it was published."""


class Result(ApiModel):
    """The driver's report on held-out items."""

    score: str = Field(default="", max_length=32)
    """Mean score of the trained policy."""
    baseline: str = Field(default="", max_length=32)
    """Mean score of the best single worker."""
    gain: str = Field(default="", max_length=32)
    """Difference of the two."""
    gain_low: str = Field(default="", max_length=32)
    """Lower end of the gain's confidence interval."""
    gain_high: str = Field(default="", max_length=32)
    """Upper end of the gain's confidence interval."""
    items: int = Field(default=0, ge=0)
    """Held-out items."""


class TrainingRunStatus(Status):
    """Status of a run."""

    algorithm: str = Field(default="", max_length=32)
    """The chosen algorithm's name."""
    snapshot: str = Field(default="", max_length=253)
    """ConfigMap with the frozen pool, data reference and configuration."""
    data_sha256: str = Field(default="", max_length=64)
    """Checksum of the data that the run uses."""
    job: str = Field(default="", max_length=253)
    """The driver's Job."""
    driver_pod: str = Field(default="", max_length=64)
    """UID of the newest driver pod."""
    attempt: int = Field(default=0, ge=0)
    """Attempts begun; UID and attempt identify an attempt."""
    application_failures: int = Field(default=0, ge=0)
    """Attempts that the program itself ended with an error."""
    infrastructure_failures: int = Field(default=0, ge=0)
    """Attempts lost to evictions, deleted pods and nodes."""
    suspensions: int = Field(default=0, ge=0)
    """Attempts that a suspension ended, the user's or a queue's."""
    suspended_pod: str = Field(default="", max_length=64)
    """UID of the driver pod that the last suspension stopped."""
    evaluators: str = Field(default="", max_length=16)
    """Evaluators that are ready, of those that are wanted."""
    start_time: str = Field(default="", max_length=32)
    """When the first driver ran."""
    completion_time: str = Field(default="", max_length=32)
    """When the run ended."""
    progress: Progress = Progress()
    """Progress as the driver tells it."""
    progress_text: str = Field(default="", max_length=64)
    """Steps done and planned, for kubectl get."""
    checkpoint: str = Field(default="", max_length=2048)
    """Last complete checkpoint."""
    artifact: Artifact = Artifact()
    """The result."""
    result: Result = Result()
    """Its measured quality."""


class ConditionType(StrEnum):
    """Conditions of a run, in the order in which Succeeded looks at them."""

    SNAPSHOT_READY = "SnapshotReady"
    SUSPENDED = "Suspended"
    DRIVER_RUNNING = "DriverRunning"
    EVALUATORS_READY = "EvaluatorsReady"
    TRAINED = "Trained"
    PUBLISHED = "Published"
    SUCCEEDED = "Succeeded"


class Reason(StrEnum):
    """Reasons of a run's conditions."""

    SNAPSHOT_FROZEN = "SnapshotFrozen"
    POOL_NOT_FOUND = "PoolNotFound"
    DATA_NOT_FOUND = "DataNotFound"
    DATA_CHECKSUM_MISMATCH = "DataChecksumMismatch"
    DATA_TOO_LARGE = "DataTooLarge"
    WORKER_NOT_IN_POOL = "WorkerNotInPool"
    INVALID_SPEC = "InvalidSpec"
    NAME_CONFLICT = "NameConflict"
    WRITE_REFUSED = "WriteRefused"
    SUSPENDED_BY_USER = "SuspendedByUser"
    NOT_SUSPENDED = "NotSuspended"
    WAITING = "Waiting"
    DRIVER_PENDING = "DriverPending"
    UNSCHEDULABLE = "Unschedulable"
    IMAGE_PULL_FAILED = "ImagePullFailed"
    VOLUME_NOT_READY = "VolumeNotReady"
    DRIVER_RUNNING = "DriverRunning"
    DRIVER_ENDED = "DriverEnded"
    EVALUATORS_RUNNING = "EvaluatorsRunning"
    EVALUATORS_PENDING = "EvaluatorsPending"
    START_DEADLINE_EXCEEDED = "StartDeadlineExceeded"
    ACTIVE_DEADLINE_EXCEEDED = "ActiveDeadlineExceeded"
    BACKOFF_LIMIT_EXCEEDED = "BackoffLimitExceeded"
    RETRYING = "Retrying"
    TRAINING = "Training"
    REPORT_READ = "ReportRead"
    REPORT_MISSING = "ReportMissing"
    INVALID_INPUT = "InvalidInput"
    COLLECTING_ARTIFACT = "CollectingArtifact"
    ARTIFACT_REFUSED = "ArtifactRefused"
    NOT_REQUESTED = "NotRequested"
    GATE_NOT_MET = "GateNotMet"
    POLICY_NOT_FOUND = "PolicyNotFound"
    PUBLISHED = "Published"
    RUNNING = "Running"
    PUBLISHED_VERSION = "PublishedVersion"
    TRAINED_NOT_PUBLISHED = "TrainedNotPublished"
    TRAINED = "Trained"
    MANAGED_ELSEWHERE = "ManagedElsewhere"
    INTERNAL_ERROR = INTERNAL_ERROR


_NOT_YET = "An earlier stage is not over yet."
CONDITIONS: dict[str, dict[str, str]] = {
    ConditionType.SNAPSHOT_READY: {
        Reason.SNAPSHOT_FROZEN: "Pool, data reference and configuration are frozen in the ConfigMap `<run>-snapshot`.",
        Reason.POOL_NOT_FOUND: "spec.poolRef names no WorkerPool of this namespace. Create it; the run goes on by itself.",
        Reason.DATA_NOT_FOUND: "The ConfigMap or key of spec.data does not exist. Create it; the run goes on by itself.",
        Reason.DATA_CHECKSUM_MISMATCH: "The ConfigMap's bytes are not those of spec.data.sha256. Correct one of them.",
        Reason.DATA_TOO_LARGE: "The table does not fit into a snapshot (900 kB). Use data.claim or data.url.",
        Reason.WORKER_NOT_IN_POOL: "spec.workers names a worker that the pool does not have.",
        Reason.INVALID_SPEC: "The stored spec is not valid for this version of the operator; the message names the field.",
        Reason.NAME_CONFLICT: "An object that is needed belongs to someone else. Rename the run, or delete that object.",
        Reason.WRITE_REFUSED: "The API server refused an object (admission, quota, permissions); the message says why.",
    },
    ConditionType.SUSPENDED: {
        Reason.SUSPENDED_BY_USER: "spec.suspend is true: no pod runs, checkpoints stay.",
        Reason.NOT_SUSPENDED: "spec.suspend is false.",
    },
    ConditionType.DRIVER_RUNNING: {
        Reason.WAITING: _NOT_YET,
        Reason.DRIVER_PENDING: "The driver's pod has been made and does not run yet.",
        Reason.UNSCHEDULABLE: "No node has room for the driver (CPU, memory, GPU, taints).",
        Reason.IMAGE_PULL_FAILED: "The driver's image can't be pulled. Correct driver.image or the operator's trainer image.",
        Reason.VOLUME_NOT_READY: "A volume can't be mounted. Check the claim and its storage class.",
        Reason.DRIVER_RUNNING: "The driver runs.",
        Reason.RETRYING: "The driver ended with an error and is started again after a while; the message has its report.",
        Reason.DRIVER_ENDED: "The driver has ended.",
        Reason.START_DEADLINE_EXCEEDED: "The driver did not run within startDeadlineSeconds; its Job was removed.",
        Reason.ACTIVE_DEADLINE_EXCEEDED: "The run was active longer than activeDeadlineSeconds.",
        Reason.BACKOFF_LIMIT_EXCEEDED: "The program failed more often than backoffLimit; the message has its last report.",
        Reason.SUSPENDED_BY_USER: "No driver runs while the run is suspended.",
    },
    ConditionType.EVALUATORS_READY: {
        Reason.WAITING: "The driver does not need them yet, or not any more.",
        Reason.NOT_REQUESTED: "spec.evaluators.replicas is 0: the driver measures candidates itself.",
        Reason.EVALUATORS_PENDING: "The evaluators' pods are being started.",
        Reason.EVALUATORS_RUNNING: "At least one evaluator is ready; lost ones are replaced, their candidates measured again.",
        Reason.UNSCHEDULABLE: "No node has room for an evaluator (CPU, memory, GPU, taints).",
        Reason.IMAGE_PULL_FAILED: "Their image can't be pulled. Suspend the run, correct evaluators.image, resume it.",
        Reason.VOLUME_NOT_READY: "A volume can't be mounted. Check the chart's values models.*.",
        Reason.RETRYING: "An evaluator ends again and again; its log says why: most often the broker can't be reached.",
        Reason.SUSPENDED_BY_USER: "No evaluator runs while the run is suspended.",
    },
    ConditionType.TRAINED: {
        Reason.WAITING: _NOT_YET,
        Reason.TRAINING: "Training goes on; see status.progress.",
        Reason.COLLECTING_ARTIFACT: "Training is over, the artifact is being collected from the driver.",
        Reason.REPORT_READ: "The driver's report and artifact are stored.",
        Reason.REPORT_MISSING: "The driver ended well but left no report that can be read; the message says what was found.",
        Reason.INVALID_INPUT: "The driver says that data, backbone or configuration can't be used; repeating would not help.",
        Reason.ARTIFACT_REFUSED: "The artifact's checksum is not the reported one, or it is larger than 900 kB and has no URL.",
    },
    ConditionType.PUBLISHED: {
        Reason.WAITING: _NOT_YET,
        Reason.NOT_REQUESTED: "spec.publish is absent.",
        Reason.GATE_NOT_MET: "The measured gain does not reach spec.publish.gate.",
        Reason.POLICY_NOT_FOUND: "The RoutingPolicy does not exist and publish.createPolicy is false.",
        Reason.PUBLISHED: "The version is in the RoutingPolicy's line; its rollout is told there.",
    },
    ConditionType.SUCCEEDED: {
        Reason.RUNNING: "Not over yet; the message names the stage.",
        Reason.PUBLISHED_VERSION: "Trained and published.",
        Reason.TRAINED: "Trained; publishing was not asked for.",
        Reason.TRAINED_NOT_PUBLISHED: "Trained, but the gate was not met; the message has the figures.",
        Reason.MANAGED_ELSEWHERE: "spec.managedBy names another controller.",
        Reason.INTERNAL_ERROR: INTERNAL_ERROR_TEXT,
    },
}  # fmt: skip
