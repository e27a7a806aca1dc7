"""The error tree and its one table."""

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from kubefugu_core import errors
from kubefugu_core.rpc import details


def _tree(cls: type[errors.KubefuguError]) -> set[type[errors.KubefuguError]]:
    """The core's own classes; a package's subclass without a row is told as its nearest ancestor."""
    own = [sub for sub in cls.__subclasses__() if sub.__module__ == errors.__name__]
    return {cls}.union(*(_tree(sub) for sub in own))


def test_every_class_of_the_tree_has_its_own_row() -> None:
    assert _tree(errors.KubefuguError) - set(errors.ERROR_TABLE) == {errors.KubefuguError}


def test_reasons_are_unique_and_statuses_sensible() -> None:
    reasons = [spec.reason for spec in errors.ERROR_TABLE.values()]
    assert len(reasons) == len(set(reasons))
    for spec in errors.ERROR_TABLE.values():
        assert 400 <= spec.http_status <= 599
        assert spec.condition_reason[0].isupper()
        # What may be retried must not be told as the caller's fault.
        assert not (spec.retryable and spec.http_status in (400, 401, 403, 404, 422))


@pytest.mark.parametrize("cls", sorted(errors.ERROR_TABLE, key=lambda cls: cls.__name__))
def test_an_error_survives_the_wire(cls: type[errors.KubefuguError]) -> None:
    code, message, raw = details.encode(cls("what went wrong", field="messages[0]"))
    status = status_pb2.Status.FromString(raw)
    assert status.message == message == "what went wrong"
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    assert info.domain == errors.DOMAIN
    metadata = grpc.aio.Metadata((details.DETAILS_KEY, raw))
    back = details.from_rpc_error(grpc.aio.AioRpcError(code, grpc.aio.Metadata(), metadata, message))
    assert type(back) is cls
    assert (back.message, back.field) == ("what went wrong", "messages[0]")


def test_retry_after_survives_the_wire() -> None:
    code, message, raw = details.encode(errors.RateLimitedError("slow down", retry_after_s=2.5))
    metadata = grpc.aio.Metadata((details.DETAILS_KEY, raw))
    back = details.from_rpc_error(grpc.aio.AioRpcError(code, grpc.aio.Metadata(), metadata, message))
    assert isinstance(back, errors.RateLimitedError)
    assert back.retry_after_s == 2.5


def test_a_foreign_error_does_not_leak_its_text() -> None:
    code, message, raw = details.encode(ValueError("secret prompt"))
    assert code is grpc.StatusCode.INTERNAL
    assert "secret" not in message
    assert b"secret" not in raw
    assert errors.to_openai(ValueError("secret prompt"))["error"]["message"] == "Internal error."


def test_openai_shape_names_the_field() -> None:
    shape = errors.to_openai(errors.InvalidRequestError("'messages' must not be empty.", field="messages"))
    assert shape == {
        "error": {
            "message": "'messages' must not be empty.",
            "type": "invalid_request_error",
            "param": "messages",
            "code": "invalid_request",
        }
    }


def test_a_subclass_without_a_row_uses_its_parents() -> None:
    class Special(errors.OverloadedError):
        pass

    assert errors.spec_of(Special("x")).reason == "OVERLOADED"
