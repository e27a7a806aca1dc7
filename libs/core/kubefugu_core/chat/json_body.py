"""Strict JSON: what two parsers could read differently is refused, because the same bytes travel on to the executor.

RFC 8259 leaves duplicate keys, NaN, lone surrogates and byte order marks to the implementation; here they are errors.
"""

from __future__ import annotations

import json
from typing import Any

import orjson

from kubefugu_core.chat.limits import ChatLimits
from kubefugu_core.chat.paths import Path, spell
from kubefugu_core.errors import InvalidRequestError


class _Doubled(dict[str, Any]):
    """An object with a key that came twice."""

    key: str = ""


def load_object(raw: bytes, limits: ChatLimits) -> dict[str, Any]:
    """Parse a request body into an object. Raises InvalidRequestError, with the path of a duplicate key as its field."""
    if len(raw) > limits.max_body_bytes:
        raise InvalidRequestError(
            f"The body has {len(raw)} bytes; at most {limits.max_body_bytes} are accepted.", metadata={"code": "body_too_large"}
        )
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        # The message holds a position and never a piece of the body.
        raise _invalid_json(f"We could not parse the JSON body of your request: {error}") from error
    if not isinstance(value, dict):
        raise _invalid_json(f"The JSON body of a request must be an object, but it is {_article(value)}.")
    # Depth is at most the number of opening brackets, which is counted in C: the walk is for the rare large body.
    if raw.count(b"{") + raw.count(b"[") > limits.max_depth:
        _check_depth(value, limits.max_depth)
    _refuse_doubled_keys(raw)
    return value


def _invalid_json(message: str) -> InvalidRequestError:
    return InvalidRequestError(message, metadata={"code": "invalid_json"})


def _article(value: object) -> str:
    names: dict[type, str] = {list: "an array", str: "a string", bool: "a boolean", int: "a number", float: "a number"}
    return names.get(type(value), "null")


def _check_depth(value: Any, max_depth: int) -> None:
    level: list[Any] = [value]
    for _ in range(max_depth):
        deeper: list[Any] = []
        for item in level:
            children = item.values() if isinstance(item, dict) else item
            deeper.extend(child for child in children if isinstance(child, dict | list))
        if not deeper:
            return
        level = deeper
    raise InvalidRequestError(f"The body is nested deeper than {max_depth} levels.", metadata={"code": "nesting_too_deep"})


def _refuse_doubled_keys(raw: bytes) -> None:
    found = False

    def build(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal found
        made = dict(pairs)
        if len(made) == len(pairs):
            return made
        found = True
        doubled, seen = _Doubled(made), set[str]()
        for key, _ in pairs:
            if key in seen:
                doubled.key = key
                break
            seen.add(key)
        return doubled

    value = json.loads(raw, object_pairs_hook=build)
    if found:
        path = _path_of_doubled(value, ()) or ()
        name = spell(path)
        raise InvalidRequestError(f"The key '{name}' appears twice.", field=name, metadata={"code": "duplicate_key"})


def _path_of_doubled(value: Any, path: Path) -> Path | None:
    if isinstance(value, _Doubled):
        return (*path, value.key)
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in items:
        found = _path_of_doubled(child, (*path, key))
        if found is not None:
            return found
    return None
