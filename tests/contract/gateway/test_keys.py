"""API keys: who gets in, as which tenant, and what happens when the file changes."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from support.bodies import body
from support.executor import say_hello, scripted_executor
from support.gateway import running_gateway

from kubefugu_core.errors import DataError
from kubefugu_gateway.auth import Authenticator
from kubefugu_gateway.keys import KeyFile
from kubefugu_gateway.main import make_authenticator
from kubefugu_gateway.settings import GatewaySettings

PATH = "/v1/chat/completions"


def entry(key: str, tenant: str) -> dict[str, str]:
    return {"sha256": hashlib.sha256(key.encode()).hexdigest(), "tenant": tenant, "name": f"key of {tenant}"}


def write(path: Path, *entries: Any) -> Path:
    path.write_text(yaml.safe_dump(list(entries)))
    return path


async def test_a_key_decides_the_tenant_and_none_or_a_wrong_one_is_401(tmp_path: Path) -> None:
    keys = KeyFile(write(tmp_path / "keys.yaml", entry("sk-one", "one"), entry("sk-two", "two")))
    async with (
        scripted_executor(say_hello) as (executor, target),
        running_gateway(target, authenticator=Authenticator(keys)) as gateway,
        httpx.AsyncClient(base_url=gateway.url, timeout=60) as client,
    ):
        for key, tenant in (("sk-one", "one"), ("sk-two", "two")):
            response = await client.post(PATH, json=body(), headers={"authorization": f"Bearer {key}"})
            assert response.status_code == 200
            assert executor.requests[-1].tenant == tenant
        for headers in (
            {},
            {"authorization": "Bearer sk-three"},
            {"authorization": "Bearer"},
            {"authorization": "sk-one"},
            {"authorization": "Basic sk-one"},
            {"authorization": "Bearer " + "x" * 5000},
            {"authorization": b"Bearer \xe9"},
        ):
            for method, path in (("POST", PATH), ("GET", "/v1/models"), ("GET", "/v1/models/fugu"), ("GET", "/v1/decisions/x")):
                response = await client.request(method, path, headers=headers)
                assert response.status_code == 401, (method, path, headers)
                error = response.json()["error"]
                assert (error["type"], error["code"]) == ("authentication_error", "invalid_api_key")
                assert response.headers["www-authenticate"] == "Bearer"
        assert len(executor.requests) == 2
        for path in ("/healthz", "/readyz", "/metrics"):
            assert (await client.get(path)).status_code == 200


async def test_decisions_are_read_as_the_keys_tenant(tmp_path: Path) -> None:
    keys = KeyFile(write(tmp_path / "keys.yaml", entry("sk-one", "one"), entry("sk-two", "two")))
    async with (
        scripted_executor() as (executor, target),
        running_gateway(target, authenticator=Authenticator(keys)) as gateway,
        httpx.AsyncClient(base_url=gateway.url, timeout=60) as client,
    ):
        executor.decisions["one", "chatcmpl-1"] = b'{"id":"chatcmpl-1"}'
        mine = await client.get("/v1/decisions/chatcmpl-1", headers={"authorization": "Bearer sk-one"})
        assert (mine.status_code, mine.json()) == (200, {"id": "chatcmpl-1"})
        others = await client.get("/v1/decisions/chatcmpl-1", headers={"authorization": "Bearer sk-two"})
        assert others.status_code == 404
        assert others.json()["error"]["code"] == "decision_not_found"


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    path = write(tmp_path / "keys.yaml", entry("old", "t"))
    keys = KeyFile(path)
    assert keys.tenant_of("old") == "t"
    write(path, entry("new", "t"), entry("newer", "u"))
    assert keys.tenant_of("old") is None
    assert keys.tenant_of("newer") == "u"


def test_a_swapped_link_is_read_again(tmp_path: Path) -> None:
    """How a mounted Secret changes."""
    (tmp_path / "v1").mkdir()
    (tmp_path / "v2").mkdir()
    write(tmp_path / "v1" / "keys.yaml", entry("old", "t"))
    write(tmp_path / "v2" / "keys.yaml", entry("new", "t"))
    link = tmp_path / "data"
    link.symlink_to("v1")
    keys = KeyFile(link / "keys.yaml")
    assert keys.tenant_of("old") == "t"
    (tmp_path / "next").symlink_to("v2")
    (tmp_path / "next").rename(link)
    assert keys.tenant_of("old") is None
    assert keys.tenant_of("new") == "t"


def test_a_broken_or_missing_file_leaves_the_last_good_keys(tmp_path: Path) -> None:
    path = write(tmp_path / "keys.yaml", entry("good", "t"))
    keys = KeyFile(path)
    path.write_text("- sha256: short\n  tenant: t\n")
    assert keys.tenant_of("good") == "t"
    assert keys.tenant_of("short") is None
    path.unlink()
    assert keys.tenant_of("good") == "t"
    write(path, entry("mended", "t"))
    assert keys.tenant_of("mended") == "t"
    assert keys.tenant_of("good") is None


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("- {sha256: abc, tenant: t}", "0.sha256"),
        ("- {sha256: '" + "a" * 64 + "'}", "0.tenant"),
        ("- {sha256: '" + "a" * 64 + "', tenant: '../x'}", "0.tenant"),
        ("- {sha256: '" + "a" * 64 + "', tenant: t, key: plain}", "0.key"),
        ("keys: []", "document"),
        ("[", "keys.yaml"),
    ],
)
def test_a_bad_file_at_the_start_is_refused_and_says_where(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "keys.yaml"
    path.write_text(text)
    with pytest.raises(DataError, match=complaint):
        KeyFile(path)


@pytest.mark.parametrize(
    ("host", "with_file", "require", "needed"),
    [
        ("127.0.0.1", False, "auto", False),
        ("::1", False, "auto", False),
        ("localhost", False, "auto", False),
        ("127.0.0.1", True, "auto", True),
        ("0.0.0.0", True, "auto", True),
        ("0.0.0.0", False, "never", False),
        ("127.0.0.1", True, "always", True),
    ],
)
def test_when_keys_are_needed(tmp_path: Path, host: str, with_file: bool, require: Any, needed: bool) -> None:
    file = write(tmp_path / "keys.yaml", entry("k", "t")) if with_file else None
    settings = GatewaySettings(host=host, api_keys_file=file, require_keys=require)
    authenticator = make_authenticator(settings)
    if needed:
        assert authenticator.tenant([(b"authorization", b"Bearer k")]) == "t"
    else:
        assert authenticator.tenant([]) == "default"


@pytest.mark.parametrize(
    ("host", "require"), [("0.0.0.0", "auto"), ("::", "auto"), ("gateway.example", "auto"), ("127.0.0.1", "always")]
)
def test_without_keys_it_does_not_start_where_they_are_needed(host: str, require: Any) -> None:
    with pytest.raises(DataError, match="api_keys_file"):
        make_authenticator(GatewaySettings(host=host, require_keys=require))
