"""The two product commands and what is done to their artifact, on a tiny backbone, as processes."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.evolution import WORKERS, TrainerProcess, write_backbone, write_table

from kubefugu_routing.backbone import load_backbone
from kubefugu_routing.engine import Engine
from kubefugu_routing.formats import encode
from kubefugu_routing.policy import PolicyArtifact, load_artifact

pytestmark = pytest.mark.timeout(600)  # processes that import torch, on machines that do other things, too
QUICK = ("--folds", "3", "--taus", "0.2", "--penalties", "0.01", "--epochs", "5", "--threads", "1", "--progress", "none")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a backbone, a table of 120 questions, a KUBEFUGU_HOME, and a trained run."""
    folder = tmp_path_factory.mktemp("supervised")
    write_backbone(folder / "model")
    write_table(folder / "table.jsonl", rows=120)
    ok(folder, "train", "supervised", *inputs(folder), "--out", str(folder / "run"), *QUICK)
    return folder


def inputs(place: Path, table: str = "table.jsonl") -> tuple[str, ...]:
    return ("--data", str(place / table), "--backbone", str(place / "model"))


def trainer(place: Path, *arguments: str) -> tuple[int, str]:
    process = TrainerProcess(arguments, log=place / f"{uuid.uuid4().hex}.log", home=place / "home")
    return process.wait(timeout_s=240.0), process.log.read_text()


def ok(place: Path, *arguments: str) -> str:
    code, output = trainer(place, *arguments)
    assert code == 0, output
    return output


def logits(place: Path, artifact: PolicyArtifact, prompts: list[str]) -> dict[str, Any]:
    """Each worker's logits as the serving engine computes them."""
    backbone = load_backbone(str(place / "model"))
    ids = [
        encode(
            [("user", text)], artifact.input_format, backbone.tokenizer, num_agents=artifact.num_agents, max_tokens=512
        ).token_ids
        for text in prompts
    ]
    found = Engine(backbone).decide(ids, artifact)
    return {row.name: found[:, i].tobytes() for i, row in enumerate(artifact.workers)}


def test_training_leaves_an_artifact_with_its_provenance_and_pictures(place: Path) -> None:
    artifact = load_artifact(place / "run" / "artifact.safetensors")
    assert [row.name for row in artifact.workers] == list(WORKERS)
    assert artifact.training["algorithm"] == "supervised"
    assert artifact.metrics["cross_validated_reward"] >= artifact.metrics["cross_validated_best_single"]
    assert {path.name for path in (place / "run" / "plots").iterdir()} == {"learning_curves.png", "candidates.png"}
    assert "already finished" in ok(
        place, "train", "supervised", *inputs(place), "--out", str(place / "run"), *QUICK[:-1], "json"
    )


def test_training_again_gives_the_same_head(place: Path) -> None:
    ok(place, "train", "supervised", *inputs(place), "--out", str(place / "again"), *QUICK)
    heads = [load_artifact(place / name / "artifact.safetensors").head for name in ("run", "again")]
    np.testing.assert_array_equal(*heads)


def test_evaluation_writes_every_method(place: Path) -> None:
    told = ("--data", str(place / "table.jsonl"), "--artifact", str(place / "run"), "--robustness", "12", "--progress", "none")
    output = ok(
        place,
        "eval",
        *told,
        "--json",
        str(place / "f.json"),
        "--plot",
        str(place / "f.png"),
        "--backbone",
        str(place / "model"),
    )
    figures = json.loads((place / "f.json").read_text())
    methods = {"random", "best_single", "best_per_label", "knn", "ridge", "mlp", "router", "oracle", "oracle_crossfit"}
    assert set(figures) == methods
    for values in figures.values():
        assert 0 <= values["ci95"][0] <= values["accuracy"] <= values["ci95"][1] <= 1
        assert {"cost", "regret"} <= values.keys()
    assert figures["router"]["cost"] == pytest.approx(0.002, abs=0.001)
    assert 0 <= figures["router"]["p_vs_best_single"] <= 1
    assert 0 <= figures["router"]["p_vs_knn"] <= 1
    assert set(figures["router"]["robustness"]) == {"typos", "whitespace", "paraphrase"}
    assert (place / "f.png").read_bytes().startswith(b"\x89PNG")
    assert "router - best_single" in output


def test_a_table_without_groups_and_costs_with_messages_and_columns_in_any_order(place: Path) -> None:
    rows = [json.loads(line) for line in (place / "table.jsonl").read_text().splitlines()]
    with (place / "foreign.jsonl").open("w") as file:
        for row in rows[:100]:
            question = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": row["prompt"]}]
            scores = {f"score:{name}@x/{i}": row[f"score:{name}"] for i, name in enumerate(WORKERS)}
            file.write(
                json.dumps({**dict(reversed(scores.items())), "note": 1, "split": row["split"], "messages": question}) + "\n"
            )
    ok(place, "train", "supervised", *inputs(place, "foreign.jsonl"), "--out", str(place / "foreign"), *QUICK)
    ok(
        place, "eval", "--data", str(place / "foreign.jsonl"), "--artifact", str(place / "foreign"), "--robustness", "0",
        "--json", str(place / "foreign.json"), "--backbone", str(place / "model"), "--progress", "none",
    )  # fmt: skip
    figures = json.loads((place / "foreign.json").read_text())
    assert "best_per_label" not in figures
    assert all(values["cost"] is None for values in figures.values())
    assert figures["router"]["workers"] == ["gamma@x/2", "beta@x/1", "alpha@x/0"]


def test_a_worker_is_added_from_its_outcomes_and_the_others_stay_bit_equal(place: Path) -> None:
    ok(place, "train", "supervised", *inputs(place), "--out", str(place / "two"), "--workers", "alpha,beta", *QUICK)
    told = ("--artifact", str(place / "two"), "--data", str(place / "table.jsonl"), "--backbone", str(place / "model"))
    ok(place, "add-worker", *told, "--worker", "gamma", "--out", str(place / "three.safetensors"), "--progress", "none")
    before, after = load_artifact(place / "two" / "artifact.safetensors"), load_artifact(place / "three.safetensors")
    assert [row.name for row in after.workers] == ["alpha", "beta", "gamma"]
    np.testing.assert_array_equal(after.head[:2], before.head)
    assert after.num_agents == before.num_agents == 2
    added = after.training["added"]["gamma"]
    assert added["fitted_from"] == "outcomes"
    assert added["cross_validated_reward"] > added["reward_without_it"] + 0.1
    prompts = ["what is the capital of France 5?", "assistant user question Paris 8?", "short one"]
    old, new = logits(place, before, prompts), logits(place, after, prompts)
    assert {name: new[name] for name in old} == old
    code, output = trainer(place, "add-worker", *told, "--worker", "beta", "--out", str(place / "x"), "--progress", "none")
    assert code == 1
    assert "has a row for worker 'beta' already" in output


def test_rows_taken_out_and_re_ordered_leave_the_other_decisions_bit_equal(place: Path) -> None:
    ok(
        place, "select-workers", "--artifact", str(place / "run"), "--workers", "gamma,alpha",
        "--out", str(place / "less.safetensors"),
    )  # fmt: skip
    whole, less = load_artifact(place / "run" / "artifact.safetensors"), load_artifact(place / "less.safetensors")
    assert [row.name for row in less.workers] == ["gamma", "alpha"]
    prompts = [f"you route messages to system {i}" for i in range(5)]
    before, after = logits(place, whole, prompts), logits(place, less, prompts)
    assert after == {name: before[name] for name in ("gamma", "alpha")}
    code, output = trainer(
        place, "select-workers", "--artifact", str(place / "run"), "--workers", "delta", "--out", str(place / "x")
    )
    assert (code, "no row for worker 'delta'" in output) == (1, True)


def test_a_worker_is_added_from_its_description_and_never_leads(place: Path) -> None:
    workers = "".join(
        f"\n    - name: {name}\n      model: {name}\n      url: http://127.0.0.1:9/v1\n      description: {text}"
        for name, text in (("alpha", "capital of France"), ("beta", "route messages"), ("delta", "the capital of France"))
    )
    manifest = f"apiVersion: kubefugu.dev/v1alpha1\nkind: WorkerPool\nmetadata: {{name: p}}\nspec:\n  workers:{workers}\n"
    (place / "pool.yaml").write_text(manifest)
    told = ("--artifact", str(place / "run"), "--pool", str(place / "pool.yaml"), "--backbone", str(place / "model"))
    ok(place, "add-worker", *told, "--worker", "delta", "--out", str(place / "told.safetensors"), "--progress", "none")
    artifact = load_artifact(place / "told.safetensors")
    added = artifact.training["added"]["delta"]
    assert added["fitted_from"] == "description"
    assert added["weights"]["alpha"] > added["weights"]["beta"]
    features = np.random.default_rng(0).normal(size=(500, artifact.head.shape[1])).astype(np.float32)
    assert 3 not in (features @ artifact.head.T).argmax(axis=1)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"score:alpha": 1.5}, "line 50: column 'score:alpha': 1.5 is out of range; it must be in [0, 1]"),
        ({"score:beta": float("nan")}, "line 50: column 'score:beta': is NaN"),
        ({"score:beta": None}, "line 50: column 'score:beta': has no value"),
        ({"prompt": "first question", "split": "test"}, "are the same question in two splits"),
    ],
)
def test_wrong_tables_end_in_one_sentence(place: Path, change: dict[str, Any], says: str) -> None:
    rows = [json.loads(line) for line in (place / "table.jsonl").read_text().splitlines()]
    rows[48] |= {"prompt": "first question", "split": "train"}
    rows[49] |= change
    name = f"{uuid.uuid4().hex}.jsonl"
    (place / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    for arguments in (
        ("train", "supervised", *inputs(place, name), "--out", str(place / name / "out")),
        ("eval", "--data", str(place / name), "--artifact", str(place / "run"), "--backbone", str(place / "model")),
    ):
        code, output = trainer(place, *arguments)
        assert code == 1
        assert says in output
        assert len(output.splitlines()) == 1


def test_a_missing_worker_and_another_backbone_or_pool_are_refused_in_a_sentence(place: Path) -> None:
    code, output = trainer(
        place, "train", "supervised", *inputs(place), "--workers", "alpha,delta", "--out", str(place / "never")
    )
    assert (code, len(output.splitlines())) == (1, 1)
    assert "no column 'score:delta'; the table has scores of: alpha, beta, gamma" in output
    write_backbone(place / "other", kind="llama")
    base = ("eval", "--artifact", str(place / "run"))
    code, output = trainer(place, *base, "--data", str(place / "table.jsonl"), "--backbone", str(place / "other"))
    assert (code, len(output.splitlines())) == (1, 1)
    assert "The artifact was made for backbone" in output
    rows = [json.loads(line) for line in (place / "table.jsonl").read_text().splitlines()]
    for row in rows:
        row["score:zeta"], row["cost:zeta"] = row.pop("score:gamma"), row.pop("cost:gamma")
    (place / "pool.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    code, output = trainer(place, *base, "--data", str(place / "pool.jsonl"), "--backbone", str(place / "model"))
    assert (code, len(output.splitlines())) == (1, 1)
    assert "no column 'score:gamma', but the artifact has a row for that worker" in output
