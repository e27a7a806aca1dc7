"""Errors on the wire: google.rpc.Status with ErrorInfo (and BadRequest for a named field) in `grpc-status-details-bin`.

https://google.aip.dev/193, https://grpc.io/docs/guides/error/#richer-error-model
"""

from __future__ import annotations

import grpc
from google.protobuf import any_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2

from kubefugu_core.errors import (
    DOMAIN,
    DeadlineExceededError,
    InternalError,
    KubefuguError,
    PermissionDeniedError,
    RequestCancelledError,
    UnavailableError,
    from_reason,
    spec_of,
)

DETAILS_KEY = "grpc-status-details-bin"

_BARE_CODES: dict[grpc.StatusCode, type[KubefuguError]] = {
    grpc.StatusCode.UNAVAILABLE: UnavailableError,
    grpc.StatusCode.RESOURCE_EXHAUSTED: UnavailableError,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineExceededError,
    grpc.StatusCode.CANCELLED: RequestCancelledError,
    grpc.StatusCode.PERMISSION_DENIED: PermissionDeniedError,
}


def _pack(message: error_details_pb2.ErrorInfo | error_details_pb2.BadRequest) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(message)
    return packed


def encode(error: BaseException) -> tuple[grpc.StatusCode, str, bytes]:
    """Status code, message and the value of `grpc-status-details-bin`. A foreign error does not leak its text."""
    spec = spec_of(error)
    message = error.message if isinstance(error, KubefuguError) else "Internal error."
    info = error_details_pb2.ErrorInfo(reason=spec.reason, domain=DOMAIN)
    details = []
    if isinstance(error, KubefuguError):
        for key, value in error.metadata.items():
            info.metadata[key] = value
    details.append(_pack(info))
    if isinstance(error, KubefuguError) and error.field:
        violation = error_details_pb2.BadRequest.FieldViolation(field=error.field, description=message)
        details.append(_pack(error_details_pb2.BadRequest(field_violations=[violation])))
    status = status_pb2.Status(code=getattr(code_pb2, spec.grpc_code.name), message=message, details=details)
    return spec.grpc_code, message, status.SerializeToString()


def from_rpc_error(error: grpc.aio.AioRpcError) -> KubefuguError:
    """Rebuild the error that a server of ours raised; a bare gRPC status becomes the nearest class of the tree."""
    metadata = dict(error.trailing_metadata() or ())
    message = error.details() or error.code().name
    raw = metadata.get(DETAILS_KEY)
    if isinstance(raw, bytes):
        status = status_pb2.Status.FromString(raw)
        info, field = None, None
        for detail in status.details:
            if detail.Is(error_details_pb2.ErrorInfo.DESCRIPTOR):
                info = error_details_pb2.ErrorInfo()
                detail.Unpack(info)
            elif detail.Is(error_details_pb2.BadRequest.DESCRIPTOR):
                bad = error_details_pb2.BadRequest()
                detail.Unpack(bad)
                field = bad.field_violations[0].field if bad.field_violations else None
        if info is not None:
            return from_reason(info.reason, status.message, field=field, metadata=dict(info.metadata))
    return _BARE_CODES.get(error.code(), InternalError)(message)
