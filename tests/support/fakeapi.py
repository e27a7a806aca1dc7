"""An in-memory API server for reconcile tests: server-side apply of one manager, generations, ownership, injected crashes.

It is quick and it is no proof: tests/integration/operators says the same against a real one. What it models: apply removes what
the manager applied before and does not any more; metadata.generation counts spec changes; status is a subresource; immutable
ConfigMaps and Job templates refuse changes; deleting an owner deletes what it owns.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable
from datetime import datetime
from typing import Any

from kubefugu_operators.cluster.objects import ApiError, Body, Ref, api_version, ref_of
from kubefugu_operators.conditions import timestamp


class CrashError(Exception):
    """The operator died here. Not an ApiError: nothing may catch it."""


class FakeApi:
    """Objects by reference. `crash_after` writes, every further one raises CrashError before it is done."""

    def __init__(self, *, clock: Callable[[], datetime]) -> None:
        self.objects: dict[Ref, Body] = {}
        self.writes: list[str] = []
        self.crash_after: int | None = None
        self.refuse: dict[Ref, ApiError] = {}
        self._applied: dict[tuple[Ref, str], Body] = {}
        self._clock = clock
        self._numbers = itertools.count(1)

    # --- the Api ------------------------------------------------------------------------------------------------------

    async def get(self, ref: Ref) -> Body | None:
        """The object, or None."""
        found = self.objects.get(ref)
        return copy.deepcopy(found)

    async def list(self, kind: str, namespace: str, *, labels: str = "") -> list[Body]:
        """Objects of a kind that match a label selector."""
        return [
            copy.deepcopy(body)
            for ref, body in sorted(self.objects.items())
            if ref.kind == kind and namespace in ("", ref.namespace) and _matches(body, labels)
        ]

    async def apply(self, body: Body, *, subresource: str = "", force: bool = True) -> Body:
        """Server-side apply."""
        ref = ref_of(body)
        self._write(f"apply {ref}{'/' + subresource if subresource else ''}", ref)
        current = self.objects.get(ref)
        if subresource:
            if current is None or current["metadata"]["uid"] != body["metadata"].get("uid", current["metadata"]["uid"]):
                raise ApiError(409 if current else 404, "Conflict", "uid differs")
            current["status"] = copy.deepcopy(body["status"])
            self._touch(current)
            return copy.deepcopy(current)
        before = self._applied.get((ref, ""), {})
        if current is None:
            current = self._born(body)
        changed = _merged(_without(current, before, body), body)
        self._validate(current, changed)
        if changed.get("spec") != current.get("spec") and ref in self.objects:
            changed["metadata"]["generation"] = current["metadata"].get("generation", 1) + 1
        self._touch(changed)
        self.objects[ref] = changed
        self._applied[ref, ""] = copy.deepcopy(body)
        return copy.deepcopy(changed)

    async def create(self, body: Body) -> Body:
        """Create; an existing object is refused with 409."""
        ref = ref_of(body)
        self._write(f"create {ref}", ref)
        if ref in self.objects:
            raise ApiError(409, "AlreadyExists", f"{ref} already exists")
        born = _merged(self._born(body), body)
        self._touch(born)
        self.objects[ref] = born
        return copy.deepcopy(born)

    async def delete(self, ref: Ref, *, uid: str = "") -> None:
        """Delete with everything that it owns."""
        self._write(f"delete {ref}", ref)
        found = self.objects.get(ref)
        if found is None or (uid and found["metadata"]["uid"] != uid):
            return
        self.remove(ref)

    async def annotate(self, ref: Ref, annotations: dict[str, str | None]) -> None:
        """Merge annotations."""
        self._write(f"annotate {ref}", ref)
        if ref not in self.objects:
            raise ApiError(404, "NotFound", f"{ref} not found")
        own = self.objects[ref]["metadata"].setdefault("annotations", {})
        for key, value in annotations.items():
            if value is None:
                own.pop(key, None)
            else:
                own[key] = value
        self._touch(self.objects[ref])

    # --- what tests do ------------------------------------------------------------------------------------------------

    def put(self, body: Body) -> Body:
        """A user (or a controller) creates or replaces an object; status is kept unless given."""
        ref = ref_of(body)
        stored = copy.deepcopy(body)
        stored.setdefault("apiVersion", api_version(ref.kind))
        current = self.objects.get(ref)
        if current is None:
            stored = _merged(self._born(stored), stored)
        else:
            stored["metadata"] = {**current["metadata"], **stored["metadata"]}
            if "status" in current:
                stored.setdefault("status", current["status"])
            if stored.get("spec") != current.get("spec"):
                stored["metadata"]["generation"] = current["metadata"].get("generation", 1) + 1
        self._touch(stored)
        self.objects[ref] = stored
        return copy.deepcopy(stored)

    def remove(self, ref: Ref) -> None:
        """Delete an object and, as the garbage collector does, what it owns."""
        gone = self.objects.pop(ref, None)
        self._applied.pop((ref, ""), None)
        if gone is None:
            return
        uid = gone["metadata"]["uid"]
        for other, body in list(self.objects.items()):
            if any(owner["uid"] == uid for owner in body["metadata"].get("ownerReferences", ())):
                self.remove(other)

    # --- inside -------------------------------------------------------------------------------------------------------

    def _write(self, what: str, ref: Ref) -> None:
        if self.crash_after is not None:
            if self.crash_after <= 0:
                raise CrashError(what)
            self.crash_after -= 1
        if ref in self.refuse:
            raise self.refuse[ref]
        self.writes.append(what)

    def _born(self, body: Body) -> Body:
        number = next(self._numbers)
        return {
            "apiVersion": body["apiVersion"],
            "kind": body["kind"],
            "metadata": {
                "name": body["metadata"]["name"],
                "namespace": body["metadata"]["namespace"],
                "uid": f"uid-{number}",
                "generation": 1,
                "creationTimestamp": timestamp(self._clock()),
            },
        }

    def _touch(self, body: Body) -> None:
        body["metadata"]["resourceVersion"] = str(next(self._numbers))

    @staticmethod
    def _validate(current: Body, changed: Body) -> None:
        frozen = current.get("immutable") is True
        if frozen and any(current.get(key) != changed.get(key) for key in ("data", "binaryData", "immutable")):
            raise ApiError(422, "Invalid", "data is immutable when `immutable` is set")
        before = (current.get("spec") or {}).get("template")
        if current["kind"] == "Job" and before is not None and changed["spec"].get("template") != before:
            raise ApiError(422, "Invalid", "spec.template: field is immutable")


def _matches(body: Body, selector: str) -> bool:
    labels = body["metadata"].get("labels") or {}
    for term in filter(None, selector.split(",")):
        key, equals, value = term.partition("=")
        if (equals and labels.get(key) != value) or (not equals and key not in labels):
            return False
    return True


def _named(items: Any) -> bool:
    return isinstance(items, list) and bool(items) and all(isinstance(item, dict) and "name" in item for item in items)


def _merged(current: Any, wanted: Any) -> Any:
    if isinstance(current, dict) and isinstance(wanted, dict):
        return {**current, **{key: _merged(current.get(key), value) for key, value in wanted.items()}}
    if _named(current) and _named(wanted):
        by_name = {item["name"]: item for item in current}
        merged = [_merged(by_name.get(item["name"]), item) for item in wanted]
        names = {item["name"] for item in wanted}
        return merged + [item for item in current if item["name"] not in names]
    return copy.deepcopy(wanted)


def _without(current: Any, before: Any, wanted: Any) -> Any:
    """`current` without what was applied before and is not wanted any more."""
    if isinstance(current, dict) and isinstance(before, dict):
        kept = {}
        for key, value in current.items():
            if key not in before:
                kept[key] = value
            elif isinstance(wanted, dict) and key in wanted:
                kept[key] = _without(value, before[key], wanted[key])
        return kept
    if _named(current) and _named(before):
        names = {item["name"] for item in wanted or ()}
        applied = {item["name"] for item in before}
        return [item for item in current if item["name"] in names or item["name"] not in applied]
    return current
