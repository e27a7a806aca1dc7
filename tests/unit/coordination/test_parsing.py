"""Thoughts, suggestions and verdicts, rule by rule (ALGORITHMS.md section 2)."""

from __future__ import annotations

import pytest

from kubefugu_coordination.loop.parsing import accepts, suggestion_of, thought_of
from kubefugu_core.pool import Role


@pytest.mark.parametrize(
    ("reply", "thought"),
    [
        ("the whole reply", "the whole reply"),
        ("before <idea> the idea </idea> after", "the idea"),
        ("<IDEA>in\nlines</IDEA>", "in\nlines"),
        ("<idea>  </idea> rest", "<idea>  </idea> rest"),
        ("<idea>never closed", "<idea>never closed"),
        ("<idea>first</idea><idea>second</idea>", "first"),
        ("<think>long</think>\nanswer", "answer"),
    ],
)
def test_the_thought_is_the_content_of_idea_tags_if_present_else_the_whole_reply(reply: str, thought: str) -> None:
    assert thought_of(reply) == thought


@pytest.mark.parametrize("role", ["solver", "verifier"])
def test_both_tags_make_a_suggestion(role: str) -> None:
    reply = f"Analysis. <suggestion>\ncheck the units\n</suggestion> <suggested_role> {role.upper()} </suggested_role>"
    suggestion = suggestion_of(reply)
    assert suggestion is not None
    assert (suggestion.text, suggestion.role) == ("check the units", Role(role))


@pytest.mark.parametrize(
    "reply",
    [
        "nothing",
        "<suggestion>only this</suggestion>",
        "<suggested_role>solver</suggested_role>",
        "<suggestion>x</suggestion><suggested_role>thinker</suggested_role>",
        "<suggestion>x</suggestion><suggested_role>boss</suggested_role>",
        "<suggestion>x</suggestion><suggested_role>solver",
        "<suggestion> </suggestion><suggested_role>solver</suggested_role>",
    ],
)
def test_both_tags_or_neither_count(reply: str) -> None:
    assert suggestion_of(reply) is None


@pytest.mark.parametrize(
    ("reply", "accepted"),
    [
        ("ACCEPT", True),
        ("  accept: fine", True),
        ("Accepted, although I would reject the style.", True),
        ("REJECT", False),
        ("reject, I cannot accept this", False),
        ("**ACCEPT**", True),
        ("The response is correct. ACCEPT", True),
        ("I neither accept nor reject", False),
        ("It looks right", False),
        ("", False),
        ("<think>should I reject? no</think>\nACCEPT", True),
        ("<think>accept it</think>REJECT", False),
    ],
)
def test_the_verdict(reply: str, accepted: bool) -> None:
    assert accepts(reply) is accepted
