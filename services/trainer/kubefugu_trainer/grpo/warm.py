"""The format warm start: supervised fine-tuning on valid plans, loss on the plan's tokens alone."""

from __future__ import annotations

import contextlib
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import DataCollatorForSeq2Seq, Trainer, TrainingArguments

from kubefugu_routing.causal.load import CausalModel
from kubefugu_trainer.grpo.checkpoints import WARM, Progress, SafeCheckpoints, latest
from kubefugu_trainer.grpo.config import ConductorConfig
from kubefugu_trainer.grpo.items import Item
from kubefugu_trainer.runs.progress import Reporter

_IGNORED = -100


def example(base: CausalModel, item: Item, text: str) -> dict[str, list[int]]:
    """Prompt and plan as one sequence that ends with the end of the turn; labels cover the plan and that end."""
    prompt = base.encode_chat(item.messages())
    plan = [int(token) for token in base.tokenizer(text, add_special_tokens=False)["input_ids"]] + [base.end_tokens[0]]
    return {
        "input_ids": prompt + plan,
        "attention_mask": [1] * (len(prompt) + len(plan)),
        "labels": [_IGNORED] * len(prompt) + plan,
    }


def warm_start(
    base: CausalModel,
    model: Any,
    items: Sequence[Item],
    texts: Sequence[str],
    *,
    config: ConductorConfig,
    folder: Path,
    stop: threading.Event,
    reporter: Reporter,
    record: Callable[[dict[str, Any]], None],
    use_cpu: bool,
    stage: str = WARM,
    over: Callable[[], bool] = lambda: False,
    saved: Callable[[Path], None] = lambda _: None,
) -> bool:
    """Train in place; True where it came to its end, False where it was stopped (the next call goes on).

    `over` and `saved`: see SafeCheckpoints.
    """
    rows = [example(base, item, text) for item, text in zip(items, texts, strict=True)]
    args = TrainingArguments(
        output_dir=str(folder),
        per_device_train_batch_size=config.warm_batch,
        num_train_epochs=config.warm_epochs,
        learning_rate=config.warm_lr,
        lr_scheduler_type="cosine",
        warmup_steps=4,
        logging_steps=1,
        logging_strategy="steps",
        save_strategy="no",
        report_to=[],
        seed=config.seed,
        data_seed=config.seed,
        use_cpu=use_cpu,
        bf16=False,
        disable_tqdm=True,
        remove_unused_columns=False,
        dataloader_pin_memory=False,
        max_grad_norm=1.0,
    )
    trainer = _PlanLoss(
        model=model,
        args=args,
        train_dataset=rows,
        data_collator=DataCollatorForSeq2Seq(base.tokenizer, padding=True, label_pad_token_id=_IGNORED),
        processing_class=base.tokenizer,
        callbacks=[
            SafeCheckpoints(folder, stop, save_every=config.save_every * 2, over=over, saved=saved),
            Progress(stage, reporter, record),
        ],
    )
    quiet(trainer)
    before = latest(folder)
    with third_parties_quiet():
        trainer.train(resume_from_checkpoint=str(before) if before else None)
    return not stop.is_set()


class _PlanLoss(Trainer):
    """Cross-entropy of the plan's tokens; logits of the prompt, most of a small model's work, are not computed."""

    def compute_loss(self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None) -> Any:
        """Mean over the batch's plan tokens."""
        labels = inputs.pop("labels")[:, 1:]
        kept = int((labels != _IGNORED).any(dim=0).nonzero()[0])
        output = model(**inputs, logits_to_keep=labels.shape[1] - kept + 1)
        logits = output.logits[:, :-1].float()
        loss = torch.nn.functional.cross_entropy(
            logits.reshape(-1, logits.shape[-1]), labels[:, kept:].reshape(-1), ignore_index=_IGNORED
        )
        return (loss, output) if return_outputs else loss


@contextlib.contextmanager
def third_parties_quiet() -> Iterator[None]:
    """Without what transformers, TRL and PEFT say about each other's names."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=FutureWarning, module=r"(transformers|trl|peft|accelerate)\b.*")
        yield


def quiet(trainer: Any) -> None:
    """Without the Trainer's own printing: our reporter tells the same."""
    from transformers.trainer_callback import PrinterCallback

    trainer.remove_callback(PrinterCallback)
