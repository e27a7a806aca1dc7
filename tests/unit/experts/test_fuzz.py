"""Whatever a user writes: no crash, no hang. Through the sandbox, as in service."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.expert_tables import engine, table

from kubefugu_experts.engines.base import Answer, Declined, Question
from kubefugu_experts.engines.registry import ENGINES
from kubefugu_experts.sandbox import Sandbox, SandboxLimits

_QUESTIONS = [row.question for name in ENGINES for row in table(name)]
_PIECES = sorted({word for question in _QUESTIONS for word in question.split()})


@st.composite
def mangled(draw: st.DrawFn) -> str:
    """A real question with words dropped, doubled, swapped for others', and characters inserted."""
    words = draw(st.sampled_from(_QUESTIONS)).split(" ")
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, len(words) - 1))
        action = draw(st.sampled_from(["drop", "double", "foreign", "character"]))
        if action == "drop" and len(words) > 1:
            del words[place]
        elif action == "double":
            words.insert(place, words[place])
        elif action == "foreign":
            words[place] = draw(st.sampled_from(_PIECES))
        else:
            words[place] += draw(st.characters(exclude_categories=["Cs"]))
    return " ".join(words)


_texts = st.one_of(mangled(), st.text(max_size=300), st.lists(st.sampled_from(_PIECES), max_size=40).map(" ".join))


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as running:
        yield running


@pytest.fixture(scope="module")
def sandbox(runner: asyncio.Runner) -> Iterator[Sandbox]:
    box = Sandbox(list(ENGINES.values()), children=1, limits=SandboxLimits(answer_cpu_s=10, answer_timeout_s=60))
    runner.run(box.start())
    yield box
    runner.run(box.close())


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", list(ENGINES))
def test_no_text_crashes_an_engine(name: str, sandbox: Sandbox, runner: asyncio.Runner) -> None:
    if engine(name) is None:
        pytest.skip(f"the engine {name} cannot be loaded here")

    @settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
    @given(_texts)
    def check(text: str) -> None:
        reply = runner.run(sandbox.answer(name, Question(text=text)))
        assert isinstance(reply, Answer | Declined)
        assert "within" not in getattr(reply, "reason", ""), "took too long"

    check()


@pytest.mark.parametrize("word", ["CENTIMETERS", "aaaaaaaaaaaa", "1,000", "(x)", "and ", "Ann is taller than ", "P -> "])
@pytest.mark.parametrize("name", list(ENGINES))
def test_repetition_does_not_explode(name: str, word: str, sandbox: Sandbox, runner: asyncio.Runner) -> None:
    """Patterns that can match a text in many ways would take for ever."""
    if engine(name) is None:
        pytest.skip(f"the engine {name} cannot be loaded here")
    for text in (f"{word} " * 12 + "in 2 METERS?", word * 30, f"What is {word} {word} {word} {word} of it?"):
        reply = runner.run(sandbox.answer(name, Question(text=text)))
        assert "within" not in getattr(reply, "reason", "")


HARD = (
    "expand (a+b+c+x+y+z)^150",
    "what is 9^9^9^9",
    "factor 123456789012345678901234567890123456789",
    "what is the 100000th prime times 10^900",
    "integrate x^x",
    "solve x^7 - 3x + 1 = sin(x)",
    "how many integers x satisfy 0 < x < 10^30?",
    "find integers x, y and z such that x^3 + y^3 = z^3 and x > 0 and y > 0",
    "is " + " and ".join(f"(a{i} or not b{i})" for i in range(10)) + " a tautology?",
    "What date is 99999999999 days after March 3, 2021?",
    "convert 1e999 km to miles",
    "((((" * 100,
    "synonyms of " + "a " * 200,
)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("text", HARD, ids=lambda text: text[:30])
def test_hard_questions_end(text: str, runner: asyncio.Runner) -> None:
    box = Sandbox(list(ENGINES.values()), children=1, limits=SandboxLimits(answer_cpu_s=2))
    runner.run(box.start())
    try:
        for name in ENGINES:
            if name not in box.left_out:
                assert isinstance(runner.run(box.answer(name, Question(text=text))), Answer | Declined)
    finally:
        runner.run(box.close())
