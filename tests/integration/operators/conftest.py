"""One API server for all tests of this folder; each test gets a namespace of its own."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from support.apiserver import ApiServer, install_crds, running

from kubefugu_operators.cluster.client import HttpApi

_numbers = itertools.count(1)


async def _prepare(server: ApiServer) -> None:
    api = server.api()
    try:
        await install_crds(api)
    finally:
        await api.close()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """A running API server with the CRDs."""
    folder: Path = tmp_path_factory.mktemp("apiserver")
    with running(folder) as started:
        asyncio.run(_prepare(started))
        yield started


@pytest.fixture
async def api(server: ApiServer) -> AsyncIterator[HttpApi]:
    """An admin client."""
    opened = server.api()
    yield opened
    await opened.close()


@pytest.fixture
async def namespace(api: HttpApi) -> str:
    """A fresh namespace."""
    name = f"test-{next(_numbers)}"
    await api.request("POST", "/api/v1/namespaces", body={"metadata": {"name": name}})
    return name
