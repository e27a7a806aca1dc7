"""From a declared source to a policy on this machine, checked against the backbone and the pool."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from kubefugu_core.errors import ArtifactRefusedError
from kubefugu_core.policy_sets import Source
from kubefugu_core.pool import WorkerPool
from kubefugu_router.domain.ports import StagedPolicy
from kubefugu_router.store import PolicyStore
from kubefugu_routing.backbone.info import BackboneInfo
from kubefugu_routing.fetch import fetch
from kubefugu_routing.policy import bind, load_artifact
from kubefugu_routing.svf.bundles import find_bundle
from kubefugu_routing.svf.factors import FactorBundle

MAX_ARTIFACT_BYTES = 256 << 20
"""Largest artifact that is fetched; head and offsets take tens of kilobytes."""


@dataclass(frozen=True)
class Stager:
    """Fetches, checks and binds. All methods block."""

    store: PolicyStore
    allowed_prefixes: Sequence[str]
    pool: Callable[[], WorkerPool | None]

    def stage(self, version: str, source: Source | None, *, known: Mapping[str, str], info: BackboneInfo) -> StagedPolicy:
        """A policy ready for the host. `known`: version -> sha256 of artifacts on this disk.

        Raises ArtifactRefusedError that says why, UnavailableError where the source cannot be read now.
        """
        sha256 = source.sha256 if source else known.get(version)
        if sha256 is None:
            raise ArtifactRefusedError(f"{version} has no source and is not on this router's disk.", field="sources")
        path = self.store.artifact(sha256)
        if source is not None and source.uri and not path.is_file():
            fetch(source.uri, sha256, path, allowed_prefixes=self.allowed_prefixes, max_bytes=MAX_ARTIFACT_BYTES)
        if not path.is_file():
            raise ArtifactRefusedError(
                f"{version}: no artifact with sha256 {sha256} is on this router's disk.", field="sources"
            )
        artifact = load_artifact(path, sha256=sha256)
        return StagedPolicy(version=version, sha256=sha256, path=path, policy=bind(artifact, info, self.pool()))

    def factors(self, staged: StagedPolicy) -> FactorBundle:
        """The factor bundle that a policy with offsets names."""
        ref = staged.policy.artifact.factors
        if ref is None:
            raise ArtifactRefusedError("The artifact has offsets but names no factor bundle.", field="factors")
        return find_bundle(ref, beside=staged.path, allowed_prefixes=self.allowed_prefixes)
