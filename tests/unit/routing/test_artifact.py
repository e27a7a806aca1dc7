"""Saving, loading and binding a policy artifact: what does not belong together is refused and says why."""

from __future__ import annotations

import hashlib
import json
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kubefugu_core.errors import ArtifactRefusedError
from kubefugu_core.pool import parse_pool
from kubefugu_routing.backbone import BackboneInfo
from kubefugu_routing.formats import RouterFormat
from kubefugu_routing.policy import FactorRef, PolicyArtifact, WorkerRow, bind, load_artifact, save_artifact
from kubefugu_routing.svf import SvfOffsets, TieMode, layout_of

D = 8
SHAPES = dict.fromkeys(("q_proj", "k_proj", "v_proj", "o_proj"), (D, D)) | {
    "gate_proj": (12, D),
    "up_proj": (12, D),
    "down_proj": (D, 12),
    "embed_tokens": (100, D),
    "lm_head": (100, D),
}
INFO = BackboneInfo("org/model", "c" * 40, hidden_size=D, num_layers=3, vocab_size=100, shapes=SHAPES)
POOL = {"a": "ma", "b": "mb"}


def make(**changes: Any) -> PolicyArtifact:
    fields: dict[str, Any] = {
        "backbone_id": INFO.id,
        "backbone_revision": INFO.revision,
        "layer": 1,
        "head": np.arange(2 * D, dtype=np.float32).reshape(2, D),
        "workers": (WorkerRow("a", "ma"), WorkerRow("b", "mb")),
        "roles": False,
        "training": {"run": "r1", "seed": 3},
        "metrics": {"accuracy": 0.5},
    }
    return PolicyArtifact(**(fields | changes))


def with_offsets(tie_mode: TieMode = TieMode.COMPOSED) -> PolicyArtifact:
    rng = np.random.default_rng(0)
    layout = layout_of(INFO, 1)
    offsets = SvfOffsets.from_vector(rng.normal(size=layout.total), layout, tie_mode=tie_mode)
    return make(offsets=offsets, tie_mode=tie_mode, factors=FactorRef("file:///factors", "f" * 64))


def test_round_trip(tmp_path: Path) -> None:
    artifact = replace(with_offsets(), input_format=RouterFormat.CHAT)
    digest = save_artifact(tmp_path / "p.safetensors", artifact)
    assert digest == hashlib.sha256((tmp_path / "p.safetensors").read_bytes()).hexdigest()
    back = load_artifact(tmp_path / "p.safetensors", sha256=digest)
    np.testing.assert_array_equal(back.head, artifact.head)
    assert back.offsets is not None
    assert artifact.offsets is not None
    assert back.offsets.digest == artifact.offsets.digest
    for name in ("backbone_id", "backbone_revision", "layer", "workers", "roles", "input_format", "tie_mode", "factors"):
        assert getattr(back, name) == getattr(artifact, name), name
    assert (back.training, back.metrics) == (artifact.training, artifact.metrics)
    assert save_artifact(tmp_path / "again.safetensors", artifact) == digest, "equal artifacts give equal files"


def test_a_reference_sized_artifact_is_tens_of_kilobytes(tmp_path: Path) -> None:
    head = np.zeros((10, 1024), dtype=np.float32)
    workers = tuple(WorkerRow(f"w{i}", f"m{i}") for i in range(7))
    blocks = {name: np.ones(1024, dtype=np.float32) for name in SHAPES}
    offsets = SvfOffsets(layer=26, tie_mode=TieMode.AUTHOR, blocks=blocks)
    artifact = make(head=head, workers=workers, roles=True, layer=26, offsets=offsets, factors=FactorRef("", "f" * 64))
    save_artifact(tmp_path / "p", artifact)
    assert (tmp_path / "p").stat().st_size < 80_000


def test_a_failed_write_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        save_artifact(tmp_path / "p", make(metrics={"accuracy": float("nan")}))
    assert list(tmp_path.iterdir()) == []


def tamper(path: Path, change: str) -> None:
    raw = path.read_bytes()
    length = struct.unpack("<Q", raw[:8])[0]
    header, data = json.loads(raw[8 : 8 + length]), bytearray(raw[8 + length :])
    if change == "byte":
        data[5] ^= 1
    elif change == "document":
        document = json.loads(header["__metadata__"]["document"])
        document["workers"][0]["name"] = "z"
        header["__metadata__"]["document"] = json.dumps(document)
    elif change == "format":
        header["__metadata__"]["format"] = "kubefugu-policy/9"
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(data))


@pytest.mark.parametrize(("change", "says"), [("byte", "checksum"), ("document", "checksum"), ("format", "kubefugu-policy/9")])
def test_altered_files_are_refused(tmp_path: Path, change: str, says: str) -> None:
    path = tmp_path / "p.safetensors"
    save_artifact(path, make())
    load_artifact(path)
    tamper(path, change)
    with pytest.raises(ArtifactRefusedError, match=says):
        load_artifact(path)


@pytest.mark.parametrize("keep", [0, 4, 100, 0.5, -1])
def test_truncated_files_are_refused(tmp_path: Path, keep: float) -> None:
    path = tmp_path / "p.safetensors"
    save_artifact(path, make())
    raw = path.read_bytes()
    path.write_bytes(raw[: int(keep * len(raw)) if isinstance(keep, float) else keep])
    with pytest.raises(ArtifactRefusedError, match="not a complete safetensors file"):
        load_artifact(path)


def test_another_file_than_declared_is_refused(tmp_path: Path) -> None:
    save_artifact(tmp_path / "p", make())
    with pytest.raises(ArtifactRefusedError, match="sha256"):
        load_artifact(tmp_path / "p", sha256="0" * 64)
    with pytest.raises(ArtifactRefusedError, match="cannot be read"):
        load_artifact(tmp_path / "absent")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"head": np.full((2, D), np.nan, dtype=np.float32)}, "NaN"),
        ({"head": np.full((2, D), np.inf, dtype=np.float32)}, "NaN or infinity"),
        ({"head": np.zeros((3, D), dtype=np.float32)}, "3 rows; 2 workers need 2"),
        ({"roles": True}, "2 rows; 2 workers and 3 roles need 5"),
        ({"head": np.zeros((2, D), dtype=np.float64)}, "float32"),
        ({"head": np.zeros(2 * D, dtype=np.float32)}, "1 dimensions"),
        ({"workers": (WorkerRow("a", "ma"), WorkerRow("a", "mb"))}, "two rows"),
        ({"workers": (), "head": np.zeros((0, D), dtype=np.float32)}, "names no worker"),
        ({"workers": (WorkerRow("a", ""), WorkerRow("b", "mb"))}, "worker name and a model"),
        ({"layer": -1}, "negative"),
        ({"factors": FactorRef("", "xyz")}, "64 lower-case hex"),
    ],
)
def test_impossible_artifacts_cannot_be_made(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ArtifactRefusedError, match=says):
        make(**changes)


def _offsets(**blocks: Any) -> SvfOffsets:
    return SvfOffsets(layer=1, tie_mode=TieMode.AUTHOR, blocks={k: np.asarray(v, dtype=np.float32) for k, v in blocks.items()})


REF = FactorRef("", "f" * 64)


@pytest.mark.parametrize(
    ("changes", "info", "pool", "says"),
    [
        ({"backbone_revision": "d" * 40}, INFO, POOL, "revision dddd"),
        ({"backbone_id": "org/other"}, INFO, POOL, "org/other, this router has org/model"),
        ({}, replace(INFO, hidden_size=16), POOL, "8 columns, the backbone's hidden size is 16"),
        ({"layer": 7}, INFO, POOL, "Layer 7 is not one of the backbone's 3"),
        ({}, INFO, {"x": "mx"}, "No row"),
        ({}, INFO, {"a": "ma", "b": "new-model"}, "trained for model 'mb', the pool now has 'new-model'"),
        ({"offsets": _offsets(q_proj=np.ones(D))}, INFO, POOL, "names no factor bundle"),
        ({"offsets": _offsets(q_proj=np.ones(D + 1)), "factors": REF}, INFO, POOL, r"shape \(9,\), the backbone needs \(8,\)"),
        ({"offsets": _offsets(q_proj=np.full(D, np.nan)), "factors": REF}, INFO, POOL, "q_proj' holds NaN"),
        ({"offsets": _offsets(z_proj=np.ones(D)), "factors": REF}, INFO, POOL, "Unknown offset block 'z_proj'"),
    ],
)
def test_what_does_not_belong_together_is_refused(
    changes: dict[str, Any], info: BackboneInfo, pool: dict[str, str], says: str
) -> None:
    with pytest.raises(ArtifactRefusedError, match=says):
        bind(make(**changes), info, pool)


def test_a_content_hash_identifies_a_backbone_whatever_its_file_is_called() -> None:
    hashed = replace(INFO, id="renamed.gguf", revision="e" * 64)
    bind(make(backbone_id="original.gguf", backbone_revision="e" * 64), hashed, POOL)


def test_absent_and_untrained_workers_are_told() -> None:
    policy = bind(make(), INFO, {"b": "mb", "new": "mn"})
    assert (policy.absent, policy.untrained) == (("a",), ("new",))
    assert policy.rows == (("a", "ma"), ("b", "mb"))
    document = {
        "apiVersion": "kubefugu.dev/v1alpha1",
        "kind": "WorkerPool",
        "metadata": {"name": "p"},
        "spec": {"workers": [{"name": "b", "model": "mb", "url": "http://127.0.0.1:1/v1"}]},
    }
    assert bind(make(), INFO, parse_pool(document, source="test")).absent == ("a",)


def test_offsets_that_cannot_act_need_no_bundle() -> None:
    # The backbone is untied: an lm_head that is not shared can't affect routing.
    bind(make(offsets=_offsets(lm_head=np.ones(D))), replace(INFO, tied=False), POOL)
    with pytest.raises(ArtifactRefusedError, match="factor bundle"):
        bind(make(offsets=_offsets(lm_head=np.ones(D))), INFO, POOL)


def test_vector_layout_of_the_reference_is_19456_numbers() -> None:
    shapes = dict.fromkeys(("k_proj", "v_proj"), (1024, 1024)) | {"q_proj": (2048, 1024), "o_proj": (1024, 2048)}
    shapes |= {"gate_proj": (3072, 1024), "up_proj": (3072, 1024), "down_proj": (1024, 3072)}
    shapes |= {"embed_tokens": (151_936, 1024), "lm_head": (151_936, 1024)}
    info = BackboneInfo("Qwen/Qwen3-0.6B", "c" * 40, hidden_size=1024, num_layers=28, vocab_size=151_936, shapes=shapes)
    layout = layout_of(info)
    assert (layout.layer, layout.total, layout.total + 10 * 1024) == (26, 9216, 19456)
    assert list(layout.lengths) == [
        "embed_tokens", "q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj", "lm_head",
    ]  # fmt: skip
    vector = np.arange(9216, dtype=np.float64)
    offsets = SvfOffsets.from_vector(vector, layout, tie_mode=TieMode.AUTHOR)
    assert offsets.blocks["gate_proj"][0] == 5120
    np.testing.assert_array_equal(offsets.to_vector(layout), vector)
    with pytest.raises(ArtifactRefusedError, match="Expected 9216 singular-value offsets, got 9215"):
        SvfOffsets.from_vector(vector[:-1], layout, tie_mode=TieMode.AUTHOR)
