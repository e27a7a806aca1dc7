"""The picture of a plan: well-formed whatever the texts are, one box a step, one arrow an access."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

from hypothesis import given, settings
from hypothesis import strategies as st
from support.plans import plans

from kubefugu_coordination.workflow.plan import Plan, Step
from kubefugu_coordination.workflow.svg import StepFacts, plan_svg

SVG = "{http://www.w3.org/2000/svg}"


def boxes(document: str) -> list[tuple[float, float, float, float]]:
    root = ElementTree.fromstring(document)
    return [tuple(float(rect.attrib[k]) for k in ("x", "y", "width", "height")) for rect in root.iter(f"{SVG}rect")]


@settings(max_examples=150, deadline=None)
@given(plans(subtasks=st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(str.strip), max_steps=8))
def test_any_plan_is_well_formed_and_complete(plan: Plan) -> None:
    document = plan_svg(plan, title=plan.steps[0].subtask)
    assert document == plan_svg(plan, title=plan.steps[0].subtask)
    root = ElementTree.fromstring(document)
    found = boxes(document)
    assert len(found) == len(plan.steps)
    edges = root.findall(f"{SVG}path")
    assert len(edges) == sum(len(step.access) for step in plan.steps)
    for index, step in enumerate(plan.steps):
        assert all(found[seen][0] + found[seen][2] < found[index][0] for seen in step.access), "arrows point to the right"
    for x, y, width, height in found:
        assert x >= 0
        assert y >= 0
        assert x + width <= float(root.attrib["width"])
        assert y + height <= float(root.attrib["height"])
    for index, (x, y, _, height) in enumerate(found):
        for other_x, other_y, _, other_height in found[:index]:
            assert x != other_x or y >= other_y + other_height or other_y >= y + height, "boxes overlap"


def test_facts_and_failures_are_shown() -> None:
    plan = Plan((Step("units", "Convert <3> miles & say."), Step("writer", "State it.", (0,))))
    facts = {0: StepFacts("failed", "algebra", 1.234), 1: StepFacts("ok", "writer", 0.5, 120, 0.0012)}
    document = plan_svg(plan, facts)
    texts = [element.text for element in ElementTree.fromstring(document).iter(f"{SVG}text")]
    assert texts == [
        "0 · units → algebra",
        "Convert <3> miles & say.",
        "failed · 1.23 s",
        "1 · writer",
        "State it.",
        "0.50 s · 120 tokens · $0.0012",
    ]
    assert 'class="step failed"' in document
    assert 'class="step final ok"' in document
