"""Policy sets on the wire and in files: protobuf and its JSON form, both ways."""

from __future__ import annotations

from pathlib import Path

from google.protobuf.json_format import MessageToJson, Parse, ParseError

from kubefugu.router.v1 import router_pb2
from kubefugu_core.errors import InvalidRequestError
from kubefugu_core.policy_sets.declared import Canary, DeclaredSet, Source


def from_proto(message: router_pb2.PolicySet) -> DeclaredSet:
    """A checked declaration. Raises InvalidRequestError naming the field."""
    versions = [source.version for source in message.sources]
    if len(set(versions)) != len(versions):
        raise InvalidRequestError("A version has two sources.", field="policy_set.sources")
    canary = Canary(message.canary.version, message.canary.percent) if message.HasField("canary") else None
    return DeclaredSet(
        generation=message.generation,
        active=message.active,
        canary=canary,
        shadow=tuple(message.shadow),
        sources={source.version: Source(source.uri, source.sha256) for source in message.sources},
    )


def to_proto(declared: DeclaredSet) -> router_pb2.PolicySet:
    """The message of a declaration."""
    message = router_pb2.PolicySet(generation=declared.generation, active=declared.active, shadow=declared.shadow)
    if declared.canary is not None:
        message.canary.version, message.canary.percent = declared.canary.version, declared.canary.percent
    for version, source in declared.sources.items():
        message.sources.add(version=version, uri=source.uri, sha256=source.sha256)
    return message


def to_json(declared: DeclaredSet) -> str:
    """The JSON document of a declaration, with the field names of the proto."""
    return MessageToJson(to_proto(declared), preserving_proto_field_name=True)


def from_json(text: str, *, source: str) -> DeclaredSet:
    """Read a JSON document. Raises InvalidRequestError that names the source."""
    try:
        message = Parse(text, router_pb2.PolicySet())
    except ParseError as error:
        raise InvalidRequestError(f"{source}: {error}", field="policy_set") from error
    return from_proto(message)


def read_file(path: Path) -> DeclaredSet | None:
    """The declaration in a file; None where the file is absent. Raises InvalidRequestError for anything else unreadable."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidRequestError(f"{path}: {error}", field="policy_set") from error
    return from_json(text, source=str(path))
