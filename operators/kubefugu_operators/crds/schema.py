"""Pydantic models to structural OpenAPI v3 schemas, the subset that a CustomResourceDefinition takes.

https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#specifying-a-structural-schema
References are inlined, `null` alternatives disappear (absent and null are the same to the API server), unknown keys are refused
by strict field validation and pruned otherwise, so `additionalProperties: false` is left out.
"""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Mapping
from typing import Any, Union

from pydantic import BaseModel, TypeAdapter
from pydantic.fields import FieldInfo

from kubefugu_operators.api import Kind, Rule
from kubefugu_operators.crds.patterns import MESSAGES

Schema = dict[str, Any]

_KEPT = ("pattern", "minLength", "maxLength", "minimum", "maximum", "minItems", "maxItems", "minProperties", "maxProperties")
_MAX_STRING = 4096
"""maxLength of the values of free maps, so that the cost of CEL rules stays bounded."""
_MAX_PATTERN_STRING = 128
"""maxLength of strings with a pattern that bounds them already."""


def model_schema(kind: Kind, model: type[BaseModel]) -> Schema:
    """The structural schema of one model with everything below it."""
    properties: Schema = {}
    required: list[str] = []
    for name, info in model.model_fields.items():
        extra = info.json_schema_extra if isinstance(info.json_schema_extra, dict) else {}
        if extra.get("local"):
            continue
        alias = info.alias or name
        schema = _field_schema(kind, model, name, info)
        _add(schema, extra)
        properties[alias] = schema
        if info.is_required():
            required.append(alias)
    result: Schema = {"type": "object", "description": inspect.getdoc(model) or "", "properties": properties}
    if required:
        result["required"] = required
    rules = kind.rules.get(model, ())
    if rules:
        result["x-kubernetes-validations"] = [_rule(rule) for rule in rules]
    return result


def status_schema(kind: Kind) -> Schema:
    """The schema of the status, without defaults: what the operator leaves out would come back filled in, like drift."""
    return _without_defaults(model_schema(kind, kind.status))


def _without_defaults(schema: Schema) -> Schema:
    result = {key: value for key, value in schema.items() if key != "default"}
    if "properties" in result:
        result["properties"] = {name: _without_defaults(field) for name, field in result["properties"].items()}
    if "items" in result:
        result["items"] = _without_defaults(result["items"])
    return result


def _add(schema: Schema, extra: Mapping[str, Any]) -> None:
    """Merge json_schema_extra; rules add up."""
    rules = [*schema.get("x-kubernetes-validations", ()), *extra.get("x-kubernetes-validations", ())]
    schema.update(extra)
    if rules:
        schema["x-kubernetes-validations"] = rules


def _rule(rule: Rule) -> Schema:
    entry = {"rule": rule.rule, "message": rule.message}
    if rule.field_path:
        entry["fieldPath"] = rule.field_path
    return entry


def _field_schema(kind: Kind, model: type[BaseModel], name: str, info: FieldInfo) -> Schema:
    bare = _without_none(info.annotation)
    item = _model_item(bare)
    if isinstance(bare, type) and issubclass(bare, BaseModel):
        schema = model_schema(kind, bare)
    elif item is not None:
        schema = {"type": "array", "items": model_schema(kind, item)}
        schema.update({key: value for key, value in _plain(info).items() if key in _KEPT})
    else:
        schema = _scalar(_plain(info))
    schema["description"] = inspect.cleandoc(info.description or "") or schema.get("description", "")
    key = kind.list_keys.get((model, name))
    if key:
        schema["x-kubernetes-list-type"] = "map"
        schema["x-kubernetes-list-map-keys"] = [key]
    elif (model, name) in kind.set_lists:
        schema["x-kubernetes-list-type"] = "set"
    elif schema.get("type") == "array":
        schema["x-kubernetes-list-type"] = "atomic"
    _set_default(schema, info)
    return schema


def _set_default(schema: Schema, info: FieldInfo) -> None:
    default = info.get_default(call_default_factory=True, validated_data={})
    if info.is_required() or default is None or default == () or default == {}:
        return
    # Written out in full: CEL rules see a default before the defaults inside it are filled in.
    schema["default"] = TypeAdapter(Any).dump_python(default, mode="json", by_alias=True, exclude_none=True)


def _without_none(annotation: Any) -> Any:
    if typing.get_origin(annotation) in (Union, types.UnionType):
        left = [part for part in typing.get_args(annotation) if part is not type(None)]
        if len(left) == 1:
            return left[0]
    return annotation


def _model_item(annotation: Any) -> type[BaseModel] | None:
    """The model in `tuple[Model, ...]`, else None."""
    if typing.get_origin(annotation) is tuple:
        first = typing.get_args(annotation)[0]
        if isinstance(first, type) and issubclass(first, BaseModel):
            return first
    return None


def _plain(info: FieldInfo) -> Schema:
    """Pydantic's own JSON schema of a field without models in it, `null` and references resolved."""
    annotated: Any = typing.Annotated[info.annotation, *info.metadata] if info.metadata else info.annotation
    schema = TypeAdapter(annotated).json_schema(by_alias=True)
    return _resolve(schema, schema.get("$defs", {}))


def _resolve(schema: Any, definitions: Mapping[str, Any]) -> Schema:
    if "$ref" in schema:
        return _resolve(definitions[schema["$ref"].rsplit("/", 1)[1]], definitions)
    if "anyOf" in schema:
        (schema,) = [part for part in schema["anyOf"] if part.get("type") != "null"]
        return _resolve(schema, definitions)
    result = dict(schema)
    for key in ("items", "additionalProperties"):
        if isinstance(result.get(key), dict):
            result[key] = _resolve(result[key], definitions)
    return result


def _scalar(schema: Schema) -> Schema:
    """Only the keywords that structural schemas know."""
    result: Schema = {key: schema[key] for key in ("type", *_KEPT) if key in schema}
    if result.get("pattern") in MESSAGES:
        pattern = result.pop("pattern")
        result["x-kubernetes-validations"] = [{"rule": f"self.matches(r'{pattern}')", "message": MESSAGES[pattern]}]
        result.setdefault("maxLength", _MAX_PATTERN_STRING)
    if "const" in schema:
        result["enum"] = [schema["const"]]
    if "enum" in schema:
        result["enum"] = list(schema["enum"])
    if "items" in schema:
        result["items"] = _scalar(schema["items"])
        if result["items"].get("type") == "string" and "enum" not in result["items"]:
            result["items"].setdefault("maxLength", _MAX_STRING)
    if isinstance(schema.get("additionalProperties"), dict):
        result["additionalProperties"] = _scalar(schema["additionalProperties"])
        result["additionalProperties"].setdefault("maxLength", _MAX_STRING)
    if result.get("type") == "integer":
        result["format"] = "int64" if max(abs(result.get("maximum", 0)), abs(result.get("minimum", 0))) >= 2**31 else "int32"
    if result.get("type") == "number":
        raise TypeError("floats are not allowed in manifests; use a decimal string")
    return result
