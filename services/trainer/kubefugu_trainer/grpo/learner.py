"""GRPO (DeepSeekMath, arXiv 2402.03300) by TRL's trainer, with our rollouts.

TRL owns advantages, clipped ratio and optimiser. Ours: sampling (the `generate` that serves), the plan's execution, the reward,
and two corrections: samples depend on seed and step alone, and the sampler honours the epoch, so that a resumed run draws what
an uninterrupted one would have drawn.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")

import torch
from datasets import Dataset
from trl.trainer.grpo_config import GRPOConfig
from trl.trainer.grpo_trainer import GRPOTrainer
from trl.trainer.utils import RepeatSampler

from kubefugu_routing.causal.generate import Generated, Sampling, generate
from kubefugu_routing.causal.load import CausalModel
from kubefugu_trainer.grpo.checkpoints import Progress, SafeCheckpoints, latest
from kubefugu_trainer.grpo.config import ConductorConfig
from kubefugu_trainer.grpo.contested import ContestedOrder
from kubefugu_trainer.grpo.items import Item
from kubefugu_trainer.grpo.logprobs import plan_logprobs
from kubefugu_trainer.grpo.reward import most_contested, task_reward, training_reward, zero_variance
from kubefugu_trainer.grpo.rollouts import Rollout
from kubefugu_trainer.grpo.warm import quiet, third_parties_quiet
from kubefugu_trainer.grpo.warm_plans import pieces
from kubefugu_trainer.runs.progress import Reporter

RunPlans = Callable[[Sequence[Item], Sequence[str]], list[Rollout]]
"""Executes plans (`PlanRunner.run_all`, or Celery evaluators), in order."""


class EpochRepeatSampler(RepeatSampler):
    """TRL's RepeatSampler with an order that depends on seed and epoch alone (TRL's own depends on how often it was asked)."""

    def __init__(self, data_source: Any, *, seed: int, **options: Any) -> None:
        super().__init__(data_source, seed=seed, **options)
        self._base_seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """The epoch that the next iteration belongs to."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        """Indices of the epoch."""
        if self.shuffle:
            self.generator.manual_seed(self._base_seed * 100_003 + self.epoch)
        yield from super().__iter__()  # type: ignore[no-untyped-call]  # TRL has no types here


class _Trainer(GRPOTrainer):
    def _get_per_token_logps_and_entropies(
        self,
        model: Any,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        logits_to_keep: int,
        batch_size: int | None = None,
        **_: Any,
    ) -> tuple[torch.Tensor, torch.Tensor, None]:
        """TRL's, with each prompt computed once for its group: prompts are longer than plans, and equal within a group."""
        size = batch_size or len(input_ids)
        parts = [
            plan_logprobs(
                model,
                input_ids[start : start + size],
                attention_mask[start : start + size],
                completion=logits_to_keep,
                temperature=self.temperature,
            )
            for start in range(0, len(input_ids), size)
        ]
        return torch.cat([logprobs for logprobs, _ in parts]), torch.cat([entropies for _, entropies in parts]), None

    def _get_train_sampler(self, dataset: Any = None) -> EpochRepeatSampler:
        args: Any = self.args
        return EpochRepeatSampler(
            dataset if dataset is not None else self.train_dataset,
            mini_repeat_count=self.num_generations,
            batch_size=args.generation_batch_size // self.num_generations,
            repeat_count=self.num_iterations * args.steps_per_generation,
            shuffle=self.shuffle_dataset,
            seed=args.seed,
        )


class Rollouts:
    """Samples, executes and rewards one step's plans; TRL's `rollout_func`."""

    def __init__(
        self,
        base: CausalModel,
        items: Sequence[Item],
        *,
        config: ConductorConfig,
        run_plans: RunPlans,
        order: ContestedOrder,
        record: Callable[[dict[str, Any]], None],
    ) -> None:
        self._base = base
        self._items = items
        self._config = config
        self._run_plans = run_plans
        self._order = order
        self._record = record

    @property
    def questions(self) -> int:
        """How many there are."""
        return len(self._items)

    def __call__(self, prompts: list[str], trainer: Any) -> dict[str, list[Any]]:
        """Prompts are question numbers as text, each repeated for its group; contested questions take their places."""
        config, step = self._config, int(trainer.state.global_step)
        slots = [int(prompt) for prompt in prompts[:: config.group]]
        if [str(slot) for slot in slots for _ in range(config.group)] != prompts:
            raise ValueError("rollouts come in whole groups, one prompt after the other")
        numbers = self._order.take(step, len(slots) * config.oversample) if config.contested else slots
        items = [self._items[number] for number in numbers]
        encoded = [self._base.encode_chat(item.messages()) for item in items]
        sampling = Sampling(max_tokens=config.max_tokens, temperature=config.temperature, seed=config.seed * 1_000_003 + step)
        model = trainer.accelerator.unwrap_model(trainer.model)
        was_training = model.training
        model.eval()
        groups = generate(model, encoded, end_tokens=self._base.end_tokens, sampling=sampling, samples=config.group)
        model.train(was_training)
        samples = [sample for group in groups for sample in group]
        texts = [self._base.decode(sample.tokens) for sample in samples]
        owners = [item for item in items for _ in range(config.group)]
        rollouts = self._run_plans(owners, texts)
        return self._output(step, items, encoded, samples, texts, rollouts)

    def _output(
        self,
        step: int,
        items: Sequence[Item],
        encoded: Sequence[list[int]],
        samples: Sequence[Generated],
        texts: Sequence[str],
        rollouts: Sequence[Rollout],
    ) -> dict[str, list[Any]]:
        config = self._config
        rewards = [training_reward(rollout, config) for rollout in rollouts]
        plain = [task_reward(rollout) for rollout in rollouts]
        flat = zero_variance(rewards, config.group)
        self._order.saw([item.number for item in items], plain)
        kept = most_contested(rewards, config.group, count=config.questions_per_step)
        best = max(range(len(texts)), key=lambda index: rewards[index])
        self._record(
            {
                "stage": "rollouts",
                "step": step,
                "items": [item.number for item in items],
                "reward": sum(plain) / len(plain),
                "training_reward": sum(rewards) / len(rewards),
                "valid": sum(rollout.valid for rollout in rollouts) / len(rollouts),
                "right": sum(value == 1.0 for value in plain) / len(plain),
                "lossy": sum(rollout.lossy for rollout in rollouts) / len(rollouts),
                "calls": sum(rollout.calls for rollout in rollouts) / len(rollouts),
                "steps": sum(rollout.steps for rollout in rollouts) / len(rollouts),
                "finished": sum(sample.finished for sample in samples) / len(samples),
                "zero_variance": sum(flat) / len(flat),
                "zero_variance_learned": sum(flat[number] for number in kept) / len(kept),
                "example": {"task": items[best // config.group].question.prompt, "plan": texts[best], "reward": rewards[best]},
            }
        )
        chosen = [number * config.group + place for number in kept for place in range(config.group)]
        return {
            "prompt_ids": [encoded[number] for number in kept for _ in range(config.group)],
            "completion_ids": [samples[index].tokens for index in chosen],
            "logprobs": [samples[index].logprobs for index in chosen],
            "plan_reward": [rewards[index] for index in chosen],
        }


def _reward(prompts: Any, completions: Any, plan_reward: list[float], **_: Any) -> list[float | None]:
    return list(plan_reward)


def train_grpo(
    base: CausalModel,
    model: Any,
    items: Sequence[Item],
    *,
    config: ConductorConfig,
    folder: Path,
    run_plans: RunPlans,
    stop: threading.Event,
    reporter: Reporter,
    record: Callable[[dict[str, Any]], None],
    use_cpu: bool,
    over: Callable[[], bool] = lambda: False,
    saved: Callable[[Path], None] = lambda _: None,
) -> bool:
    """Train in place; True where it came to its end, False where it was stopped (the next call goes on exactly there).

    The first step after which it is `over` is the last one. `saved` hears of each complete checkpoint.
    """
    order = ContestedOrder(
        len(items),
        group=config.group,
        seed=config.seed,
        contested=config.contested,
        simple=[number for number, item in enumerate(items) if len(pieces(item.question.prompt)) == 1],
        simple_steps=config.simple_steps,
    )
    callbacks = [
        order.saver(folder),
        SafeCheckpoints(folder, stop, save_every=config.save_every, over=over, saved=saved),
        Progress("grpo", reporter, record),
    ]
    rollouts = Rollouts(base, items, config=config, run_plans=run_plans, order=order, record=record)
    with third_parties_quiet():
        _train(base, model, config, folder, rollouts, order, callbacks, use_cpu=use_cpu)
    return not stop.is_set()


def _train(
    base: CausalModel,
    model: Any,
    config: ConductorConfig,
    folder: Path,
    rollouts: Rollouts,
    order: ContestedOrder,
    callbacks: list[Any],
    *,
    use_cpu: bool,
) -> None:
    args = _arguments(config, folder, use_cpu=use_cpu)
    before = latest(folder)
    if before is not None:
        order.restore(json.loads((before / "order.json").read_text(encoding="utf-8")))
    trainer = _Trainer(
        model=model,
        args=args,
        train_dataset=Dataset.from_list([{"prompt": str(slot)} for slot in range(rollouts.questions)]),
        processing_class=base.tokenizer,
        reward_funcs=[_reward],
        rollout_func=rollouts,
        callbacks=callbacks,
    )
    quiet(trainer)
    trainer.train(resume_from_checkpoint=str(before) if before else None)
    torch.set_grad_enabled(True)


def _arguments(config: ConductorConfig, folder: Path, *, use_cpu: bool) -> GRPOConfig:
    batch = config.questions_per_step * config.group
    return GRPOConfig(
        output_dir=str(folder),
        per_device_train_batch_size=min(config.micro_batch, batch),
        gradient_accumulation_steps=max(1, batch // config.micro_batch),
        steps_per_generation=max(1, batch // config.micro_batch),
        num_generations=config.group,
        num_iterations=config.iterations,
        max_completion_length=config.max_tokens,
        max_steps=config.steps * config.iterations,
        learning_rate=config.lr,
        lr_scheduler_type="cosine",
        warmup_steps=2,
        beta=0.0,
        temperature=config.temperature,
        shuffle_dataset=not config.contested,
        logging_steps=1,
        logging_strategy="steps",
        save_strategy="no",
        report_to=[],
        seed=config.seed,
        use_cpu=use_cpu,
        bf16=False,
        gradient_checkpointing=False,
        disable_tqdm=True,
        dataloader_pin_memory=False,
        max_grad_norm=1.0,
    )
