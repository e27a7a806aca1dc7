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

_STYLE = """
svg{font:12px system-ui,sans-serif;--ink:#1c2330;--soft:#5b6575;--box:#fff;--edge:#8792a2;--accent:#1f6feb;--bad:#c9372c;--wait:#b65c02}
@media (prefers-color-scheme:dark){svg{--ink:#e6e9ef;--soft:#9aa4b2;--box:#1b2029;--edge:#6b7686;--accent:#579dff;--bad:#f87168;--wait:#f5cd47}}
rect{fill:var(--box);stroke:var(--edge)}.final rect{stroke:var(--accent);stroke-width:2.5}.failed rect{stroke:var(--bad);stroke-dasharray:5 3}
.waiting rect{stroke:var(--wait);stroke-dasharray:2 3}text{fill:var(--ink)}.head{font-weight:600}.soft{fill:var(--soft);font-size:11px}
path{fill:none;stroke:var(--edge);stroke-width:1.4}marker path{fill:var(--edge);stroke:none}
"""  # noqa: E501 - one rule a line would be four times as long


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


def plan_svg(plan: Plan, facts: Mapping[int, StepFacts] | None = None, *, title: str = "Workflow") -> str:
    """An SVG document. Deterministic; every text is escaped; colours follow the reader's light or dark preference."""
    boxes = _layout(plan, facts or {})
    width = max(box.x for box in boxes) + _WIDTH + _MARGIN
    height = max(box.y + box.height for box in boxes) + _MARGIN
    edges = [_edge(boxes[seen], boxes[index]) for index, step in enumerate(plan.steps) for seen in step.access]
    nodes = [_node(index, box, plan, (facts or {}).get(index, StepFacts())) for index, box in enumerate(boxes)]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}" '
            f'height="{height:g}" role="img" aria-label="{escape(_visible(title))}">',
            f"<title>{escape(_visible(title))}</title>",
            f"<style>{_STYLE}</style>",
            '<defs><marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
            '<path d="M0 0L8 4L0 8z"/></marker></defs>',
            *edges,
            *nodes,
            "</svg>",
        ]
    )


def _layout(plan: Plan, facts: Mapping[int, StepFacts]) -> list[_Box]:
    columns: list[int] = []
    for step in plan.steps:
        columns.append(max((columns[seen] + 1 for seen in step.access), default=0))
    texts = [_lines(index, plan, facts.get(index, StepFacts())) for index in range(len(plan.steps))]
    heights = [len(lines) * _LINE + 2 * _PADDING - 4 for lines in texts]
    totals: dict[int, float] = {}
    for column, height in zip(columns, heights, strict=True):
        totals[column] = totals.get(column, -_GAP_Y) + height + _GAP_Y
    tallest = max(totals.values())
    next_y = {column: _MARGIN + (tallest - total) / 2 for column, total in totals.items()}
    boxes = []
    for column, height, lines in zip(columns, heights, texts, strict=True):
        boxes.append(_Box(_MARGIN + column * (_WIDTH + _GAP_X), next_y[column], height, lines))
        next_y[column] += height + _GAP_Y
    return boxes


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


def _edge(start: _Box, end: _Box) -> str:
    x0, y0 = start.x + _WIDTH, start.y + start.height / 2
    x1, y1 = end.x, end.y + end.height / 2
    bend = max(_GAP_X / 2, (x1 - x0) / 2)
    return f'<path d="M{x0:g} {y0:g}C{x0 + bend:g} {y0:g} {x1 - bend:g} {y1:g} {x1:g} {y1:g}" marker-end="url(#arrow)"/>'


def _visible(text: str) -> str:
    """Without the control characters that XML 1.0 forbids."""
    return "".join(char if char.isprintable() or char in "\n\t" else "\ufffd" for char in text)
