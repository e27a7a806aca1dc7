"""Parts of Conductor training that need no model: questions, verifier, warm-start plans, rewards, the draw of questions."""

from __future__ import annotations

import numpy as np
import pytest

from kubefugu_coordination.workflow.offer import OfferedWorker
from kubefugu_coordination.workflow.validate import read_plan
from kubefugu_core.errors import DataError
from kubefugu_trainer.equal_spend.vote import medoid
from kubefugu_trainer.grpo.config import ConductorConfig
from kubefugu_trainer.grpo.contested import ContestedOrder
from kubefugu_trainer.grpo.items import build_items
from kubefugu_trainer.grpo.measure import paired
from kubefugu_trainer.grpo.reward import most_contested, task_reward, training_reward, zero_variance
from kubefugu_trainer.grpo.rollouts import Rollout
from kubefugu_trainer.grpo.warm_plans import pieces, warm_text
from kubefugu_trainer.tasks.mixed import build_mixed
from kubefugu_trainer.tasks.pairs import build_pairs
from kubefugu_trainer.tasks.verifiers import Contains, Numeric
from kubefugu_trainer.tasks.verify_parts import Part, Parts

FIELDS = ("algebra", "units", "geography", "definitions", "logic", "dates")
WORKERS = tuple(OfferedWorker(name, f"Knows {name}.", narrow=True) for name in FIELDS)
CONFIG = ConductorConfig(backbone="none", gamma=0.3)
LIMA = Part(prompt="What is the capital of Peru?", verifier=Contains(accepted=("Lima",)))
MILES = Part(prompt="How many kilometers are 5 miles?", verifier=Numeric(value=8.04672))
BOTH = Parts(parts=(LIMA, MILES))
TASK = f"{LIMA.prompt} Also: {MILES.prompt}"


def test_the_splits_share_no_text_whatever_the_seed_and_come_out_the_same_again() -> None:
    train = {row.question.prompt for seed in (1, 2) for row in build_pairs(n=150, seed=seed, split="train")}
    test = build_pairs(n=150, seed=1, split="test")
    assert train.isdisjoint(row.question.prompt for row in test)
    assert {row.slice for row in test} == {"seen templates", "fresh templates"}
    assert [row.question.prompt for row in build_pairs(n=150, seed=1, split="test")] == [row.question.prompt for row in test]
    assert all(len(set(row.question.field.split("+"))) == 2 for row in test), "two different experts"
    with pytest.raises(DataError, match="split"):
        build_pairs(n=1, seed=1, split="valid")


def test_a_mixture_has_a_third_of_single_questions_and_its_splits_share_no_text() -> None:
    train = [row.question for seed in (1, 2) for row in build_mixed(n=90, seed=seed, split="train")]
    test = build_mixed(n=90, seed=1, split="test")
    assert {question.prompt for question in train}.isdisjoint(row.question.prompt for row in test)
    alone = [row for row in test if "+" not in row.question.field]
    assert len(alone) == 30
    assert {row.question.field for row in alone} == {*FIELDS, "general"}
    assert {row.slice for row in alone} >= {"seen templates", "fresh templates"}
    assert [row.question.prompt for row in build_mixed(n=90, seed=1, split="test")] == [row.question.prompt for row in test]


def test_a_question_of_no_workers_field_is_offered_the_general_ones() -> None:
    config = ConductorConfig(backbone="none", tasks="mixed", least_workers=2, most_workers=3)
    workers = (*WORKERS, OfferedWorker("chatty", "A language model."))
    general = [item for item in build_items(config, workers, split="train", n=90) if item.question.field == "general"]
    assert general
    assert all("chatty" in item.names for item in general)


@pytest.mark.parametrize(
    ("reply", "right"),
    [
        ("Lima\n\n8.04672 kilometers", True),
        ("The capital of Peru is Lima, and 5 miles are 8.05 kilometers.", True),
        ("5 miles = 8.047 km. The capital is Lima.", True),
        (f"{TASK} Lima.", False),
        ("Lima", False),
        ("8.04672", False),
        ("The capital is Cusco. 5 miles are 8.04672 kilometers.", False),
        ("Lima. 5 miles are 9 kilometers.", False),
        ("", False),
    ],
)
def test_every_part_must_be_answered(reply: str, right: bool) -> None:
    assert BOTH.score(TASK, reply) == float(right)


def test_a_reply_that_tries_all_values_is_not_right_by_their_number() -> None:
    tried = "\n".join(["Lima", *(f"{value / 100} kilometers" for value in range(600, 900))])
    assert BOTH.score(TASK, tried) == 0.0


def test_warm_start_plans_are_valid_without_a_note_and_random_in_substance() -> None:
    rng = np.random.default_rng(0)
    shapes, workers = set(), set()
    for item in build_items(CONFIG, WORKERS, split="warm", n=200):
        reading = read_plan(warm_text(item, rng), workers=item.names, max_steps=item.max_steps, narrow=item.narrow)
        assert reading.plan is not None, reading.diagnoses
        assert reading.diagnoses == ()
        shapes.add(tuple(step.access for step in reading.plan.steps))
        workers.update(step.worker for step in reading.plan.steps)
    assert {((),), ((), (0,)), ((), (), (0, 1))} <= shapes
    assert {*FIELDS, "@join", "@conductor"} <= workers


def test_prompts_name_no_gold() -> None:
    for item in build_items(CONFIG, WORKERS, split="train", n=40):
        fields = set(item.question.field.split("+"))
        told = item.messages()
        assert fields <= set(item.names), "the question can be answered"
        assert len(item.names) > len(fields)
        assert item.question.field not in str(told)
        assert len(told) == 2


def test_pieces_are_sentences_without_the_words_that_link_them() -> None:
    assert pieces("Two questions. What is A? And: Solve 3x + 1 = 7.") == ["What is A?", "Solve 3x + 1 = 7."]
    assert pieces("Hello") == ["Hello"]


def test_rewards() -> None:
    invalid, wrong = Rollout(valid=False), Rollout(valid=True, calls=3, cost_usd=0.1)
    right = Rollout(valid=True, score=1.0, calls=2, cost_usd=0.2)
    assert [task_reward(rollout) for rollout in (invalid, wrong, right)] == [0.0, 0.5, 1.0]
    assert training_reward(right, CONFIG.model_copy(update={"cost_weight": 1.0, "call_weight": 0.05})) == pytest.approx(0.7)
    assert training_reward(wrong, CONFIG.model_copy(update={"cost_weight": 100.0})) == 0.0
    assert zero_variance([0.5, 0.5, 1.0, 0.5], 2) == [True, False]
    assert most_contested([0.5, 0.5, 0.0, 1.0, 0.5, 1.0], 2, count=2) == [1, 2]


def test_the_first_steps_are_about_simple_questions() -> None:
    order = ContestedOrder(20, group=2, seed=3, contested=True, simple=[2, 5, 7], simple_steps=4)
    early = [order.take(step, 6) for step in range(4)]
    assert {number for numbers in early for number in numbers} == {2, 5, 7}
    assert all(len(numbers) == 6 for numbers in early)
    assert {number for step in range(4, 12) for number in order.take(step, 6)} > {2, 5, 7}


def test_settled_questions_come_back_less_often_and_the_draw_can_be_resumed() -> None:
    order = ContestedOrder(20, group=2, seed=3, contested=True)
    order.saw(list(range(10)), [1.0] * 20)
    drawn = [number for step in range(300) for number in order.take(step, 2)]
    assert sum(number >= 10 for number in drawn) > 2.5 * sum(number < 10 for number in drawn)
    assert order.report() == {"questions": 20, "seen": 10, "settled": 10, "contested": 0}
    other = ContestedOrder(20, group=2, seed=3, contested=True)
    other.restore(order.state())
    assert [other.take(step, 4) for step in range(5)] == [order.take(step, 4) for step in range(5)]


def test_the_paired_test_counts_the_discordant_pairs() -> None:
    gain = paired([0.5] * 20, [1.0] * 15 + [0.5] * 5)
    assert (gain["difference"], gain["better"], gain["worse"]) == (0.375, 15, 0)
    assert gain["p"] < 1e-4
    assert gain["low"] > 0.2
    assert paired([1.0, 0.5], [1.0, 0.5])["p"] == 1.0


def test_the_vote_takes_the_answer_that_agrees_most() -> None:
    assert medoid(["It is 7 km.", "The answer is 5 km", "I think it is 5 km"]) != 0
    assert medoid(["alone"]) == 0
    with pytest.raises(ValueError, match="samples"):
        medoid([])
