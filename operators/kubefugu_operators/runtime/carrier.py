"""Carries out a plan: deletions, objects, nudges, then the status; nothing is written that is as wanted already."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

import structlog

from kubefugu_operators.cluster.drift import differs, stamped
from kubefugu_operators.cluster.objects import Api, ApiError, Body, Ref, ref_of
from kubefugu_operators.plan import Plan

_log = structlog.get_logger()


class Carrier:
    """Writes plans through an `Api` and counts what it wrote."""

    def __init__(self, api: Api, *, release: Callable[[str], Awaitable[None]]) -> None:
        self._api = api
        self._release = release
        self.writes = 0

    async def carry_out(self, plan: Plan, observed: Mapping[Ref, Body]) -> dict[Ref, str]:
        """Everything but the status. Returns what the API server refuses for good, with its sentence; raises other errors."""
        refusals: dict[Ref, str] = {}
        for mark in plan.mark:
            self.writes += 1
            await self._api.annotate(mark.ref, {mark.key: mark.value})
        for deletion in plan.delete:
            self.writes += 1
            await self._api.delete(deletion.ref, uid=deletion.uid)
            _log.info("deleted", object=str(deletion.ref))
        for body in plan.create:
            await self._create(body, refusals)
            if refusals:
                break  # each stands on those before it: no Job is made for a snapshot that is not ours
        for body in plan.apply:
            await self._apply(stamped(body), observed, refusals)
        for nudge in plan.nudge:
            self.writes += 1
            try:
                await self._api.annotate(nudge.ref, {nudge.key: nudge.value})
            except ApiError as error:
                # The kubelet refreshes volumes by itself too, only later; a pod may be gone by now.
                if error.status not in (403, 404, 409):
                    raise
        for address in plan.release:
            await self._release(address)
        return refusals

    async def _create(self, body: Body, refusals: dict[Ref, str]) -> None:
        ref = ref_of(body)
        current = await self._api.get(ref)
        if current is not None:
            if not _same_owner(body, current):
                refusals[ref] = f"{ref} exists and belongs to {_owner(current)}"
            return
        self.writes += 1
        try:
            await self._api.create(body)
            _log.info("created", object=str(ref))
        except ApiError as error:
            if error.status != 409:
                _refuse(error, ref, refusals)

    async def _apply(self, body: Body, observed: Mapping[Ref, Body], refusals: dict[Ref, str]) -> None:
        ref = ref_of(body)
        current = observed.get(ref)
        if current is None:
            current = await self._api.get(ref)
        if current is not None and not _same_owner(body, current):
            refusals[ref] = f"{ref} exists and belongs to {_owner(current)}"
            return
        if not differs(body, current):
            return
        self.writes += 1
        try:
            await self._api.apply(body)
            _log.info("applied", object=str(ref))
        except ApiError as error:
            _refuse(error, ref, refusals)

    async def write_status(self, body: Body, status: Body) -> bool:
        """Write the status where it differs; True where it was written."""
        if not status_differs(body.get("status") or {}, status):
            return False
        meta = body["metadata"]
        self.writes += 1
        try:
            await self._api.apply(
                {
                    "apiVersion": body["apiVersion"],
                    "kind": body["kind"],
                    "metadata": {"name": meta["name"], "namespace": meta["namespace"], "uid": meta["uid"]},
                    "status": status,
                },
                subresource="status",
            )
        except ApiError as error:
            # Deleted, or deleted and created anew meanwhile: its own event brings the next pass.
            if error.status not in (404, 409):
                raise
        return True


def status_differs(observed: Body, wanted: Body) -> bool:
    """True where our part of the status is not as wanted. Conditions of types that are not ours are other people's."""
    ours = {condition["type"] for condition in wanted.get("conditions", ())}
    kept = [condition for condition in observed.get("conditions", ()) if condition["type"] in ours]
    plain = {key: value for key, value in observed.items() if key != "conditions"}
    return {**plain, "conditions": kept} != {**wanted, "conditions": list(wanted.get("conditions", ()))}


def _refuse(error: ApiError, ref: Ref, refusals: dict[Ref, str]) -> None:
    if not error.permanent:
        raise error
    _log.warning("refused", object=str(ref), status=error.status, message=error.message[:300])
    refusals[ref] = f"{ref} was refused: {error.message}"


def _same_owner(wanted: Body, current: Body) -> bool:
    uids = {reference["uid"] for reference in wanted["metadata"].get("ownerReferences", ())}
    return not uids or any(reference["uid"] in uids for reference in current["metadata"].get("ownerReferences") or ())


def _owner(body: Body) -> str:
    for reference in body["metadata"].get("ownerReferences") or ():
        return f"{reference['kind']} {reference['name']}"
    return "nobody that this operator knows"
