"""What a pure reconciliation asks for. The runtime carries it out in the order of the fields, the status last."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from kubefugu_operators.cluster.objects import Body, Ref


@dataclass(frozen=True, slots=True)
class Deletion:
    """An object of ours that has to go. The uid keeps a successor of the same name alive."""

    ref: Ref
    uid: str


@dataclass(frozen=True, slots=True)
class Annotation:
    """An annotation on an object whose other fields are not this plan's."""

    ref: Ref
    key: str
    value: str


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that one pass wants. Applying the same plan twice writes nothing the second time."""

    mark: tuple[Annotation, ...] = ()
    """Facts that have to be on record before anything else is written."""
    delete: tuple[Deletion, ...] = ()
    create: tuple[Body, ...] = ()
    """Objects to create where there are none, in this order, none after one that is refused; an existing one stays as it is."""
    apply: tuple[Body, ...] = ()
    """Objects by server-side apply, in this order; those that are as wanted already are not written."""
    nudge: tuple[Annotation, ...] = ()
    """Annotations on pods, which make their kubelets refresh mounted ConfigMaps and Secrets at once; refusals do no harm."""
    release: tuple[str, ...] = ()
    """Addresses of training drivers whose artifact is stored: they may end."""
    status: Body | None = None
    """The whole status; None leaves it alone."""
    requeue_after_s: float | None = None
    """Look again after this time; None: at the next event or resync."""


Refusals = Mapping[Ref, str]
"""Objects that the API server refused, with its sentence."""
