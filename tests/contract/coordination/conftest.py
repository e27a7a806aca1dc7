"""What the tests of the worker client share."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from support.upstream import Upstream

from kubefugu_coordination.workers import WorkerSet


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    """A worker that answers on script."""
    async with Upstream() as server:
        yield server


@pytest.fixture
async def sets() -> AsyncIterator[list[WorkerSet]]:
    """Closed after the test."""
    made: list[WorkerSet] = []
    yield made
    for workers in made:
        await workers.close()
