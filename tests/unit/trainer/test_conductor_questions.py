"""Questions of a Conductor run: nothing held out is trained on, and whoever has no file builds the same items."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import orjson
import pytest
from support.pools import pool_of, worker

from kubefugu_coordination.workflow.offer import OfferedWorker
from kubefugu_coordination.workflow.validate import read_plan
from kubefugu_core.errors import DataError
from kubefugu_trainer.driver.questions import Counts, counted, split_counts
from kubefugu_trainer.driver.size import artifact_bytes, check_size
from kubefugu_trainer.grpo.budget import Budget
from kubefugu_trainer.grpo.config import ConductorConfig
from kubefugu_trainer.grpo.items import Item, build_items
from kubefugu_trainer.grpo.metering import Meter, billed
from kubefugu_trainer.grpo.rollouts import Rollout
from kubefugu_trainer.grpo.single import best_single, single_text
from kubefugu_trainer.runs.progress import SilentReporter
from kubefugu_trainer.runs.replies import DiskReplyCache, writable

WORKERS = tuple(OfferedWorker(name) for name in ("alpha", "beta", "gamma", "delta"))


def questions(path: Path, count: int, **members: str) -> Path:
    rows = [{"prompt": f"What is {n} + 1?", "answer": str(n + 1), **members} for n in range(count)]
    path.write_text("".join(f"{json.dumps(row)}\n" for row in [*rows, rows[0]]))
    return path


def prompts(items: list[Item]) -> list[str]:
    return [item.question.prompt for item in items]


@pytest.mark.parametrize("seed", range(5))
def test_no_held_out_question_of_a_file_is_trained_on(tmp_path: Path, seed: int) -> None:
    config = ConductorConfig(
        backbone="none", tasks=str(questions(tmp_path / "q.jsonl", 30)), questions=18, held_out=12, warm_examples=50, seed=seed
    )
    test, train = (build_items(config, WORKERS, split=split, n=n) for split, n in (("test", 12), ("train", 18)))
    warm = build_items(config, WORKERS, split="warm", n=50)
    single = build_items(config, WORKERS, split="single", n=18)
    assert len({*prompts(test)}) == 12
    assert len({*prompts(train)}) == 18
    assert {*prompts(warm)} == {*prompts(train)} == {*prompts(single)}, "a small file's questions serve several times"
    assert len(warm) == 50
    assert not {*prompts(test)} & {*prompts(train)}
    assert prompts(single) == prompts(train)
    assert all(item.names == ["alpha", "beta", "gamma", "delta", "@join"] for item in single)


@pytest.mark.parametrize("tasks", ["pairs", "mixed", "algebra,units"])
def test_nor_is_one_of_generated_sets(tasks: str) -> None:
    config = ConductorConfig(backbone="none", tasks=tasks, questions=40, held_out=40)
    test, train, warm = (prompts(build_items(config, WORKERS, split=split, n=40)) for split in ("test", "train", "warm"))
    assert not {*test} & {*train, *warm}


def test_held_out_questions_offer_everybody_where_the_run_says_so(tmp_path: Path) -> None:
    config = ConductorConfig(
        backbone="none", tasks=str(questions(tmp_path / "q.jsonl", 30, field="alpha")), questions=10, held_out=10,
        least_workers=1, most_workers=2, offer_all=True,
    )  # fmt: skip
    assert {len(item.names) for item in build_items(config, WORKERS, split="test", n=10)} == {5}
    assert {len(item.names) for item in build_items(config, WORKERS, split="train", n=10)} == {2, 3}


def test_a_question_of_no_field_is_offered_changing_subsets_with_somebody_general(tmp_path: Path) -> None:
    config = ConductorConfig(
        backbone="none",
        tasks=str(questions(tmp_path / "q.jsonl", 60)),
        questions=50,
        held_out=10,
        least_workers=2,
        most_workers=2,
    )
    workers = (*WORKERS, OfferedWorker("expert", narrow=True))
    offers = [{*item.names} - {"@join"} for item in build_items(config, workers, split="train", n=50)]
    assert {len(offer) for offer in offers} == {2}
    assert len({frozenset(offer) for offer in offers}) > 4
    assert all(offer - {"expert"} for offer in offers)


def test_items_are_built_from_texts_where_there_is_no_file(tmp_path: Path) -> None:
    file = questions(tmp_path / "q.jsonl", 30)
    config = ConductorConfig(backbone="none", tasks=str(file), questions=10, held_out=10)
    here = [build_items(config, WORKERS, split=split, n=10) for split in ("train", "test", "warm", "single")]
    text = file.read_text()
    file.unlink()
    files = {str(file): text}
    there = [build_items(config, WORKERS, split=split, n=10, files=files) for split in ("train", "test", "warm", "single")]
    assert there == here
    with pytest.raises(DataError, match="Unknown task set"):
        build_items(config, WORKERS, split="train", n=10)


@pytest.mark.parametrize(
    ("there", "training", "held_out", "found"),
    [(100, 0, 0, Counts(80, 20)), (100, 50, 10, Counts(50, 10)), (6, 0, 0, Counts(4, 2)), (12, 0, 4, Counts(8, 4))],
)
def test_how_a_file_is_shared_out(there: int, training: int, held_out: int, found: Counts) -> None:
    assert split_counts(there, training=training, held_out=held_out) == found


@pytest.mark.parametrize(
    ("there", "training", "held_out", "at_least", "says"),
    [
        (5, 0, 0, 1, "data has 5 different questions; 4 for training and 2 held-out ones need 6"),
        (100, 90, 20, 1, "90 for training and 20 held-out ones need 110"),
        (100, 3, 0, 1, "questions is 3; at least 4 are needed"),
        (100, 10, 0, 16, "questions is 10; at least 16 are needed"),
        (20, 0, 0, 20, "20 for training and 4 held-out ones need 24"),
    ],
)
def test_too_few_questions_are_refused_with_how_many_are_needed(
    there: int, training: int, held_out: int, at_least: int, says: str
) -> None:
    with pytest.raises(DataError, match=says):
        split_counts(there, training=training, held_out=held_out, at_least=at_least)


def test_different_questions_are_counted_and_what_a_planner_is_not_asked_is_refused(tmp_path: Path) -> None:
    assert counted(questions(tmp_path / "q.jsonl", 7)) == 7
    with pytest.raises(DataError, match="question 1 has a system message"):
        counted(questions(tmp_path / "s.jsonl", 7, system="Be brief."))


class Numbers:
    """Stands in for a tensor of a size."""

    def __init__(self, count: int) -> None:
        self.count = count

    def numel(self) -> int:
        return self.count


def test_an_artifact_that_could_not_travel_is_refused_before_training() -> None:
    small, large = {"a": Numbers(400_000)}, {"a": Numbers(250_000), "b": Numbers(250_000)}
    assert artifact_bytes(small) < 900_000 < artifact_bytes(large)
    check_size(small, url="")
    check_size(large, url="s3://bucket/prefix")
    with pytest.raises(DataError, match=r"about 1\.0 MB.*smaller rank or fewer layers, or give storage\.url"):
        check_size(large, url="")


def test_a_budget_counts_all_attempts_and_ends_with_training(tmp_path: Path) -> None:
    now = [0.0]
    first = Budget(tmp_path / "spent.json", max_seconds=10, max_cost_usd=1, clock=lambda: now[0])
    now[0] = 6.0
    first.save()
    second = Budget(tmp_path / "spent.json", max_seconds=10, max_cost_usd=1, clock=lambda: now[0])
    assert second.over == ""
    now[0] = 10.0
    assert second.over == "time"
    second.end()
    assert Budget(tmp_path / "spent.json", max_seconds=10, clock=lambda: now[0]).over == "time"


def test_equal_plans_are_paid_once_and_measuring_has_no_limit(tmp_path: Path) -> None:
    budget = Budget(tmp_path / "spent.json", max_cost_usd=1)
    config = ConductorConfig(backbone="none", tasks=str(questions(tmp_path / "q.jsonl", 8)), questions=4, held_out=2)
    one = build_items(config, WORKERS, split="train", n=4)[0]
    paid = Rollout(valid=True, spent_usd=0.4)
    budget.paid([one, one], ["same", "same"], [paid, paid])
    assert (budget.cost_usd, budget.over) == (0.4, "")
    budget.paid([one, one], ["other", "third"], [paid, paid])
    assert budget.over == "money"
    unlimited = Budget(tmp_path / "other.json", max_cost_usd=1)
    unlimited.end()
    unlimited.paid([one] * 3, ["a", "b", "c"], [paid] * 3)
    assert unlimited.over == ""


async def test_a_bill_has_the_prices_of_who_was_called() -> None:
    entries = [
        worker("a", "http://h/v1", prices={"inputPerMillionTokens": "2", "outputPerMillionTokens": "8"}),
        worker("b", "http://h/v1"),
    ]
    meter = Meter(pool_of(*entries), None)
    reply = orjson.dumps({"usage": {"prompt_tokens": 1_000_000, "completion_tokens": 500_000}})
    with billed() as bill:
        for name in ("a", "b"):
            meter.call_ended(name, "ok", 0.1)
            await meter.put("key", reply)
    assert bill.spent_usd == 6.0
    with billed() as uncounted:
        meter.call_ended("a", "ok", 0.1)
        await meter.put("key", orjson.dumps({"choices": ["y" * 400]}))
    assert 0.0008 < uncounted.spent_usd < 0.0009, "a server that does not count is charged for its reply"


def test_the_best_single_worker_is_chosen_on_training_questions(tmp_path: Path) -> None:
    config = ConductorConfig(
        backbone="none", tasks=str(questions(tmp_path / "q.jsonl", 12)), questions=8, held_out=4, offer_all=True
    )
    training, held_out = (build_items(config, WORKERS, split=split, n=n) for split, n in (("single", 8), ("test", 4)))

    def run_plans(items: list[Item], texts: list[str]) -> list[Rollout]:
        """beta is best in training, gamma on what is held out."""
        rollouts = []
        for item, text in zip(items, texts, strict=True):
            plan = read_plan(text, workers=item.names, max_steps=item.max_steps).plan
            assert plan is not None
            (step,) = plan.steps
            assert step.subtask == item.question.prompt
            best = "gamma" if item.split == "test" else "beta"
            rollouts.append(Rollout(valid=True, score=1.0 if step.worker == best else 0.25))
        return rollouts

    told = best_single(training, held_out, run_plans=run_plans, reporter=SilentReporter())
    assert (told["best"], told["scores"]) == ("beta", [0.25] * 4)
    assert told["training"] == {"alpha": 0.25, "beta": 1.0, "gamma": 0.25, "delta": 0.25}
    subset = build_items(config.model_copy(update={"most_workers": 1, "least_workers": 1}), WORKERS, split="train", n=8)
    with pytest.raises(DataError, match="offer all"):
        best_single(training, subset, run_plans=run_plans, reporter=SilentReporter())


@pytest.mark.parametrize("prompt", ['Say "x" -> y', "Two\nlines", "[1, 2]", "```code```", "caf\u00e9 \\n"])
def test_any_question_can_be_given_to_one_worker(tmp_path: Path, prompt: str) -> None:
    file = tmp_path / "q.jsonl"
    file.write_text("".join(f"{json.dumps({'prompt': text, 'answer': '1'})}\n" for text in [prompt, *"abcdef"]))
    config = ConductorConfig(backbone="none", tasks=str(file), questions=5, held_out=2, offer_all=True)
    everything = [item for split, n in (("train", 5), ("test", 2)) for item in build_items(config, WORKERS, split=split, n=n)]
    (item,) = [item for item in everything if item.question.prompt == prompt]
    plan = read_plan(single_text(item, item.names[0]), workers=item.names, max_steps=5).plan
    assert plan is not None
    assert [(step.worker, step.subtask) for step in plan.steps] == [(item.names[0], prompt)]


def test_whoever_cannot_write_to_the_runs_directory_keeps_replies_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    assert writable(tmp_path / "run" / "replies.sqlite") == tmp_path / "run" / "replies.sqlite"
    (tmp_path / "file").touch()
    found = [writable(tmp_path / "file" / name / "replies.sqlite") for name in ("one", "two")]
    assert all(path.is_relative_to(tmp_path / "tmp") and path.name == "replies.sqlite" for path in found)
    assert found[0] != found[1]
    cache = DiskReplyCache(found[0])
    cache.close()
