"""Says what is wrong with a request in OpenAI's words: the field as OpenAI spells it, a `code`, a sentence.

Wording and codes follow what api.openai.com answers ("Unknown parameter: 'x'.", `unknown_parameter`). Values of the caller
appear only where the set of allowed ones is named, cut short.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pydantic import ValidationError

from kubefugu_core.chat.paths import Path, spell
from kubefugu_core.errors import InvalidRequestError, UnsupportedFeatureError

_DISCRIMINATED_BY = {"by_role()": "role", "by_type()": "type"}
_UNSUPPORTED_PARTS = {"input_audio": "audio input", "file": "file input"}
_EXPECTED = {
    "string_type": "a string",
    "int_type": "an integer",
    "int_from_float": "an integer",
    "float_type": "a number",
    "bool_type": "a boolean",
    "list_type": "an array",
    "tuple_type": "an array",
    "dict_type": "an object",
    "model_type": "an object",
    "model_attributes_type": "an object",
    "none_required": "null",
}
_FOUND: dict[type, str] = {
    str: "a string",
    bool: "a boolean",
    int: "an integer",
    float: "a decimal",
    list: "an array",
    dict: "an object",
    type(None): "null",
}
_BOUNDS = {
    "greater_than_equal": ("below minimum value", ">=", "ge", "below_min_value"),
    "less_than_equal": ("above maximum value", "<=", "le", "above_max_value"),
    "greater_than": ("below minimum value", ">", "gt", "below_min_value"),
    "less_than": ("above maximum value", "<", "lt", "above_max_value"),
}


def invalid(path: Path, message: str, code: str) -> InvalidRequestError:
    """An InvalidRequestError for a path, with OpenAI's `code`."""
    return InvalidRequestError(message, field=spell(path), metadata={"code": code})


def explain(error: ValidationError, *, at: Path = ()) -> InvalidRequestError:
    """The first of pydantic's findings as an error of ours. `at` is where the validated value sits in the body."""
    finding = error.errors(include_url=False)[0]
    path = (*at, *(part for part in finding["loc"] if not _is_tag(part)))
    kind, found = finding["type"], finding["input"]
    context: dict[str, Any] = finding.get("ctx", {})
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        return _wrong_variant(path, found, context)
    if kind in _EXPECTED:
        return _wrong_type(path, _EXPECTED[kind], found)
    make = _KINDS.get(kind)
    if make is not None:
        return make(path, found, context)
    return invalid(path, f"Invalid '{spell(path)}': {finding['msg']}.", "invalid_value")


def _is_tag(part: str | int) -> bool:
    return isinstance(part, str) and part.startswith("<") and part.endswith(">")


def _name(value: object) -> str:
    return _FOUND.get(type(value), "a value")


def _quote(value: object) -> str:
    text = value if isinstance(value, str) else repr(value) if isinstance(value, bool | int | float) else _name(value)
    return f"'{text[:64]}{'...' if len(text) > 64 else ''}'"


def _wrong_type(path: Path, expected: str, found: object) -> InvalidRequestError:
    return invalid(
        path, f"Invalid type for '{spell(path)}': expected {expected}, but got {_name(found)} instead.", "invalid_type"
    )


def _wrong_variant(path: Path, found: Any, context: dict[str, Any]) -> InvalidRequestError:
    """A message, content part or format whose discriminating field is absent, of a wrong type or unknown."""
    key = _DISCRIMINATED_BY.get(str(context["discriminator"]))
    if key is None:
        return _wrong_type(path, _shapes(context), found)
    if not isinstance(found, dict):
        return _wrong_type(path, "an object", found)
    if key not in found:
        return _missing((*path, key), found, context)
    value = found[key]
    if not isinstance(value, str):
        return _wrong_type((*path, key), "a string", value)
    if value in _UNSUPPORTED_PARTS:
        return UnsupportedFeatureError(
            f"No worker takes {_UNSUPPORTED_PARTS[value]}.",
            field=spell((*path, key)),
            metadata={"code": "unsupported_content_type"},
        )
    allowed = str(context["expected_tags"]).replace("<", "").replace(">", "")
    return invalid((*path, key), f"Invalid value: {_quote(value)}. Supported values are: {allowed}.", "invalid_value")


def _shapes(context: dict[str, Any]) -> str:
    """What a `by_shape` union takes: "'<string>', '<array>'" becomes "a string or an array"."""
    tags = (tag.strip("'<> ") for tag in str(context["expected_tags"]).split(","))
    return " or ".join("an array" if tag == "array" else "an object" if tag == "object" else "a string" for tag in tags)


def _entries(count: int) -> str:
    return f"{count} entr{'y' if count == 1 else 'ies'}"


def _missing(path: Path, _found: object, _context: dict[str, Any]) -> InvalidRequestError:
    return invalid(path, f"Missing required parameter: '{spell(path)}'.", "missing_required_parameter")


def _unknown(path: Path, _found: object, _context: dict[str, Any]) -> InvalidRequestError:
    return invalid(path, f"Unknown parameter: '{spell(path)}'.", "unknown_parameter")


def _literal(path: Path, found: object, context: dict[str, Any]) -> InvalidRequestError:
    return invalid(
        path,
        f"Invalid value for '{spell(path)}': {_quote(found)}. Supported values are: {context['expected']}.",
        "invalid_value",
    )


def _bound(kind: str) -> Callable[[Path, object, dict[str, Any]], InvalidRequestError]:
    words, sign, key, suffix = _BOUNDS[kind]

    def make(path: Path, found: object, context: dict[str, Any]) -> InvalidRequestError:
        number = "integer" if isinstance(found, int) else "decimal"
        return invalid(
            path,
            f"Invalid '{spell(path)}': {number} {words}. Expected a value {sign} {context[key]}, but got {found} instead.",
            f"{number}_{suffix}",
        )

    return make


def _too_long(path: Path, found: Any, context: dict[str, Any]) -> InvalidRequestError:
    kind = "object" if isinstance(found, dict) else "array"
    return invalid(
        path,
        f"Invalid '{spell(path)}': {kind} too long. Expected at most {_entries(context['max_length'])}, but got {len(found)}.",
        f"{kind}_above_max_length",
    )


def _too_short(path: Path, found: Any, context: dict[str, Any]) -> InvalidRequestError:
    return invalid(
        path,
        f"Invalid '{spell(path)}': empty array. Expected at least {_entries(context['min_length'])}, but got {len(found)}.",
        "empty_array",
    )


def _string_too_long(path: Path, found: Any, context: dict[str, Any]) -> InvalidRequestError:
    return invalid(
        path,
        f"Invalid '{spell(path)}': string too long. Expected at most {context['max_length']} characters, but got {len(found)}.",
        "string_above_max_length",
    )


def _string_too_short(path: Path, _found: Any, context: dict[str, Any]) -> InvalidRequestError:
    return invalid(
        path,
        f"Invalid '{spell(path)}': empty string. Expected at least {context['min_length']} characters.",
        "empty_string",
    )


def _pattern(path: Path, _found: object, context: dict[str, Any]) -> InvalidRequestError:
    return invalid(
        path,
        f"Invalid '{spell(path)}': string does not match the pattern '{context['pattern']}'.",
        "invalid_value",
    )


_KINDS: dict[str, Callable[[Path, Any, dict[str, Any]], InvalidRequestError]] = {
    "missing": _missing,
    "extra_forbidden": _unknown,
    "literal_error": _literal,
    "too_long": _too_long,
    "too_short": _too_short,
    "string_too_long": _string_too_long,
    "string_too_short": _string_too_short,
    "string_pattern_mismatch": _pattern,
    **{kind: _bound(kind) for kind in _BOUNDS},
}
