"""The one error tree and the one table that maps it to gRPC, HTTP, OpenAI and Kubernetes.

    KubefuguError
      InvalidRequestError            the caller's input is wrong; names the field
        UnsupportedFeatureError      no allowed worker declares the capability
        ContextTooLongError
        ModelNotFoundError
        InvalidPlanError             a planner output that stays invalid
      AuthenticationError, PermissionDeniedError
      NotFoundError
        DecisionNotFoundError, PolicyNotFoundError, RunNotFoundError, WorkflowExpiredError
      ConflictError
        StaleGenerationError
      RateLimitedError               carries retry_after_s
      ArtifactRefusedError           a head, bundle or backbone that must not be loaded
      UnavailableError
        OverloadedError              a queue is full
        NoWorkerAvailableError       every allowed worker failed, declined or is down
      WorkerError                    one worker call went wrong
        WorkerUnreachableError, WorkerProtocolError, WorkerStreamCutError, WorkerRefusedError
        WorkerRejectedRequestError   the worker answered 4xx: it is not asked again with the same request
        WorkerMisconfiguredError     the worker refuses us, not the request: key, account, path or model id are wrong
      DeadlineExceededError, BudgetExceededError, RequestCancelledError
      DataError                      an outcome table, task set or pool file that cannot be used
      InternalError

Only interceptors and exception handlers translate an error; domain code raises it. Codes: https://grpc.io/docs/guides/status-codes/,
https://platform.openai.com/docs/guides/error-codes, and google.rpc.ErrorInfo (https://google.aip.dev/193).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import grpc

DOMAIN = "kubefugu.dev"
"""ErrorInfo domain of every error."""


class KubefuguError(Exception):
    """Base of the tree. `field` names the offending input in the protocol's own spelling, `metadata` is for machines."""

    def __init__(self, message: str, *, field: str | None = None, metadata: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.field = field
        self.metadata: dict[str, str] = dict(metadata or {})


class InvalidRequestError(KubefuguError):
    """The caller's input is wrong and stays wrong when sent again."""


class UnsupportedFeatureError(InvalidRequestError):
    """No allowed worker declares what the request needs (tools, images, response_format, ...)."""


class ContextTooLongError(InvalidRequestError):
    """The conversation fits no allowed worker's context."""


class ModelNotFoundError(InvalidRequestError):
    """The requested model is neither a coordinated model nor a worker of the pool."""


class InvalidPlanError(InvalidRequestError):
    """A planner output that is still invalid after its repair turn."""


class AuthenticationError(KubefuguError):
    """No API key or token, or an unknown one."""


class PermissionDeniedError(KubefuguError):
    """A known caller that may not do this."""


class NotFoundError(KubefuguError):
    """What is asked for does not exist for this caller."""


class DecisionNotFoundError(NotFoundError):
    """No decision record with this id for this tenant."""


class PolicyNotFoundError(NotFoundError):
    """A policy version that is not resident."""


class RunNotFoundError(NotFoundError):
    """No training run with this id."""


class WorkflowExpiredError(NotFoundError):
    """Tool results for a workflow that no longer waits for them, or never did for this tenant."""


class ConflictError(KubefuguError):
    """The state does not allow this."""


class StaleGenerationError(ConflictError):
    """A policy set older than the one that serves."""


class RateLimitedError(KubefuguError):
    """A limit of the caller or of a worker is used up; try again after `retry_after_s` seconds."""

    def __init__(self, message: str, *, retry_after_s: float | None = None, field: str | None = None) -> None:
        super().__init__(message, field=field)
        self.retry_after_s = retry_after_s
        if retry_after_s is not None:
            self.metadata["retry_after_s"] = f"{retry_after_s:g}"


class ArtifactRefusedError(KubefuguError):
    """A head artifact, factor bundle or backbone that must not be loaded; the message says why."""


class UnavailableError(KubefuguError):
    """Cannot serve now; another replica or a later try may."""


class OverloadedError(UnavailableError):
    """A queue is full."""


class NoWorkerAvailableError(UnavailableError):
    """Every allowed worker failed, declined or is down."""


class WorkerError(KubefuguError):
    """One worker call went wrong; another worker may do."""


class WorkerUnreachableError(WorkerError):
    """No connection, or none in time."""


class WorkerProtocolError(WorkerError):
    """The worker answered something that is not the OpenAI chat protocol."""


class WorkerStreamCutError(WorkerError):
    """The worker's stream ended before its final frame."""


class WorkerRefusedError(WorkerError):
    """A specialist declined the question."""


class WorkerRejectedRequestError(WorkerError):
    """The worker answered 4xx: this request is not sent to it again."""


class WorkerMisconfiguredError(WorkerError):
    """The worker refuses us, not the request (401, 402, 403, 404, 405): its key, account, path or model id are wrong."""


class DeadlineExceededError(KubefuguError):
    """A deadline passed; the message says which."""


class BudgetExceededError(KubefuguError):
    """A turn, step, token or cost budget is used up."""


class RequestCancelledError(KubefuguError):
    """The caller went away."""


class DataError(KubefuguError):
    """An outcome table, task set or manifest that cannot be used; the message names the file, row and column."""


class InternalError(KubefuguError):
    """A defect of ours."""


@dataclass(frozen=True, slots=True)
class ErrorSpec:
    """How one class of errors is told in each protocol."""

    reason: str
    """ErrorInfo reason (UPPER_SNAKE_CASE), also the `code` of OpenAI's error object in lower case."""
    grpc_code: grpc.StatusCode
    http_status: int
    openai_type: str
    """`type` of OpenAI's error object."""
    condition_reason: str
    """Reason of a Kubernetes condition (CamelCase)."""
    retryable: bool
    """True: the same call may succeed elsewhere or later."""


_C = grpc.StatusCode
ERROR_TABLE: dict[type[KubefuguError], ErrorSpec] = {
    InvalidRequestError: ErrorSpec("INVALID_REQUEST", _C.INVALID_ARGUMENT, 400, "invalid_request_error", "InvalidRequest", False),
    UnsupportedFeatureError: ErrorSpec("UNSUPPORTED_FEATURE", _C.INVALID_ARGUMENT, 400, "invalid_request_error", "UnsupportedFeature", False),
    ContextTooLongError: ErrorSpec("CONTEXT_LENGTH_EXCEEDED", _C.INVALID_ARGUMENT, 400, "invalid_request_error", "ContextTooLong", False),
    ModelNotFoundError: ErrorSpec("MODEL_NOT_FOUND", _C.NOT_FOUND, 404, "invalid_request_error", "ModelNotFound", False),
    InvalidPlanError: ErrorSpec("INVALID_PLAN", _C.FAILED_PRECONDITION, 422, "invalid_request_error", "InvalidPlan", False),
    AuthenticationError: ErrorSpec("INVALID_API_KEY", _C.UNAUTHENTICATED, 401, "authentication_error", "Unauthenticated", False),
    PermissionDeniedError: ErrorSpec("PERMISSION_DENIED", _C.PERMISSION_DENIED, 403, "permission_error", "PermissionDenied", False),
    NotFoundError: ErrorSpec("NOT_FOUND", _C.NOT_FOUND, 404, "invalid_request_error", "NotFound", False),
    DecisionNotFoundError: ErrorSpec("DECISION_NOT_FOUND", _C.NOT_FOUND, 404, "invalid_request_error", "DecisionNotFound", False),
    PolicyNotFoundError: ErrorSpec("POLICY_NOT_FOUND", _C.NOT_FOUND, 404, "invalid_request_error", "PolicyNotFound", False),
    RunNotFoundError: ErrorSpec("RUN_NOT_FOUND", _C.NOT_FOUND, 404, "invalid_request_error", "RunNotFound", False),
    WorkflowExpiredError: ErrorSpec("WORKFLOW_EXPIRED", _C.NOT_FOUND, 410, "invalid_request_error", "WorkflowExpired", False),
    ConflictError: ErrorSpec("CONFLICT", _C.FAILED_PRECONDITION, 409, "invalid_request_error", "Conflict", False),
    StaleGenerationError: ErrorSpec("STALE_GENERATION", _C.FAILED_PRECONDITION, 409, "invalid_request_error", "StaleGeneration", False),
    RateLimitedError: ErrorSpec("RATE_LIMIT_EXCEEDED", _C.RESOURCE_EXHAUSTED, 429, "rate_limit_error", "RateLimited", True),
    ArtifactRefusedError: ErrorSpec("ARTIFACT_REFUSED", _C.FAILED_PRECONDITION, 422, "invalid_request_error", "ArtifactRefused", False),
    UnavailableError: ErrorSpec("UNAVAILABLE", _C.UNAVAILABLE, 503, "server_error", "Unavailable", True),
    OverloadedError: ErrorSpec("OVERLOADED", _C.UNAVAILABLE, 503, "server_error", "Overloaded", True),
    NoWorkerAvailableError: ErrorSpec("NO_WORKER_AVAILABLE", _C.UNAVAILABLE, 503, "server_error", "NoWorkerAvailable", True),
    WorkerError: ErrorSpec("WORKER_ERROR", _C.UNAVAILABLE, 502, "server_error", "WorkerError", True),
    WorkerUnreachableError: ErrorSpec("WORKER_UNREACHABLE", _C.UNAVAILABLE, 502, "server_error", "WorkerUnreachable", True),
    WorkerProtocolError: ErrorSpec("WORKER_PROTOCOL_ERROR", _C.UNAVAILABLE, 502, "server_error", "WorkerProtocolError", True),
    WorkerStreamCutError: ErrorSpec("WORKER_STREAM_CUT", _C.UNAVAILABLE, 502, "server_error", "WorkerStreamCut", True),
    WorkerRefusedError: ErrorSpec("WORKER_REFUSED", _C.UNAVAILABLE, 502, "server_error", "WorkerRefused", True),
    WorkerRejectedRequestError: ErrorSpec("WORKER_REJECTED_REQUEST", _C.INVALID_ARGUMENT, 400, "invalid_request_error", "WorkerRejectedRequest", False),
    WorkerMisconfiguredError: ErrorSpec("WORKER_MISCONFIGURED", _C.UNAVAILABLE, 502, "server_error", "WorkerMisconfigured", True),
    DeadlineExceededError: ErrorSpec("DEADLINE_EXCEEDED", _C.DEADLINE_EXCEEDED, 504, "timeout_error", "DeadlineExceeded", True),
    BudgetExceededError: ErrorSpec("BUDGET_EXCEEDED", _C.RESOURCE_EXHAUSTED, 429, "rate_limit_error", "BudgetExceeded", False),
    RequestCancelledError: ErrorSpec("CANCELLED", _C.CANCELLED, 499, "invalid_request_error", "Cancelled", False),
    DataError: ErrorSpec("INVALID_DATA", _C.INVALID_ARGUMENT, 400, "invalid_request_error", "InvalidData", False),
    InternalError: ErrorSpec("INTERNAL", _C.INTERNAL, 500, "server_error", "InternalError", False),
}  # fmt: skip

_BY_REASON: dict[str, type[KubefuguError]] = {spec.reason: cls for cls, spec in ERROR_TABLE.items()}


def spec_of(error: BaseException) -> ErrorSpec:
    """The table's row for an error: its own class's, else that of the nearest ancestor; InternalError's for foreign ones."""
    for cls in type(error).__mro__:
        if cls in ERROR_TABLE:
            return ERROR_TABLE[cls]
    return ERROR_TABLE[InternalError]


def from_reason(
    reason: str, message: str, *, field: str | None = None, metadata: Mapping[str, str] | None = None
) -> KubefuguError:
    """Rebuild an error that travelled as ErrorInfo. An unknown reason becomes InternalError and keeps its message."""
    cls = _BY_REASON.get(reason, InternalError)
    if issubclass(cls, RateLimitedError):
        after = (metadata or {}).get("retry_after_s")
        return cls(message, field=field, retry_after_s=float(after) if after else None)
    return cls(message, field=field, metadata=metadata)


def to_openai(error: BaseException) -> dict[str, dict[str, str | None]]:
    """OpenAI's error object: {"error": {message, type, param, code}}. Foreign errors do not leak their text.

    `metadata["code"]` is a finer code than the class has (`unknown_parameter` for an InvalidRequestError).
    """
    spec = spec_of(error)
    code = spec.reason.lower()
    if not isinstance(error, KubefuguError):
        return {"error": {"message": "Internal error.", "type": spec.openai_type, "param": None, "code": code}}
    code = error.metadata.get("code", code)
    return {"error": {"message": error.message, "type": spec.openai_type, "param": error.field, "code": code}}
