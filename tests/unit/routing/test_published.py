"""Import of the three published forms, and of what is not one of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from support.backbones import Tiny, adapt_reference, random_offsets, reference_features

from kubefugu_core.errors import ArtifactRefusedError
from kubefugu_routing.backbone import Backbone, load_backbone
from kubefugu_routing.engine import Engine
from kubefugu_routing.policy import FactorRef, WorkerRow, bind
from kubefugu_routing.policy.published import Rows, import_head, import_materialised, import_vector
from kubefugu_routing.svf import TieMode, layout_of
from kubefugu_routing.svf.factors import make_bundle

ROWS = Rows(workers=tuple(WorkerRow(f"w{i}", f"m{i}") for i in range(7)), roles=True, tie_mode=TieMode.COMPOSED)
REF = FactorRef("", "f" * 64)
BATCH = [[3, 1, 4, 1, 5, 9], [2, 7, 1, 8]]
# What each block is called in a bundle of kernels.
KERNELS = {
    "embed_tokens": "embedder.token_embedding.kernel",
    "q_proj": "decoder.blocks.2.self_attention.query.kernel",
    "k_proj": "decoder.blocks.2.self_attention.key.kernel",
    "v_proj": "decoder.blocks.2.self_attention.value.kernel",
    "o_proj": "decoder.blocks.2.self_attention.output.kernel",
    "gate_proj": "decoder.blocks.2.ffn.gate.kernel",
    "up_proj": "decoder.blocks.2.ffn.intermediate.kernel",
    "down_proj": "decoder.blocks.2.ffn.output.kernel",
}


@pytest.fixture
def square(tmp_path: Path) -> tuple[Tiny, Backbone]:
    """A tiny Qwen3 whose k and v are square, as in Qwen3-0.6B."""
    from support.backbones import make_tiny

    model = make_tiny(tmp_path / "square", "qwen3", tied=True, num_key_value_heads=3)
    return model, load_backbone(str(model.directory))


def vector_for(backbone: Backbone) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    layout = layout_of(backbone.info)
    rng = np.random.default_rng(5)
    head = rng.normal(size=(10, backbone.info.hidden_size))
    return np.concatenate([rng.normal(scale=0.2, size=layout.total), head.ravel()]), head


def test_the_full_vector(tiny: Callable[..., Tiny], tmp_path: Path) -> None:
    model = tiny("qwen3", tied=True)
    backbone = load_backbone(str(model.directory))
    vector, head = vector_for(backbone)
    np.save(tmp_path / "model_iter_60.npy", vector)
    artifact = import_vector(tmp_path / "model_iter_60.npy", backbone.info, ROWS, factors=REF)
    bind(artifact, backbone.info)
    assert artifact.offsets is not None
    expected = reference_features(adapt_reference(model, artifact.offsets), BATCH) @ head.T
    np.testing.assert_allclose(Engine(backbone).decide(BATCH, artifact), expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("shaped", [True, False])
def test_the_head_alone_as_npy(tiny: Callable[..., Tiny], tmp_path: Path, shaped: bool) -> None:
    backbone = load_backbone(str(tiny("qwen3", tied=True).directory))
    _, head = vector_for(backbone)
    np.save(tmp_path / "head.npy", head if shaped else head.ravel())
    artifact = import_vector(tmp_path / "head.npy", backbone.info, ROWS)
    np.testing.assert_array_equal(artifact.head, head.astype(np.float32))
    assert not artifact.has_offsets


@pytest.mark.parametrize("name", ["trinity.router_head.linear.weight", "anything"])
def test_the_head_alone_as_safetensors(tiny: Callable[..., Tiny], tmp_path: Path, name: str) -> None:
    backbone = load_backbone(str(tiny("qwen3", tied=True).directory))
    _, head = vector_for(backbone)
    save_file({name: torch.from_numpy(head).float()}, tmp_path / "head.safetensors")
    np.testing.assert_array_equal(import_head(tmp_path / "head.safetensors", backbone.info, ROWS).head, head.astype(np.float32))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_bundle_of_transposed_kernels(square: tuple[Tiny, Backbone], tmp_path: Path, dtype: torch.dtype) -> None:
    model, backbone = square
    offsets = random_offsets(layout_of(backbone.info, 2).lengths, 2, TieMode.FIXTURE)
    adapted = adapt_reference(model, offsets)
    tensors = {}
    for block, name in KERNELS.items():
        if block == "embed_tokens":
            tensors[name] = adapted.model.embed_tokens.weight
        else:
            layer = adapted.model.layers[2]
            part = layer.self_attn if hasattr(layer.self_attn, block) else layer.mlp
            tensors[name] = getattr(part, block).weight.T.contiguous()
    _, head = vector_for(backbone)
    tensors["trinity.router_head.linear.weight"] = torch.from_numpy(head)
    save_file({k: v.detach().to(dtype).contiguous() for k, v in tensors.items()}, tmp_path / "bundle.safetensors")
    bundle = make_bundle(backbone, layer=2, embedding=True)
    artifact = import_materialised(tmp_path / "bundle.safetensors", backbone, bundle, ROWS, factors=REF)
    assert artifact.tie_mode is TieMode.FIXTURE
    expected = reference_features(adapted, BATCH)
    got = Engine(backbone).features(BATCH, artifact.offsets)
    np.testing.assert_allclose(got, expected, rtol=0, atol=2e-5 if dtype is torch.float32 else 0.05)


def test_a_kernel_that_was_not_transposed_is_refused(square: tuple[Tiny, Backbone], tmp_path: Path) -> None:
    model, backbone = square
    layer = model.reference.model.layers[2]
    tensors = {KERNELS["k_proj"]: layer.self_attn.k_proj.weight.detach().float().contiguous()}
    assert tensors[KERNELS["k_proj"]].shape == (48, 48)
    save_file(tensors | {"head": torch.zeros(10, 48)}, tmp_path / "b.safetensors")
    bundle = make_bundle(backbone, layer=2)
    with pytest.raises(ArtifactRefusedError, match="k_proj is no singular-value adaptation"):
        import_materialised(tmp_path / "b.safetensors", backbone, bundle, ROWS, factors=REF)


def test_wrong_lengths_name_both(tiny: Callable[..., Tiny], tmp_path: Path) -> None:
    info = load_backbone(str(tiny("qwen3", tied=True).directory)).info
    total = layout_of(info).total
    np.save(tmp_path / "v.npy", np.zeros(total + 479))
    with pytest.raises(ArtifactRefusedError, match=f"has {total + 479} numbers .* expected {total + 480}"):
        import_vector(tmp_path / "v.npy", info, ROWS)
    np.save(tmp_path / "o.npy", np.array([object()]), allow_pickle=True)
    with pytest.raises(ArtifactRefusedError, match=r"not a \.npy array"):
        import_vector(tmp_path / "o.npy", info, ROWS)
    save_file({"head": torch.zeros(9, 48)}, tmp_path / "h.safetensors")
    with pytest.raises(ArtifactRefusedError, match="no single head"):
        import_head(tmp_path / "h.safetensors", info, ROWS)
    (tmp_path / "junk.safetensors").write_bytes(b"junk")
    with pytest.raises(ArtifactRefusedError, match="not a complete safetensors"):
        import_head(tmp_path / "junk.safetensors", info, ROWS)
