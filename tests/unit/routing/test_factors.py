from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from support.backbones import Tiny, make_tiny, random_offsets

from kubefugu_core.errors import ArtifactRefusedError, UnavailableError
from kubefugu_core.settings import cache_home
from kubefugu_routing.backbone import load_backbone
from kubefugu_routing.engine import Engine
from kubefugu_routing.fetch import check_prefix, fetch
from kubefugu_routing.policy import FactorRef
from kubefugu_routing.svf import TieMode, layout_of
from kubefugu_routing.svf.apply import gains
from kubefugu_routing.svf.bundles import find_bundle
from kubefugu_routing.svf.factors import decompose, load_bundle, make_bundle, save_bundle


@pytest.mark.parametrize("shape", [(400, 32), (32, 32), (20, 48), (60, 48)])
def test_factors_rebuild_the_matrix(shape: tuple[int, int]) -> None:
    matrix = torch.randn(*shape, generator=torch.Generator().manual_seed(0))
    v, s = decompose(matrix)
    assert v.shape == (shape[1], min(shape))
    expected = torch.linalg.svdvals(matrix.double())
    torch.testing.assert_close(s, expected, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(v.T @ v, torch.eye(min(shape), dtype=torch.float64), rtol=0, atol=1e-9)
    torch.testing.assert_close(matrix.double() @ v @ v.T, matrix.double(), rtol=0, atol=1e-9)


def test_a_rank_deficient_matrix_has_finite_factors() -> None:
    base = torch.randn(300, 4, generator=torch.Generator().manual_seed(0))
    v, s = decompose(base @ torch.randn(4, 32, generator=torch.Generator().manual_seed(1)))
    assert torch.isfinite(v).all()
    assert torch.isfinite(s).all()
    assert (s >= 0).all()


def test_gains_keep_the_spectrum_s_sum_and_zero_is_the_identity() -> None:
    s = torch.tensor([3.0, 2.0, 1.0], dtype=torch.float64)
    gain = gains(s, torch.tensor([0.5, -0.2, 0.1]))
    assert float((s * gain).sum()) == pytest.approx(6)
    assert gains(s, torch.zeros(3)).tolist() == [1, 1, 1]
    with pytest.raises(ArtifactRefusedError, match="not positive"):
        gains(s, torch.full((3,), -1.5))


def test_zero_offsets_are_exactly_the_base(tiny: Callable[..., Tiny]) -> None:
    backbone = load_backbone(str(tiny("qwen3", tied=True).directory))
    offsets = random_offsets(layout_of(backbone.info, 2).lengths, 2, TieMode.COMPOSED, scale=0.0)
    batch = [[1, 2, 3, 4, 5]]
    engine = Engine(backbone)
    np.testing.assert_array_equal(engine.features(batch, offsets), engine.features(batch))


def test_factors_are_cached_by_the_weights_checksum(tiny: Callable[..., Tiny], monkeypatch: pytest.MonkeyPatch) -> None:
    from kubefugu_routing.svf import factors

    backbone = load_backbone(str(tiny("qwen3", tied=True).directory))
    first = make_bundle(backbone, layer=2, embedding=True)
    assert len(list((cache_home() / "factors").iterdir())) == 8
    monkeypatch.setattr(factors, "decompose", lambda _: pytest.fail("decomposed again"))
    again = make_bundle(backbone, layer=2, embedding=True)
    for name, matrix in first.matrices.items():
        assert torch.equal(again.matrices[name].v, matrix.v)
        assert torch.equal(again.matrices[name].s, matrix.s)


def test_a_broken_cache_file_is_made_anew(tiny: Callable[..., Tiny]) -> None:
    backbone = load_backbone(str(tiny("qwen3", tied=True).directory))
    make_bundle(backbone, layer=2)
    for path in (cache_home() / "factors").iterdir():
        path.write_bytes(path.read_bytes()[:50])
    make_bundle(backbone, layer=2)


def test_a_bundle_of_other_weights_layer_or_content_is_refused(tiny: Callable[..., Tiny], tmp_path: Path) -> None:
    backbone = load_backbone(str(tiny("qwen3", tied=True).directory))
    other = load_backbone(str(make_tiny(tmp_path / "other", "qwen3", tied=True, seed=9).directory))
    offsets = random_offsets(layout_of(backbone.info, 2).lengths, 2, TieMode.FIXTURE)
    bundle = make_bundle(backbone, layer=2, embedding=True)
    digest = save_bundle(tmp_path / "b", bundle)
    assert all(save_bundle(tmp_path / "b", bundle) == digest for _ in range(8)), "equal bundles give equal files"
    loaded = load_bundle(tmp_path / "b", sha256=digest)
    engine = Engine(backbone)
    np.testing.assert_array_equal(
        engine.features_of([[1, 2, 3, 4]], engine.variant(offsets, loaded)), engine.features([[1, 2, 3, 4]], offsets)
    )
    with pytest.raises(ArtifactRefusedError, match="made of other weights"):
        Engine(other).variant(offsets, loaded)
    with pytest.raises(ArtifactRefusedError, match="layer 2, the offsets for 1"):
        engine.variant(random_offsets(layout_of(backbone.info, 1).lengths, 1, TieMode.FIXTURE), loaded)
    with pytest.raises(ArtifactRefusedError, match="lacks embed_tokens"):
        engine.variant(offsets, make_bundle(backbone, layer=2))
    with pytest.raises(ArtifactRefusedError, match="not the named file"):
        load_bundle(tmp_path / "b", sha256="0" * 64)
    (tmp_path / "b").write_bytes((tmp_path / "b").read_bytes()[:-9])
    with pytest.raises(ArtifactRefusedError, match="not a complete factor bundle"):
        load_bundle(tmp_path / "b")


def test_bundles_are_found_beside_the_artifact_or_by_url(tiny: Callable[..., Tiny], tmp_path: Path) -> None:
    bundle = make_bundle(load_backbone(str(tiny("qwen3", tied=True).directory)), layer=2)
    source = tmp_path / "published" / "factors.safetensors"
    digest = save_bundle(source, bundle)
    with pytest.raises(ArtifactRefusedError, match="no URL"):
        find_bundle(FactorRef("", digest))
    with pytest.raises(ArtifactRefusedError, match="allowed URL prefix"):
        find_bundle(FactorRef(source.as_uri(), digest))
    ref = FactorRef(source.as_uri(), digest)
    assert find_bundle(ref, allowed_prefixes=[tmp_path.as_uri()]).sha256 == digest
    source.unlink()
    assert find_bundle(ref).sha256 == digest, "once fetched it is in the cache"
    beside = tmp_path / "folder" / f"{digest}.safetensors"
    save_bundle(beside, bundle)
    (cache_home() / "bundles" / f"{digest}.safetensors").unlink()
    assert find_bundle(FactorRef("", digest), beside=beside.parent / "head.safetensors").sha256 == digest


def test_fetch_checks_hash_size_and_prefix(tmp_path: Path) -> None:
    source = tmp_path / "a" / "file.bin"
    source.parent.mkdir()
    source.write_bytes(b"x" * 100)
    digest = hashlib.sha256(b"x" * 100).hexdigest()
    allowed = [(tmp_path / "a").as_uri()]
    target = tmp_path / "out" / "t"
    with pytest.raises(ArtifactRefusedError, match="declared is 000"):
        fetch(source.as_uri(), "0" * 64, target, allowed_prefixes=allowed, max_bytes=1000)
    with pytest.raises(ArtifactRefusedError, match="larger than 50 bytes"):
        fetch(source.as_uri(), digest, target, allowed_prefixes=allowed, max_bytes=50)
    with pytest.raises(UnavailableError, match="cannot be read"):
        fetch((tmp_path / "a" / "absent").as_uri(), digest, target, allowed_prefixes=allowed, max_bytes=1000)
    assert list(target.parent.iterdir()) == [], "nothing half-fetched is left"
    assert fetch(source.as_uri(), digest, target, allowed_prefixes=allowed, max_bytes=1000).read_bytes() == b"x" * 100


@pytest.mark.parametrize(
    "uri",
    [
        "file:///a/bc/x",
        "file:///a/b/../c/x",
        "file:///a/b/%2e%2e/c/x",
        "file://host/a/b/x",
        "/a/b/x",
        "https://host/other/x",
        "https://host/models/../x",
        "https://user@host/models/x",
        "https://host.evil/models/x",
    ],
)
def test_urls_outside_the_prefixes_are_refused(uri: str) -> None:
    with pytest.raises(ArtifactRefusedError):
        check_prefix(uri, ["file:///a/b", "https://host/models/"])


def test_a_link_out_of_the_prefix_is_refused(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "in" / "link").symlink_to(tmp_path / "out")
    with pytest.raises(ArtifactRefusedError, match="allowed"):
        check_prefix((tmp_path / "in" / "link" / "x").as_uri(), [(tmp_path / "in").as_uri()])
    assert check_prefix("https://HOST/models/a.safetensors", ["https://host/models"]) == "https://host/models/a.safetensors"
