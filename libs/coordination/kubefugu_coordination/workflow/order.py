"""Who may do a step, and who is asked next when the planned worker fails or declines. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from kubefugu_coordination.capabilities import supports
from kubefugu_core.pool import Capability, WorkerSpec


def asking_order(
    planned: str,
    workers: Sequence[WorkerSpec],
    *,
    needs: Collection[Capability],
    ranking: Sequence[str] = (),
    declined: bool = False,
) -> list[str]:
    """The planned worker first, then the other allowed ones in the router's order where there is one; fallback workers last.

    Without a ranking generalists come before specialists, except where a specialist declined: then the question is narrow, only
    not that one's, and declining is quick. Workers that lack a needed capability are left out, the planned one included.
    """
    able = [worker for worker in workers if all(supports(worker, need) for need in needs)]
    position = {name: place for place, name in enumerate(ranking)}

    def key(worker: WorkerSpec) -> tuple[bool, bool, int, bool]:
        return (
            worker.name != planned,
            worker.fallback,
            position.get(worker.name, len(position)),
            worker.specialist != declined,
        )

    return [worker.name for worker in sorted(able, key=key)]


def share_s(remaining_s: float, chain: int) -> float:
    """Seconds that a step may take when `chain` steps, itself included, are still to run one after the other.

    An equal share of what is left, so that a step which hangs leaves the answer its time.
    """
    return max(0.0, remaining_s) / max(1, chain)


def chains(access: Sequence[Sequence[int]]) -> Mapping[int, int]:
    """For each step, how many steps stand on the longest way from it to the last one, both included."""
    length = {len(access) - 1: 1}
    for index in range(len(access) - 1, -1, -1):
        for seen in access[index]:
            length[seen] = max(length.get(seen, 0), length.get(index, 1) + 1)
    return length
