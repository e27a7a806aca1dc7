from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from support.backbones import Tiny, make_tiny, reference_features, train_tokenizer

from kubefugu_core.errors import ArtifactRefusedError
from kubefugu_core.settings import cache_home
from kubefugu_routing.backbone import gguf as conversion
from kubefugu_routing.backbone import load_backbone
from kubefugu_routing.engine import Engine


def write_gguf(path: Path, tiny: Tiny) -> None:
    """A Llama model as llama.cpp stores it, q and k in its interleaved order."""
    config, state = tiny.reference.config, tiny.reference.state_dict()
    tokenizer = train_tokenizer(config.vocab_size)
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(10_000.0)
    writer.add_rope_dimension_count(config.hidden_size // config.num_attention_heads)
    writer.add_vocab_size(config.vocab_size)
    backend = json.loads(tokenizer.backend_tokenizer.to_str())
    ordered = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    words = [word for word, _ in ordered] + [f"<unused{i}>" for i in range(config.vocab_size - len(ordered))]
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(words)
    writer.add_token_types([3 if word.startswith("<|") else 1 for word in words])
    writer.add_token_merges([" ".join(merge) for merge in backend["model"]["merges"]])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(1)
    names = {"q_proj": "attn_q", "k_proj": "attn_k", "v_proj": "attn_v", "o_proj": "attn_output"}
    names |= {"gate_proj": "ffn_gate", "up_proj": "ffn_up", "down_proj": "ffn_down"}
    names |= {"input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm"}
    for key, tensor in state.items():
        array = tensor.float().numpy()
        parts = key.split(".")
        if parts[1] == "layers":
            heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}.get(parts[-2])
            if heads:
                array = array.reshape(heads, 2, -1, array.shape[1]).swapaxes(1, 2).reshape(array.shape)
            writer.add_tensor(f"blk.{parts[2]}.{names[parts[-2]]}.weight", np.ascontiguousarray(array))
        elif key == "model.embed_tokens.weight":
            writer.add_tensor("token_embd.weight", array)
        elif key == "model.norm.weight":
            writer.add_tensor("output_norm.weight", array)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def test_a_gguf_file_is_dequantised_once_and_equals_its_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = make_tiny(tmp_path / "hf", "llama", tied=True)
    path = tmp_path / "tiny.gguf"
    write_gguf(path, model)
    backbone = load_backbone(str(path))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert (backbone.info.id, backbone.info.revision, backbone.info.tied) == ("tiny.gguf", digest, True)
    batch = [[5, 6, 7, 8, 9, 10], [300, 2, 1]]
    np.testing.assert_allclose(Engine(backbone).features(batch), reference_features(model.reference, batch), rtol=0, atol=1e-5)
    text = "user: what is the capital of France?"
    assert backbone.tokenizer.decode(backbone.tokenizer(text, add_special_tokens=False).input_ids) == text
    monkeypatch.setattr(conversion, "_dequantise", lambda *_: pytest.fail("converted again"))
    assert load_backbone(str(path)).info == backbone.info
    assert [p.name.startswith(".") for p in (cache_home() / "backbones").iterdir()] == [False]


def test_two_that_need_the_same_gguf_file_convert_it_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(b"GGUF")
    begun, second, calls = threading.Event(), threading.Event(), []

    def dequantise(source: Path, target: Path) -> None:
        calls.append(source)
        (begun if len(calls) == 1 else second).set()
        second.wait(0.3)  # where nothing held it back, the other one would come along now
        (target / "config.json").write_text("{}")

    monkeypatch.setattr(conversion, "_dequantise", dequantise)
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(conversion.convert, path)
        begun.wait(60)
        assert threads.submit(conversion.convert, path).result(60) == first.result(60)
    assert calls == [path]


def test_a_directory_is_identified_by_its_weights(tiny: Callable[..., Tiny]) -> None:
    directory = tiny("llama", tied=True).directory
    info = load_backbone(str(directory)).info
    assert info.revision == hashlib.sha256((directory / "model.safetensors").read_bytes()).hexdigest()
    assert (info.id, info.hidden_size, info.num_layers, info.vocab_size) == (directory.name, 48, 4, 512)
    assert info.shapes["k_proj"] == (16, 48)


def test_a_hub_cache_and_a_mirror_say_what_they_are(tmp_path: Path) -> None:
    commit = "a" * 40
    snapshot = tmp_path / "models--org--name" / "snapshots" / commit
    make_tiny(snapshot, "qwen2", tied=True)
    info = load_backbone(str(snapshot)).info
    assert (info.id, info.revision) == ("org/name", commit)
    mirror = tmp_path / "mirror"
    snapshot.rename(mirror)
    (mirror / "kubefugu-backbone.json").write_text(json.dumps({"id": "org/name", "revision": commit}))
    info = load_backbone(str(mirror)).info
    assert (info.id, info.revision) == ("org/name", commit)


def test_adapted_matrices_are_full_precision_whatever_the_model_runs_in(tiny: Callable[..., Tiny]) -> None:
    directory = tiny("qwen3", tied=True).directory
    wide, narrow = load_backbone(str(directory)), load_backbone(str(directory), dtype="bfloat16")
    assert narrow.model.dtype is torch.bfloat16
    for name in ("embed_tokens", "q_proj", "down_proj"):
        assert torch.equal(wide.matrix(name, 2), narrow.matrix(name, 2))


def test_unusable_references_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    (tmp_path / "broken.gguf").write_bytes(b"GGUF but no more")
    (tmp_path / "text.txt").write_text("no model")
    (tmp_path / "empty").mkdir()
    for name, says in [("broken.gguf", "cannot be loaded"), ("text.txt", "neither"), ("empty", r"no config\.json")]:
        with pytest.raises(ArtifactRefusedError, match=says):
            load_backbone(str(tmp_path / name))
    with pytest.raises(ArtifactRefusedError, match="dtype must be"):
        load_backbone(str(tmp_path), dtype="int8")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"sliding_window": 16, "use_sliding_window": True, "max_window_layers": 0}, "Sliding-window"),
        ({"rope_parameters": {"rope_type": "dynamic", "rope_theta": 10_000.0, "factor": 2.0}}, "Rotary embedding"),
    ],
)
def test_architectures_that_would_be_computed_wrongly_are_refused(tmp_path: Path, change: dict[str, Any], says: str) -> None:
    make_tiny(tmp_path / "m", "qwen2", tied=True, **change)
    with pytest.raises(ArtifactRefusedError, match=says):
        Engine(load_backbone(str(tmp_path / "m")))


def test_formats_selection_and_artifacts_import_no_torch() -> None:
    code = (
        "import sys, kubefugu_routing.formats, kubefugu_routing.selection, kubefugu_routing.policy, kubefugu_routing.backbone\n"
        "assert not {'torch', 'transformers'} & set(sys.modules), 'imported'"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_packaged_model_loads_as_a_backbone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBEFUGU_HOME", raising=False)
    from kubefugu_core.models import is_fetched

    if not is_fetched("smollm2-135m-instruct"):
        pytest.skip("needs SmolLM2: kubefugu models fetch smollm2-135m-instruct")
    backbone = load_backbone("smollm2-135m-instruct")
    assert backbone.info.revision == "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
    assert (backbone.info.hidden_size, backbone.info.num_layers) == (576, 30)
    engine = Engine(backbone)
    france, spain, prime = (
        backbone.tokenizer(text, add_special_tokens=False).input_ids
        for text in (
            "user: What is the capital of France?",
            "user: What is the capital of Spain?",
            "user: Is 91 a prime number?",
        )
    )
    features = engine.features([france, spain, prime])
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    assert unit[0] @ unit[1] > unit[0] @ unit[2], "two questions about capitals lie closer than one about primes"
