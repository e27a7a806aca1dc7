"""What the three kinds share: conditions, CEL rules, printer columns, and the description that the CRD generator reads.

The typed models are the only source of the CRDs, of their reference pages and of validation in the operator. Rules that need
more than one field are written down twice, as a pydantic validator and as a CEL rule beside it; the table of invalid
manifests (tests/integration/operators) checks that both refuse the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import BaseModel, Field

from kubefugu_core.pool import ApiModel

GROUP = "kubefugu.dev"
VERSION = "v1alpha1"
CATEGORY = "kubefugu"

QUANTITY = r"^([0-9]+(\.[0-9]{1,3})?(m|Ki|Mi|Gi|Ti|k|M|G|T)?)?$"
"""A Kubernetes quantity, or empty."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One x-kubernetes-validations entry. `message` is a sentence that says what to do."""

    rule: str
    message: str
    field_path: str = ""


def immutable(what: str) -> dict[str, Any]:
    """json_schema_extra of a leaf field that is fixed at creation. Leaves only: rules on structs break suspend and queueing."""
    message = f"{what} is fixed when the object is created; delete the object and create it anew to change it."
    return {"x-kubernetes-validations": [{"rule": "self == oldSelf", "message": message}]}


@dataclass(frozen=True, slots=True)
class Column:
    """A column of `kubectl get`."""

    name: str
    json_path: str
    type: Literal["string", "integer", "date"] = "string"
    description: str = ""
    priority: int = 0
    """0: always shown; 1: with -o wide."""


@dataclass(frozen=True, slots=True)
class Kind:
    """Everything that the generator needs to know about one kind."""

    kind: str
    plural: str
    short_name: str
    description: str
    spec: type[BaseModel]
    status: type[BaseModel]
    columns: tuple[Column, ...]
    rules: Mapping[type[BaseModel], tuple[Rule, ...]] = field(default_factory=dict)
    """CEL rules by model; a rule's `self` is an object of that model."""
    list_keys: Mapping[tuple[type[BaseModel], str], str] = field(default_factory=dict)
    """(model, field) of lists of objects that are maps by the named key."""
    set_lists: frozenset[tuple[type[BaseModel], str]] = frozenset()
    """(model, field) of lists of scalars that are sets."""
    conditions: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Condition type -> reason -> what it means and what to do, for the reference page."""
    sample: str = ""
    """A commented manifest (YAML) that works; written to config/samples."""

    @property
    def singular(self) -> str:
        """Lower-case kind, as kubectl takes it."""
        return self.kind.lower()

    @property
    def crd_name(self) -> str:
        """Name of the CustomResourceDefinition."""
        return f"{self.plural}.{GROUP}"


class Condition(ApiModel):
    """A condition as in metav1.Condition."""

    type: str = Field(pattern=r"^[A-Z][A-Za-z]*$", max_length=64)
    """Type of the condition."""
    status: Literal["True", "False", "Unknown"]
    """Whether it holds."""
    reason: str = Field(pattern=r"^[A-Z][A-Za-z0-9]*$", max_length=128)
    """Constant for programs; the reference page lists them all."""
    message: str = Field(default="", max_length=32768)
    """Sentence for people."""
    observed_generation: int = Field(default=0, ge=0)
    """metadata.generation that this was decided for."""
    last_transition_time: str = Field(json_schema_extra={"format": "date-time"})
    """When status flipped last."""


class Status(ApiModel):
    """What the status of every kind has."""

    observed_generation: int = Field(default=0, ge=0)
    """metadata.generation that this status describes."""
    conditions: tuple[Condition, ...] = Field(default=(), max_length=16)
    """Conditions, one of each type."""


class LocalRef(ApiModel):
    """An object in the same namespace."""

    name: str = Field(pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", max_length=253)
    """Its name."""


class Resources(ApiModel):
    """Resources of one pod."""

    cpu: str = Field(default="", max_length=32, pattern=QUANTITY)
    """CPU request, e.g. 500m; empty: none."""
    memory: str = Field(default="", max_length=32, pattern=QUANTITY)
    """Memory request and limit, e.g. 4Gi; empty: none."""
    gpus: int = Field(default=0, ge=0, le=64)
    """Number of GPUs (limit of the resource named by gpuResource)."""
    gpu_resource: str = Field(default="nvidia.com/gpu", min_length=1, max_length=128)
    """Resource name of the GPUs."""
