"""Where the repository and the shared evaluation data are."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[2]


def shared(*parts: str) -> Path:
    """A path below ../shared beside the repository; the test is skipped where that folder is absent, unless it is required."""
    base = REPO.parent / "shared"
    if not base.is_dir():
        if os.environ.get("KUBEFUGU_TESTS_REQUIRE_SHARED"):
            pytest.fail("../shared is required here and absent")
        pytest.skip("needs the shared evaluation data beside the repository (../shared), which is absent here")
    return base.joinpath(*parts)
