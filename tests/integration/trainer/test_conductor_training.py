"""A whole Conductor run with a tiny real decoder: warm start, GRPO by TRL, report; stopped anywhere, it resumes exactly."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from support.tiny_conductor import PLAN, item, teach, tiny_config
from transformers import DynamicCache
from transformers.modeling_outputs import CausalLMOutputWithPast

from kubefugu_coordination.workflow.validate import read_plan
from kubefugu_routing.causal.artifact import load_conductor
from kubefugu_routing.causal.generate import Sampling, generate
from kubefugu_trainer.grpo.checkpoints import MARKER, latest
from kubefugu_trainer.grpo.items import Item
from kubefugu_trainer.grpo.learner import EpochRepeatSampler, train_grpo
from kubefugu_trainer.grpo.logprobs import plan_logprobs
from kubefugu_trainer.grpo.model import load_tensors, load_trainable, trained_tensors
from kubefugu_trainer.grpo.rollouts import Rollout
from kubefugu_trainer.runs.progress import SilentReporter

STEPS = 5
RUN: dict[str, Any] = {
    "steps": STEPS, "questions_per_step": 1, "group": 4, "micro_batch": 2, "oversample": 1, "max_tokens": 24, "lr": 1e-3,
    "save_every": 1, "contested": False,
}  # fmt: skip


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return teach(tmp_path_factory.mktemp("tiny"), warm_epochs=2)


def scored(items: Sequence[Item], texts: Sequence[str]) -> list[Rollout]:
    """A reward with variance that depends on the text alone: no pool is needed to test the learner."""
    return [Rollout(valid=True, score=float(text.count(" ") % 2), calls=1) for text in texts]


def run(
    taught: tuple[Path, Path], folder: Path, *, stop_after: int | None = None, contested: bool = False
) -> tuple[dict[str, torch.Tensor], list[dict[str, Any]]]:
    """Train to the end, or until a signal after a step; returns weights and records."""
    backbone, artifact = taught
    config = tiny_config(backbone, **(RUN | {"contested": contested, "oversample": 2 if contested else 1}))
    base, model = load_trainable(config, device="cpu", threads=1)
    load_tensors(model, artifact, config)
    stop, records = threading.Event(), []

    def record(line: dict[str, Any]) -> None:
        records.append(line)
        if stop_after is not None and line["stage"] == "rollouts" and line["step"] == stop_after - 1:
            stop.set()

    # Two questions, one a step: step 2 begins the second epoch.
    items = [item("Find A and B.", number=0), item("Find B and A.", number=1)]
    ended = train_grpo(
        base,
        model,
        items,
        config=config,
        folder=folder,
        run_plans=scored,
        stop=stop,
        reporter=SilentReporter(),
        record=record,
        use_cpu=True,
    )
    assert ended is (stop_after is None)
    return {name: tensor.clone() for name, tensor in trained_tensors(model, config).items()}, records


@pytest.mark.parametrize("contested", [False, True])
def test_a_run_stopped_in_its_second_epoch_goes_on_exactly(taught: tuple[Path, Path], tmp_path: Path, contested: bool) -> None:
    whole, told = run(taught, tmp_path / "whole", contested=contested)
    run(taught, tmp_path / "cut", stop_after=3, contested=contested)
    assert latest(tmp_path / "cut") == tmp_path / "cut" / "checkpoint-3"
    resumed, after = run(taught, tmp_path / "cut", contested=contested)
    assert [line["step"] for line in after if line["stage"] == "rollouts"] == [3, 4]
    drawn = {line["step"]: line["items"] for line in told if line["stage"] == "rollouts"}
    assert all(line["items"] == drawn[line["step"]] for line in after if line["stage"] == "rollouts")
    assert all(torch.equal(tensor, resumed[name]) for name, tensor in whole.items())
    start = load_conductor(taught[1]).tensors
    assert any(not torch.equal(tensor, start[name].float()) for name, tensor in whole.items()), "something was learned"


def test_a_checkpoint_without_its_marker_does_not_count(tmp_path: Path) -> None:
    for step in (2, 4):
        (tmp_path / f"checkpoint-{step}").mkdir()
    (tmp_path / "checkpoint-2" / MARKER).write_text("{}")
    assert latest(tmp_path) == tmp_path / "checkpoint-2"
    assert not (tmp_path / "checkpoint-4").exists()


def test_the_samplers_order_depends_on_seed_and_epoch_alone() -> None:
    def order(epoch: int, before: Callable[[EpochRepeatSampler], object] = id) -> list[int]:
        sampler = EpochRepeatSampler(list(range(8)), mini_repeat_count=2, batch_size=2, repeat_count=1, seed=5)
        before(sampler)
        sampler.set_epoch(epoch)
        return list(sampler)

    assert order(0) != order(1)
    assert order(1) == order(1, before=list), "an order that was drawn before changes nothing"
    assert sorted(order(0)) == sorted([*range(8)] * 2)


def test_a_trained_decoder_writes_the_plan_it_was_taught(tmp_path: Path) -> None:
    """The warm start works: the same tiny decoder that writes noise before writes a valid plan after it."""
    backbone, artifact = teach(tmp_path)
    config = tiny_config(backbone)
    base, model = load_trainable(config, device="cpu", threads=1)
    prompt = base.encode_chat(item().messages())

    def text() -> str:
        model.eval()
        sampling = Sampling(max_tokens=config.max_tokens)
        return base.decode(generate(model, [prompt], end_tokens=base.end_tokens, sampling=sampling)[0][0].tokens)

    assert read_plan(text(), workers=item().names).plan is None
    load_tensors(model, artifact, config)
    assert text() == PLAN


def test_samples_of_a_group_share_their_prefill_and_equal_those_drawn_alone(taught: tuple[Path, Path]) -> None:
    base, model = load_trainable(tiny_config(taught[0]), device="cpu", threads=1)
    model.eval()
    prompts = [base.encode_chat(item(task).messages()) for task in ("Short.", "A somewhat longer task than the other.")]
    together = generate(model, prompts, end_tokens=(), sampling=Sampling(max_tokens=8))
    alone = [generate(model, [prompt], end_tokens=(), sampling=Sampling(max_tokens=8))[0] for prompt in prompts]
    assert [group[0].tokens for group in together] == [group[0].tokens for group in alone]
    drawn = generate(model, prompts, end_tokens=(), sampling=Sampling(max_tokens=8, temperature=1.0, seed=2), samples=3)
    assert [len(group) for group in drawn] == [3, 3]
    assert len({tuple(sample.tokens) for sample in drawn[0]}) > 1
    whole = torch.tensor([[*prompts[0], *drawn[0][1].tokens]])
    with torch.no_grad():
        logits = model(input_ids=whole).logits[0, len(prompts[0]) - 1 : -1].float()
    expected = torch.log_softmax(logits, dim=-1).gather(-1, torch.tensor(drawn[0][1].tokens).unsqueeze(-1)).squeeze(-1)
    assert torch.allclose(expected, torch.tensor(drawn[0][1].logprobs), atol=1e-4)


def test_a_groups_shared_prompt_changes_neither_log_probabilities_nor_gradients(taught: tuple[Path, Path]) -> None:
    base, model = load_trainable(tiny_config(taught[0]), device="cpu", threads=1)
    prompts = [base.encode_chat(item(task).messages()) for task in ("Short.", "A somewhat longer task than the other.")]
    rows = [(prompts[0], [5, 6, 7]), (prompts[1], [8, 9, 10, 11]), (prompts[0], [12]), (prompts[1], [13, 14])]
    width, length = max(map(len, prompts)), 4
    ids = torch.tensor([[0] * (width - len(a)) + a + b + [0] * (length - len(b)) for a, b in rows])
    mask = torch.tensor([[0] * (width - len(a)) + [1] * (len(a) + len(b)) + [0] * (length - len(b)) for a, b in rows])
    weights = torch.arange(1.0, 17.0).reshape(4, 4)

    def gradient(loss: torch.Tensor) -> torch.Tensor:
        model.zero_grad()
        loss.backward()
        return torch.cat([parameter.grad.flatten() for parameter in model.parameters() if parameter.grad is not None])

    found, entropies = plan_logprobs(model, ids, mask, completion=length, temperature=0.7)
    shared = gradient((found * weights).sum())
    loss = torch.zeros(())
    for row, (prompt, plan) in enumerate(rows):
        logits = model(input_ids=torch.tensor([prompt + plan])).logits[0, len(prompt) - 1 : -1].float() / 0.7
        scaled = torch.log_softmax(logits, dim=-1)
        expected = scaled.gather(-1, torch.tensor(plan).unsqueeze(-1)).squeeze(-1)
        assert torch.allclose(found[row, : len(plan)], expected, atol=1e-4)
        assert torch.allclose(entropies[row, : len(plan)], -(scaled.exp() * scaled).sum(-1), atol=1e-4)
        assert not found[row, len(plan) :].any()
        loss = loss + (expected * weights[row, : len(plan)]).sum()
    alone = gradient(loss)
    assert torch.allclose(shared, alone, atol=1e-3 * float(alone.abs().max()))


def test_samples_follow_the_models_distribution() -> None:
    class Fixed(torch.nn.Module):
        """Always the same distribution."""

        def __init__(self) -> None:
            super().__init__()
            self.logits = torch.nn.Parameter(torch.log(torch.tensor([0.5, 0.0, 0.3, 0.2]) + 1e-30))

        def forward(self, input_ids: torch.Tensor, **_: Any) -> Any:
            cache = DynamicCache()
            return CausalLMOutputWithPast(logits=self.logits.expand(*input_ids.shape, 4), past_key_values=cache)

    drawn = generate(Fixed(), [[0]] * 4000, end_tokens=(), sampling=Sampling(max_tokens=1, temperature=1.0, seed=3))
    shares = torch.bincount(torch.tensor([group[0].tokens[0] for group in drawn]), minlength=4) / 4000
    assert shares[1] == 0
    assert torch.allclose(shares, torch.tensor([0.5, 0.0, 0.3, 0.2]), atol=0.03)
    assert all(
        abs(group[0].logprobs[0] - float(torch.log(torch.tensor([0.5, 1, 0.3, 0.2]))[group[0].tokens[0]])) < 1e-5
        for group in drawn
    )


def test_grpo_ends_after_the_step_in_which_its_time_is_up(taught: tuple[Path, Path], tmp_path: Path) -> None:
    config = tiny_config(taught[0], **RUN)
    base, model = load_trainable(config, device="cpu", threads=1)
    lines: list[dict[str, Any]] = []
    ended = train_grpo(
        base, model, [item()], config=config, folder=tmp_path, run_plans=scored, stop=threading.Event(),
        reporter=SilentReporter(), record=lines.append, use_cpu=True, over=lambda: True,
    )  # fmt: skip
    assert ended
    assert [line["step"] for line in lines if line["stage"] == "rollouts"] == [0]
