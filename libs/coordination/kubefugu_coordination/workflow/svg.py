"""A plan as a picture: a pure function from graph and measurements to SVG, without any drawing tool.

Steps stand in columns by their distance from the start, so that what runs at the same time stands above each other; an arrow
means "sees". The last step, whose output is the answer, has a heavier frame.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from kubefugu_coordination.workflow.plan import Plan

_WIDTH, _GAP_X, _GAP_Y, _MARGIN = 236, 64, 24, 16
_LINE, _LINE_CHARS, _MAX_LINES = 16, 34, 4
_PADDING = 12
_LANE = 4

# No CSS variables: viewers other than browsers don't know them.
_STYLE = """
svg{font:12px system-ui,sans-serif}
rect{fill:#ffffff;stroke:#8792a2} text{fill:#1c2330} .head{font-weight:600} .soft{fill:#5b6575;font-size:11px}
.edge{fill:none;stroke:#8792a2;stroke-width:1.4} .tip{fill:#8792a2}
.final rect{stroke:#1f6feb;stroke-width:2.5}
.failed rect{stroke:#c9372c;stroke-dasharray:5 3} .waiting rect{stroke:#b65c02;stroke-dasharray:2 3}
@media (prefers-color-scheme:dark){
rect{fill:#1b2029;stroke:#6b7686} text{fill:#e6e9ef} .soft{fill:#9aa4b2} .edge{stroke:#6b7686} .tip{fill:#6b7686}
.final rect{stroke:#579dff} .failed rect{stroke:#f87168} .waiting rect{stroke:#f5cd47}
}
"""


@dataclass(frozen=True, slots=True)
class StepFacts:
    """What is known of a step that ran; all of it is optional."""

    outcome: str = ""
    """ok, failed or waiting."""
    done_by: str = ""
    """The worker that did it, where it isn't the planned one."""
    duration_s: float | None = None
    tokens: int | None = None
    cost_usd: float | None = None

    def line(self) -> str:
        """The facts in one line."""
        parts = [self.outcome] if self.outcome not in ("", "ok") else []
        if self.duration_s is not None:
            parts.append(f"{self.duration_s:.2f} s")
        if self.tokens is not None:
            parts.append(f"{self.tokens} tokens")
        if self.cost_usd:
            parts.append(f"${self.cost_usd:.6f}".rstrip("0").rstrip("."))
        return " · ".join(parts)


@dataclass(frozen=True, slots=True)
class _Box:
    x: float
    y: float
    height: float
    lines: Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class _Layout:
    boxes: Sequence[_Box]
    columns: Sequence[int]
    lanes: Mapping[tuple[int, int], float]
    """Height at which the arrows of a step pass a column."""


def plan_svg(plan: Plan, facts: Mapping[int, StepFacts] | None = None, *, title: str = "Workflow") -> str:
    """An SVG document. Deterministic; every text is escaped; colours follow the reader's light or dark preference."""
    layout = _layout(plan, facts or {})
    boxes = layout.boxes
    width = max(box.x for box in boxes) + _WIDTH + _MARGIN
    height = max(box.y + box.height for box in boxes) + _MARGIN
    edges = [_edge(layout, seen, index) for index, step in enumerate(plan.steps) for seen in step.access]
    nodes = [_node(index, box, plan, (facts or {}).get(index, StepFacts())) for index, box in enumerate(boxes)]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}" '
            f'height="{height:g}" role="img" aria-label="{escape(_visible(title))}">',
            f"<title>{escape(_visible(title))}</title>",
            f"<style>{_STYLE}</style>",
            '<defs><marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
            '<path class="tip" d="M0 0L8 4L0 8z"/></marker></defs>',
            *edges,
            *nodes,
            "</svg>",
        ]
    )


def _layout(plan: Plan, facts: Mapping[int, StepFacts]) -> _Layout:
    """Place boxes column by column. An arrow that passes a column gets a lane there, so that it runs behind no box."""
    columns: list[int] = []
    for step in plan.steps:
        columns.append(max((columns[seen] + 1 for seen in step.access), default=0))
    texts = [_lines(index, plan, facts.get(index, StepFacts())) for index in range(len(plan.steps))]
    heights = [len(lines) * _LINE + 2 * _PADDING - 4 for lines in texts]
    reach = {seen: max(columns[i] for i, s in enumerate(plan.steps) if seen in s.access) for seen in range(plan.final)}
    boxes: dict[int, _Box] = {}
    lanes: dict[tuple[int, int], float] = {}
    members = {c: [i for i in range(len(columns)) if columns[i] == c or columns[i] < c < reach.get(i, 0)] for c in set(columns)}
    sizes = {c: [heights[i] if columns[i] == c else _LANE for i in found] for c, found in members.items()}
    totals = {c: sum(found) + _GAP_Y * (len(found) - 1) for c, found in sizes.items()}
    for column, found in members.items():
        y = _MARGIN + (max(totals.values()) - totals[column]) / 2
        for index, height in zip(found, sizes[column], strict=True):
            if columns[index] == column:
                boxes[index] = _Box(_MARGIN + column * (_WIDTH + _GAP_X), y, height, texts[index])
            else:
                lanes[index, column] = y + height / 2
            y += height + _GAP_Y
    return _Layout([boxes[index] for index in range(len(columns))], columns, lanes)


def _lines(index: int, plan: Plan, facts: StepFacts) -> list[tuple[str, str]]:
    step = plan.steps[index]
    who = step.worker if facts.done_by in ("", step.worker) else f"{step.worker} → {facts.done_by}"
    wrapped = textwrap.wrap(_visible(step.subtask), _LINE_CHARS, max_lines=_MAX_LINES, placeholder=" …")
    lines = [("head", textwrap.shorten(f"{index} · {_visible(who)}", _LINE_CHARS, placeholder="…"))]
    lines += [("", line) for line in wrapped]
    return [*lines, ("soft", facts.line())] if facts.line() else lines


def _node(index: int, box: _Box, plan: Plan, facts: StepFacts) -> str:
    kinds = ["step", *(["final"] if index == plan.final else []), *([facts.outcome] if facts.outcome.isalpha() else [])]
    parts = [f'<g class="{" ".join(kinds)}"><title>{escape(_visible(plan.steps[index].subtask))}</title>']
    parts.append(f'<rect x="{box.x:g}" y="{box.y:g}" width="{_WIDTH}" height="{box.height:g}" rx="8"/>')
    for number, (kind, line) in enumerate(box.lines):
        y = box.y + _PADDING + 8 + number * _LINE
        parts.append(f'<text class="{kind}" x="{box.x + _PADDING:g}" y="{y:g}">{escape(line)}</text>')
    return "".join([*parts, "</g>"])


def _edge(layout: _Layout, start: int, end: int) -> str:
    """A curve from the right side of one box to the left side of another, through the lanes between them."""
    first, last = layout.boxes[start], layout.boxes[end]
    x, y = first.x + _WIDTH, first.y + first.height / 2
    path = [f"M{x:g} {y:g}"]
    stops = [
        (_MARGIN + c * (_WIDTH + _GAP_X), layout.lanes[start, c]) for c in range(layout.columns[start] + 1, layout.columns[end])
    ]
    for to_x, to_y in [*stops, (last.x, last.y + last.height / 2)]:
        middle = (x + to_x) / 2
        path.append(f"C{middle:g} {y:g} {middle:g} {to_y:g} {to_x:g} {to_y:g}")
        x, y = to_x + _WIDTH, to_y
        if to_x != last.x:
            path.append(f"H{x:g}")
    return f'<path class="edge" d="{"".join(path)}" marker-end="url(#arrow)"/>'


def _visible(text: str) -> str:
    """Without the control characters that XML 1.0 forbids."""
    return "".join(char if char.isprintable() or char in "\n\t" else "\ufffd" for char in text)
