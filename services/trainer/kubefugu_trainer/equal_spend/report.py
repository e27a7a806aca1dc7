"""Figures of a comparison: accuracy with intervals, spend, and paired tests against `fugu-ultra`. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.stats import binomtest

from kubefugu_trainer.equal_spend.answers import Answer
from kubefugu_trainer.grpo.measure import paired
from kubefugu_trainer.grpo.reward import RIGHT


def figures(answers: Sequence[Answer]) -> dict[str, float]:
    """Share of right answers with its 95 % Clopper-Pearson interval, and means of what an answer takes."""
    right = sum(answer.score >= RIGHT for answer in answers)
    interval = binomtest(right, len(answers)).proportion_ci(0.95)
    return {
        "n": len(answers),
        "accuracy": right / len(answers),
        "low": float(interval.low),
        "high": float(interval.high),
        "tokens": float(np.mean([answer.tokens for answer in answers])),
        "calls": float(np.mean([answer.calls for answer in answers])),
        "cost_usd": float(np.mean([answer.cost_usd for answer in answers])),
        "latency_s": float(np.median([answer.latency_s for answer in answers])),
    }


def compare(methods: Mapping[str, Sequence[Answer]], *, against: str) -> dict[str, Any]:
    """Figures of all methods, and for each other than `against` the paired difference on the questions that both answered.

    `p` is the exact McNemar test (a two-sided sign test of the discordant pairs).
    """
    result: dict[str, Any] = {name: figures(answers) for name, answers in methods.items() if answers}
    base = {answer.question: answer for answer in methods[against]}
    for name, answers in methods.items():
        shared = [answer for answer in answers if answer.question in base]
        if name != against and shared:
            other = [float(answer.score >= RIGHT) for answer in shared]
            own = [float(base[answer.question].score >= RIGHT) for answer in shared]
            result[name]["against"] = paired(other, own)
    return result


def table(result: Mapping[str, Mapping[str, Any]], *, against: str) -> str:
    """The figures as a Markdown table, best first."""
    head = "| method | n | right, % (95 % interval) | tokens | calls | s | `fugu-ultra` is better by, points | p |"
    lines = [head, "|---|---|---|---|---|---|---|---|"]
    for name, row in sorted(result.items(), key=lambda item: -item[1]["accuracy"]):
        pair = row.get("against")
        gain = f"{100 * pair['difference']:+.1f} ({100 * pair['low']:+.1f} to {100 * pair['high']:+.1f})" if pair else ""
        p = f"{pair['p']:.2g}" if pair else ""
        share = f"{100 * row['accuracy']:.1f} ({100 * row['low']:.1f} to {100 * row['high']:.1f})"
        spent = f"{row['tokens']:.0f} | {row['calls']:.1f} | {row['latency_s']:.1f}"
        lines.append(f"| {name} | {row['n']} | {share} | {spent} | {gain} | {p} |")
    return "\n".join(lines)
