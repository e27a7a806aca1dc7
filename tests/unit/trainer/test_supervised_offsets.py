"""Offsets that move by gradient with the head: exactness, what they can reach, when they are not kept, what is served."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from support.backbones import make_tiny

from kubefugu_core.errors import DataError
from kubefugu_routing.backbone import load_backbone
from kubefugu_routing.engine import Engine
from kubefugu_routing.formats import RouterFormat, encode
from kubefugu_routing.policy import load_artifact
from kubefugu_routing.policy.artifact import FactorRef
from kubefugu_routing.svf import LAYER_BLOCKS, SvfOffsets, TieMode, layout_of
from kubefugu_routing.svf.bundles import find_bundle
from kubefugu_routing.svf.factors import make_bundle, save_bundle
from kubefugu_trainer.commands.supervised import supervised
from kubefugu_trainer.driver.config import DriverConfig
from kubefugu_trainer.driver.inputs import factors_of
from kubefugu_trainer.driver.state import RunProgress, ServedReporter
from kubefugu_trainer.driver.storage import RunStore
from kubefugu_trainer.driver.supervised import measure
from kubefugu_trainer.driver.supervised import train as train_in_cluster
from kubefugu_trainer.features.extract import FeatureSource
from kubefugu_trainer.outcomes.reader import read_table
from kubefugu_trainer.runs.directory import RunDirectory
from kubefugu_trainer.runs.progress import SilentReporter
from kubefugu_trainer.supervised.basis import fit_basis
from kubefugu_trainer.supervised.config import SupervisedConfig, SvfConfig
from kubefugu_trainer.supervised.offsets import AdaptedLayer, Parts, Task, divergence, fit_offsets, logits_of
from kubefugu_trainer.supervised.run import SupervisedRun
from kubefugu_trainer.supervised.targets import targets

LAYER, WORKERS, TAU = 2, 3, 0.2
ROWS = 200
PARTS = Parts(np.arange(0, 120), np.arange(120, 160), np.arange(160, 200))
CONFIG = SvfConfig()
MOVED = ("v_proj", "o_proj")
"""What the teacher moves."""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny decoder on disk."""
    return make_tiny(tmp_path_factory.mktemp("model"), "qwen3", tied=True, with_tokenizer=True).directory


@pytest.fixture(autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Caches of this file's own."""
    monkeypatch.setenv("KUBEFUGU_HOME", str(tmp_path_factory.getbasetemp() / "offsets-home"))


@pytest.fixture(scope="module")
def engine(model: Path) -> Engine:
    """The serving engine on it."""
    return Engine(load_backbone(str(model), threads=1))


def prompts(rows: int = ROWS) -> list[list[int]]:
    rng = np.random.default_rng(5)
    return [rng.integers(1, 500, size=int(rng.integers(6, 14))).tolist() for _ in range(rows)]


def offsets(engine: Engine, *, scale: float = 1.0, names: tuple[str, ...] = MOVED, seed: int = 1) -> SvfOffsets:
    rng = np.random.default_rng(seed)
    lengths = layout_of(engine.backbone.info, LAYER).lengths
    blocks = {name: np.maximum(rng.normal(scale=scale, size=lengths[name]), -0.8).astype(np.float32) for name in names}
    return SvfOffsets(layer=LAYER, tie_mode=TieMode.AUTHOR, blocks=blocks)


def layer_of(engine: Engine, asked: list[list[int]]) -> AdaptedLayer:
    return AdaptedLayer(engine, make_bundle(engine.backbone, layer=LAYER), engine.entering_states(asked, LAYER))


def task_of(engine: Engine, asked: list[list[int]], reward: np.ndarray, head: np.ndarray) -> Task:
    p = targets(reward, TAU)
    matrix = fit_basis(engine.features(asked)).matrix
    return Task(reward=reward, fit_targets=p[PARTS.fit], targets=p, parts=PARTS, head=head, matrix=matrix, penalty=1e-3)


def readable(features: np.ndarray, *, seed: int = 2) -> np.ndarray:
    """Rewards (n, L) whose targets a linear head reads off these features exactly; spread 2 in logits."""
    centred = features - features.mean(axis=0)
    logits = centred @ np.random.default_rng(seed).normal(size=(features.shape[1], WORKERS))
    return np.asarray(2 * TAU * logits / logits.std(), dtype=np.float64)


def test_gradients_are_those_of_the_exact_engine(engine: Engine) -> None:
    asked = prompts(6)
    layer = layer_of(engine, asked)
    rng = np.random.default_rng(0)
    head = rng.normal(scale=0.3, size=(WORKERS, 48))
    p = torch.from_numpy(targets(rng.random((6, WORKERS)), TAU))
    at = offsets(engine, scale=0.1, names=LAYER_BLOCKS)

    def exact(blocks: dict[str, np.ndarray]) -> float:
        features = engine.features(asked, SvfOffsets(layer=LAYER, tie_mode=TieMode.AUTHOR, blocks=blocks))
        return float(divergence(torch.from_numpy(features.astype(np.float64) @ head.T), p).mean())

    deltas = {name: torch.from_numpy(block.copy()).requires_grad_() for name, block in at.blocks.items()}
    loss = divergence(layer.features(range(6), deltas).double() @ torch.from_numpy(head).T, p).mean()
    loss.backward()  # type: ignore[no-untyped-call]
    assert float(loss.detach()) == pytest.approx(exact(dict(at.blocks)), abs=1e-5)
    for name in LAYER_BLOCKS:
        gradient = deltas[name].grad
        assert gradient is not None
        length = float(gradient.norm())
        assert length > 1e-4, name
        step = 1e-2 * (gradient / length).numpy()
        above, below = (exact(dict(at.blocks) | {name: at.blocks[name] + sign * step}) for sign in (1, -1))
        assert (above - below) / 2e-2 == pytest.approx(length, rel=1e-2, abs=1e-3), name


def test_offsets_reach_what_no_head_can(engine: Engine) -> None:
    asked = prompts()
    layer = layer_of(engine, asked)
    reward = readable(engine.features(asked, offsets(engine)))
    head = np.zeros((WORKERS, 48), dtype=np.float32)
    found = fit_offsets(layer, task_of(engine, asked, reward, head), CONFIG, rng=np.random.default_rng(0))
    kl = found.figures["kl"]
    assert kl["head and offsets"] < 0.9 * kl["head moved alone"] < kl["head"]
    assert found.figures["kept"]
    assert any(np.any(block) for block in found.blocks.values())
    assert found.figures["reward"]["head and offsets"] >= found.figures["reward"]["head moved alone"]
    served = engine.features(asked, SvfOffsets(layer=LAYER, tie_mode=TieMode.AUTHOR, blocks=found.blocks)) @ found.head.T
    np.testing.assert_allclose(logits_of(layer, found, np.arange(ROWS)), served, atol=1e-4)
    again = fit_offsets(layer, task_of(engine, asked, reward, head), CONFIG, rng=np.random.default_rng(0))
    np.testing.assert_array_equal(again.head, found.head)


def test_the_head_stays_alone_where_there_is_nothing_to_gain(engine: Engine) -> None:
    asked = prompts()
    layer = layer_of(engine, asked)
    head = np.random.default_rng(7).normal(scale=0.05, size=(WORKERS, 48)).astype(np.float32)
    noise = np.random.default_rng(3).random((ROWS, WORKERS)).round()
    best = TAU * (engine.features(asked) @ head.T).astype(np.float64)
    for reward, start in ((noise, np.zeros_like(head)), (best, head)):
        found = fit_offsets(layer, task_of(engine, asked, reward, start), CONFIG, rng=np.random.default_rng(0))
        assert not found.figures["kept"]
        assert "lower" in found.figures["why_not"]
        assert found.blocks == {}
        np.testing.assert_array_equal(found.head, start)


def write_table(path: Path, engine: Engine, rows: int, *, tests: int = 0) -> Path:
    """Questions whose scores are read off the features with some offsets; the last `tests` are held out."""
    rng = np.random.default_rng(11)
    asked = [" ".join(str(n) for n in rng.integers(0, 99, size=4)) for _ in range(rows)]
    tokenizer = engine.backbone.tokenizer
    ids = [
        encode([("user", text)], RouterFormat.RAW, tokenizer, num_agents=WORKERS, max_tokens=512).token_ids for text in asked
    ]
    logits = readable(engine.features(ids, offsets(engine))) / TAU
    score = np.exp(logits - logits.max(axis=1, keepdims=True))
    with path.open("w") as file:
        for number, (text, values) in enumerate(zip(asked, score, strict=True)):
            scores = {f"score:w{i}": float(value) for i, value in enumerate(values)}
            file.write(json.dumps({"prompt": text, "split": "test" if number >= rows - tests else "train", **scores}) + "\n")
    return path


def train(model: Path, table: Path, out: Path, *, svf: bool) -> None:
    supervised(
        data=table, backbone=str(model), out=out, input_format="raw", folds=3, taus="0.2", penalties="0.003", epochs=5,
        wording_rows=0, svf=svf, svf_rows=300, threads=1, progress="none",
    )  # fmt: skip


def test_what_the_command_writes_is_what_it_measured(model: Path, engine: Engine, tmp_path: Path) -> None:
    table = write_table(tmp_path / "table.jsonl", engine, 300)
    train(model, table, tmp_path / "run", svf=True)
    artifact = load_artifact(tmp_path / "run" / "artifact.safetensors")
    figures = json.loads((tmp_path / "run" / "report.json").read_text())["offsets"]
    assert figures["kept"], figures
    assert artifact.has_offsets
    assert artifact.offsets is not None
    assert artifact.factors is not None
    assert set(artifact.offsets.blocks) == set(LAYER_BLOCKS)
    assert artifact.training["svf"]["rows"] == 300

    texts = [json.loads(line)["prompt"] for line in table.read_text().splitlines()]
    serving = Engine(load_backbone(str(model), threads=1))
    bundle = find_bundle(artifact.factors, beside=tmp_path / "run" / "artifact.safetensors")
    with np.load(tmp_path / "run" / "checkpoints" / "offsets.npz") as kept:
        rows, measured = kept["judged_rows"], kept["judged_logits"]
    ids = [
        encode([("user", texts[row])], RouterFormat.RAW, serving.backbone.tokenizer, num_agents=3, max_tokens=512).token_ids
        for row in rows
    ]
    served = serving.features_of(ids, serving.variant(artifact.offsets, bundle)) @ artifact.head.T
    np.testing.assert_allclose(served, measured, atol=1e-4)

    train(model, table, tmp_path / "plain", svf=False)
    plain = load_artifact(tmp_path / "plain" / "artifact.safetensors")
    assert plain.offsets is None
    assert plain.factors is None
    assert "svf" not in plain.training
    assert "svf" not in json.loads((tmp_path / "plain" / "config.json").read_text())


def driver_config(folder: Path, model: Path, table: Path, bundle: Path) -> DriverConfig:
    """A supervised run of a cluster that trains offsets in published factors."""
    workers = "".join(f"  - {{name: w{i}, model: w{i}, url: 'http://127.0.0.1:9/v1'}}\n" for i in range(WORKERS))
    head = "apiVersion: kubefugu.dev/v1alpha1\nkind: WorkerPool\nmetadata: {name: pool}\nspec:\n  workers:\n"
    (folder / "pool.yaml").write_text(head + workers)
    return DriverConfig.model_validate(
        {
            "run": {"uid": "u", "name": "n"}, "algorithm": "supervised", "inputFormat": "raw",
            "parameters": {"trainOffsets": True}, "pool": str(folder / "pool.yaml"),
            "backbone": {"ref": str(model), "bundleUrl": bundle.as_uri(), "bundleSha256": sha256(bundle)},
            "data": {"location": str(table), "sha256": sha256(table)}, "storage": {"directory": str(folder / "work")},
        }
    )  # fmt: skip


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.slow
def test_a_run_in_a_cluster_trains_offsets_in_the_published_factors(model: Path, engine: Engine, tmp_path: Path) -> None:
    table = write_table(tmp_path / "table.jsonl", engine, 340, tests=40)
    bundle = tmp_path / "factors.safetensors"
    save_bundle(bundle, make_bundle(engine.backbone, layer=LAYER))
    config = driver_config(tmp_path, model, table, bundle)
    factors = factors_of(config)
    settings = SupervisedConfig(
        data=str(table),
        backbone=str(model),
        input_format="raw",
        folds=3,
        taus=(0.2,),
        penalties=(0.003,),
        epochs=5,
        wording_rows=0,
    )
    source = FeatureSource(str(model), root=tmp_path / "features", reporter=SilentReporter(), threads=1)
    run = RunDirectory(tmp_path / "run", config={})
    read = read_table(table)
    path = SupervisedRun(
        settings, read, source=source, run=run, reporter=SilentReporter(), svf=SvfConfig(rows=300), factors=factors
    ).execute()
    run.close()
    report = measure(config, path, read, source)
    artifact = load_artifact(path)
    assert artifact.has_offsets, report.message
    assert artifact.factors == factors == FactorRef(uri=bundle.as_uri(), sha256=sha256(bundle))
    assert report.message.endswith("The offsets are part of it.")
    assert report.items == 40
    rows = [json.loads(line) for line in table.read_text().splitlines()][300:]
    scores = np.array([[row[f"score:w{i}"] for i in range(WORKERS)] for row in rows])
    serving = Engine(load_backbone(str(model), threads=1))
    ids = [
        encode([("user", row["prompt"])], RouterFormat.RAW, serving.backbone.tokenizer, num_agents=3, max_tokens=512).token_ids
        for row in rows
    ]
    variant = serving.variant(artifact.offsets, find_bundle(artifact.factors, allowed_prefixes=(bundle.as_uri(),)))
    served = (serving.features_of(ids, variant) @ artifact.head.T).argmax(axis=1)
    assert report.score == pytest.approx(scores[np.arange(40), served].mean())


def test_a_run_in_a_cluster_that_names_no_published_factors_is_refused(model: Path, tmp_path: Path) -> None:
    table = tmp_path / "table.jsonl"
    rows = [{"prompt": f"q{n}", "split": "train", **{f"score:w{i}": i == n % 3 for i in range(WORKERS)}} for n in range(30)]
    table.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    config = driver_config(tmp_path, model, table, table)
    nothing = config.model_copy(update={"backbone": config.backbone.model_copy(update={"bundle_url": ""})})
    progress = RunProgress(run_id="u", algorithm="supervised")
    with pytest.raises(DataError, match="bundleUrl"):
        train_in_cluster(nothing, progress, ServedReporter(progress, SilentReporter()), RunStore(nothing))
