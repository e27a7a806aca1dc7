"""The declared policy set and its rules."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from kubefugu_core.errors import ConflictError, InvalidRequestError, StaleGenerationError

_VERSION = re.compile(r"^[A-Za-z0-9]([-A-Za-z0-9._]{0,126}[A-Za-z0-9])?$")
_SHA256 = re.compile(r"^[0-9a-f]{64}$")
_SHARES = 1 << 64


@dataclass(frozen=True, slots=True)
class Canary:
    """A version that decides for a share of the conversations."""

    version: str
    percent: float
    """0 to 100."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where a version's artifact is."""

    uri: str
    sha256: str
    """Lower-case hex of the file."""


@dataclass(frozen=True, slots=True)
class DeclaredSet:
    """Which versions decide, for whom. Construction checks it; raises InvalidRequestError naming the field."""

    generation: int
    active: str
    canary: Canary | None = None
    shadow: tuple[str, ...] = ()
    sources: Mapping[str, Source] = field(default_factory=dict)
    """By version."""

    def __post_init__(self) -> None:
        if self.generation < 1:
            raise InvalidRequestError("The generation must be at least 1.", field="policy_set.generation")
        _check_version(self.active, "policy_set.active")
        if self.canary is not None:
            _check_version(self.canary.version, "policy_set.canary.version")
            if not 0 <= self.canary.percent <= 100:
                raise InvalidRequestError("The canary's share must be 0 to 100.", field="policy_set.canary.percent")
            if self.canary.version == self.active:
                raise InvalidRequestError("The canary is the active version.", field="policy_set.canary.version")
        for version in self.shadow:
            _check_version(version, "policy_set.shadow")
        if len(set(self.shadow)) != len(self.shadow):
            raise InvalidRequestError("A shadow version is named twice.", field="policy_set.shadow")
        for version, source in self.sources.items():
            _check_version(version, "policy_set.sources.version")
            if not _SHA256.match(source.sha256):
                raise InvalidRequestError(
                    f"The source of {version} needs a sha256 of 64 lower-case hex digits.", field="policy_set.sources.sha256"
                )

    @property
    def named(self) -> tuple[str, ...]:
        """Every version that decides, the active one first, each once."""
        canary = (self.canary.version,) if self.canary else ()
        return tuple(dict.fromkeys((self.active, *canary, *self.shadow)))

    def deciding(self, affinity: str) -> tuple[str, bool]:
        """The version that acts for a conversation, and whether it is the canary. Equal keys are always assigned alike."""
        if self.canary is not None and share_of(affinity) < self.canary.percent:
            return self.canary.version, True
        return self.active, False


def _check_version(version: str, field_name: str) -> None:
    if not _VERSION.match(version):
        raise InvalidRequestError(
            f"{version!r} is not a policy version (letters, digits, '-', '.', '_'; at most 128).", field=field_name
        )


def share_of(affinity: str) -> float:
    """A conversation's place in [0, 100), uniform over keys; raising a canary's share keeps those who had it."""
    number = int.from_bytes(hashlib.sha256(affinity.encode()).digest()[:8], "big")
    return 100.0 * number / _SHARES


def succeeds(new: DeclaredSet, accepted: DeclaredSet | None) -> bool:
    """True if a declaration has to be applied, False if it is the accepted one again.

    Raises StaleGenerationError for an older generation and ConflictError for another content under the same one.
    """
    if accepted is None or new.generation > accepted.generation:
        return True
    if new.generation < accepted.generation:
        raise StaleGenerationError(
            f"Generation {new.generation} is older than {accepted.generation}, which serves.",
            field="policy_set.generation",
            metadata={"serving_generation": str(accepted.generation)},
        )
    if new != accepted:
        raise ConflictError(f"Generation {new.generation} serves with another content.", field="policy_set.generation")
    return False
