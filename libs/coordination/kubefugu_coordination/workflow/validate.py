"""From three raw lists to an executable plan, or every reason why not (ALGORITHMS.md section 3, validate)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from kubefugu_coordination.workflow.diagnosis import Diagnosis, PlanCode
from kubefugu_coordination.workflow.parse import RawPlan, parse_plan
from kubefugu_coordination.workflow.plan import DEFAULT_MAX_STEPS, JOIN_WORKER, Plan, Step, used_steps


@dataclass(frozen=True, slots=True)
class PlanReading:
    """What came of a planner output: a plan with notes, or no plan and at least one error."""

    plan: Plan | None
    diagnoses: tuple[Diagnosis, ...]


def read_plan(
    text: str, *, workers: Sequence[str], max_steps: int = DEFAULT_MAX_STEPS, narrow: Collection[str] = ()
) -> PlanReading:
    """Parse and validate a planner's output against the workers that were offered, in the order of their ids. Never raises.

    `narrow` are those of them that read nothing but their subtask.
    """
    raw = parse_plan(text)
    if isinstance(raw, RawPlan):
        return validate_plan(raw, workers=workers, max_steps=max_steps, narrow=narrow)
    return PlanReading(None, raw)


def validate_plan(
    raw: RawPlan, *, workers: Sequence[str], max_steps: int = DEFAULT_MAX_STEPS, narrow: Collection[str] = ()
) -> PlanReading:
    """Check everything that can be checked, so that one repair turn sees all of it.

    Ids must be integers in range (never wrapped; True and 1.0 are no integers) or a worker's exact name. Access goes to
    strictly earlier steps; "all" means all of those and may stand inside a list. Empty steps at the end and steps that nothing
    uses are dropped with a note; too many steps are an error. Every id and access entry must be well-formed, those of dropped
    steps included.
    """
    lengths = {"model_id": len(raw.model_id), "subtasks": len(raw.subtasks), "access_list": len(raw.access_list)}
    if len(set(lengths.values())) != 1:
        told = ", ".join(f"{label} has {count}" for label, count in lengths.items())
        return PlanReading(None, (*raw.notes, Diagnosis(PlanCode.LENGTHS_DIFFER, f"The lists must be equally long: {told}.")))

    errors: list[Diagnosis] = []
    ids = [_check_id(value, index, workers, errors) for index, value in enumerate(raw.model_id)]
    subtasks = [_check_subtask(value, index, errors) for index, value in enumerate(raw.subtasks)]
    access = [_check_access(value, index, len(ids), errors) for index, value in enumerate(raw.access_list)]
    count = max((index + 1 for index, subtask in enumerate(subtasks) if subtask != ""), default=0)
    errors.extend(_check_count(count, subtasks, max_steps))
    if not errors:
        errors.extend(_check_joins([workers[number] for number in ids[:count]], access))
    if errors:
        return PlanReading(None, (*raw.notes, *errors))
    notes = list(raw.notes)
    for index in range(count, len(ids)):
        notes.append(Diagnosis(PlanCode.TRAILING_STEP_EMPTY, "An empty last step is dropped.", index))
    notes.extend(
        Diagnosis(PlanCode.RESULTS_UNREAD, f"{workers[ids[index]]} reads nothing but its subtask; what it sees is lost.", index)
        for index in range(count)
        if access[index] and workers[ids[index]] in narrow
    )
    return _keep_used(ids[:count], subtasks[:count], access[:count], workers, notes)


def _check_count(count: int, subtasks: list[str], max_steps: int) -> list[Diagnosis]:
    if count == 0:
        return [Diagnosis(PlanCode.NO_STEPS, "The plan has no step with a subtask.")]
    errors = []
    if count > max_steps:
        errors.append(Diagnosis(PlanCode.TOO_MANY_STEPS, f"The plan has {count} steps; at most {max_steps} are allowed."))
    for index in range(count):
        if subtasks[index] == "":
            errors.append(Diagnosis(PlanCode.SUBTASK_EMPTY, "This subtask is empty, but later ones are not.", index))
    return errors


def _check_joins(names: list[str], access: list[tuple[int, ...]]) -> list[Diagnosis]:
    return [
        Diagnosis(PlanCode.JOIN_WITHOUT_RESULTS, f"{JOIN_WORKER} sees no step, so there is nothing to put together.", index)
        for index, name in enumerate(names)
        if name == JOIN_WORKER and not access[index]
    ]


def _keep_used(
    ids: list[int], subtasks: list[str], access: list[tuple[int, ...]], workers: Sequence[str], notes: list[Diagnosis]
) -> PlanReading:
    kept = sorted(used_steps(access))
    renumbered = {old: new for new, old in enumerate(kept)}
    for index in range(len(ids)):
        if index not in renumbered:
            notes.append(
                Diagnosis(PlanCode.STEP_UNUSED, "No step on the way to the answer sees this one; it is dropped.", index)
            )
    steps = tuple(Step(workers[ids[old]], subtasks[old], tuple(renumbered[seen] for seen in access[old])) for old in kept)
    return PlanReading(Plan(steps), tuple(notes))


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _short(value: Any) -> str:
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # an integer beyond Python's limit of printable digits
        return "a huge value"
    return text if len(text) <= 60 else text[:57] + "..."


def _check_id(value: Any, index: int, workers: Sequence[str], errors: list[Diagnosis]) -> int:
    if isinstance(value, str) and value in workers:
        return list(workers).index(value)
    if not _is_int(value):
        message = f"A worker id must be an integer from 0 to {len(workers) - 1} or a worker's exact name, not {_short(value)}."
        errors.append(Diagnosis(PlanCode.ID_NOT_AN_INTEGER, message, index))
    elif not 0 <= value < len(workers):
        message = f"The worker id {_short(value)} does not exist; ids go from 0 to {len(workers) - 1}."
        errors.append(Diagnosis(PlanCode.ID_OUT_OF_RANGE, message, index))
    else:
        return int(value)
    return -1


def _check_subtask(value: Any, index: int, errors: list[Diagnosis]) -> str:
    """The subtask, stripped; a placeholder where it is no text, so that the step is counted."""
    if not isinstance(value, str):
        errors.append(Diagnosis(PlanCode.SUBTASK_NOT_TEXT, f"A subtask must be a string, not {_short(value)}.", index))
        return "?"
    try:
        # Python reads a JSON surrogate pair as two halves; together they are one character, alone they are none.
        text = value.encode("utf-16", "surrogatepass").decode("utf-16").replace("\x00", "")
    except UnicodeDecodeError:
        errors.append(Diagnosis(PlanCode.SUBTASK_NOT_TEXT, "The subtask holds half of a surrogate pair.", index))
        return "?"
    return text.strip()


def _check_access(value: Any, index: int, count: int, errors: list[Diagnosis]) -> tuple[int, ...]:
    if _is_all(value):
        return tuple(range(index))
    if not isinstance(value, list):
        message = f'Access must be a list of earlier steps or "all", not {_short(value)}.'
        errors.append(Diagnosis(PlanCode.ACCESS_NOT_A_LIST, message, index))
        return ()
    seen: set[int] = set()
    for member in value:
        if _is_all(member):
            seen.update(range(index))
        elif not _is_int(member):
            message = f"An access list holds step indices, not {_short(member)}."
            errors.append(Diagnosis(PlanCode.ACCESS_NOT_AN_INTEGER, message, index))
        elif not 0 <= member < count:
            message = f"Step {_short(member)} does not exist; steps go from 0 to {count - 1}."
            errors.append(Diagnosis(PlanCode.ACCESS_OUT_OF_RANGE, message, index))
        elif member >= index:
            message = f"Step {index} may only see steps before it, not step {member}."
            errors.append(Diagnosis(PlanCode.ACCESS_NOT_EARLIER, message, index))
        else:
            seen.add(member)
    return tuple(sorted(seen))


def _is_all(value: Any) -> bool:
    return isinstance(value, str) and value.strip().casefold() == "all"
