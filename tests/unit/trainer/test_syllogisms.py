"""The decision procedure against z3, and the task set against the decision procedure."""

from __future__ import annotations

import re
from itertools import product

import numpy as np
import pytest

from kubefugu_trainer.tasks import reasoning
from kubefugu_trainer.tasks.fields.logic import syllogism
from kubefugu_trainer.tasks.question import Phrasing
from kubefugu_trainer.tasks.syllogisms import Statement, follows, parse, proven
from kubefugu_trainer.tasks.verifiers import YesNo

QUANTIFIERS = ("all", "no", "some", "some not")


def test_statements_are_read() -> None:
    assert parse("All cats are dogs") == ("all", "cats", "dogs")
    assert parse("Some cats are not dogs.") == ("some not", "cats", "dogs")
    for text in ("All cats are not dogs", "Cats are dogs", "Most cats are dogs"):
        with pytest.raises(ValueError, match="not a categorical statement"):
            parse(text)
    with pytest.raises(ValueError, match="more than three terms"):
        follows([("all", "a", "b"), ("all", "c", "d")], ("all", "a", "d"), members=False)


@pytest.mark.parametrize("members", [False, True])
def test_every_syllogism_agrees_with_z3(members: bool) -> None:
    figures = (("m", "p", "s", "m"), ("p", "m", "s", "m"), ("m", "p", "m", "s"), ("p", "m", "m", "s"))
    valid = 0
    for quantifiers, (a, b, c, d) in product(product(QUANTIFIERS, repeat=3), figures):
        premises = [(quantifiers[0], a, b), (quantifiers[1], c, d)]
        conclusion = (quantifiers[2], "s", "p")
        found = follows(premises, conclusion, members=members)
        assert found == _z3_follows(premises, conclusion, members=members)
        valid += found
    assert valid == (24 if members else 15)  # the traditional count, and the modern one


def _z3_follows(premises: list[Statement], conclusion: Statement, *, members: bool) -> bool:
    import z3

    thing = z3.DeclareSort("Thing")
    terms = {name: z3.Function(name, thing, z3.BoolSort()) for name in "smp"}
    x = z3.Const("x", thing)

    def say(statement: Statement) -> object:
        quantifier, subject, predicate = statement
        a, b = terms[subject](x), terms[predicate](x)
        return {
            "all": z3.ForAll(x, z3.Implies(a, b)), "no": z3.ForAll(x, z3.Not(z3.And(a, b))),
            "some": z3.Exists(x, z3.And(a, b)), "some not": z3.Exists(x, z3.And(a, z3.Not(b))),
        }[quantifier]  # fmt: skip

    solver = z3.Solver()
    solver.add(*(say(premise) for premise in premises), z3.Not(say(conclusion)))
    if members:
        solver.add(*(z3.Exists(x, term(x)) for term in terms.values()))
    return bool(solver.check() == z3.unsat)


def test_reasoning_gym_has_wrong_answers_and_none_gets_into_a_task_set() -> None:
    gym = pytest.importorskip("reasoning_gym")
    items = list(gym.create_dataset("syllogism", size=300, seed=1))
    wrong = [item for item in items if item["answer"] == "Yes" and not _follows(item, members=True)]
    assert wrong, "reasoning-gym has mended its syllogisms: the check can go"
    assert not any(proven(item) for item in wrong)
    rng = np.random.default_rng(4)
    answers = set()
    for _ in range(60):
        entry = reasoning.draw("syllogism", "logic", rng, Phrasing.SEEN).verifier.entry  # type: ignore[attr-defined]
        for members in (False, True):
            assert _follows(entry, members=members) == (entry["answer"] == "Yes")
        answers.add(entry["answer"])
    assert answers == {"Yes", "No"}


def _follows(item: dict[str, dict[str, str]], *, members: bool) -> bool:
    facts = item["metadata"]
    return follows([parse(facts["premise1"]), parse(facts["premise2"])], parse(facts["conclusion"]), members=members)


def test_the_own_syllogisms_are_proven_too() -> None:
    rng = np.random.default_rng(0)
    for _ in range(80):
        question = syllogism(rng, Phrasing.SEEN)
        statements = [parse(match[0]) for match in re.finditer(r"(?:All|No|Some|all|no|some) \w+ are \w+", question.prompt)]
        assert len(statements) == 3, question.prompt
        assert isinstance(question.verifier, YesNo)
        truths = {follows(statements[:2], statements[2], members=members) for members in (False, True)}
        assert truths == {question.verifier.yes}, question.prompt
