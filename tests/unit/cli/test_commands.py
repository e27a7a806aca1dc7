"""The command tree: what loads at start, exit codes, sentences instead of tracebacks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from kubefugu_cli.commands.forward import trainer_command
from kubefugu_cli.console import age
from kubefugu_cli.main import app

_HEAVY = ("torch", "transformers", "numpy", "grpc", "pydantic", "httpx", "aiohttp", "pandas")


def kubefugu(*arguments: str, home: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command as a process, with a cache of its own."""
    return subprocess.run(
        [sys.executable, "-m", "kubefugu_cli", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "KUBEFUGU_HOME": str(home), **environment},
        check=False,
    )


def test_the_start_loads_no_heavy_package() -> None:
    code = f"import sys, kubefugu_cli.main; print([name for name in {_HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


def test_help_names_every_command() -> None:
    text = CliRunner().invoke(app, ["--help"]).output
    for command in ("up", "down", "status", "chat", "route", "plan", "pool", "policy", "models", "train", "eval", "outcomes"):
        assert f" {command} " in text


@pytest.mark.parametrize("group", ["pool", "policy", "models", "up", "chat", "route"])
def test_help_of_a_command_needs_no_configuration(group: str, tmp_path: Path) -> None:
    assert kubefugu(group, "--help", home=tmp_path).returncode == 0


def test_nothing_running_is_said_and_down_is_repeatable(tmp_path: Path) -> None:
    status = kubefugu("status", home=tmp_path)
    assert status.returncode == 1
    assert "not running" in status.stdout
    assert json.loads(kubefugu("status", "--json", home=tmp_path).stdout) == {"running": False}
    for _ in range(2):
        down = kubefugu("down", home=tmp_path)
        assert (down.returncode, down.stdout) == (0, "kubefugu is not running.\n")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("route", "where?"), "No local stack runs here"),
        (("policy", "list"), "No local stack runs here"),
        (("plan", "build it"), "No local stack runs here"),
        (("chat", "hello", "--url", "http://127.0.0.1:9"), "No gateway answers at http://127.0.0.1:9"),
        (("pool", "check", "nowhere.yaml"), "There is no pool file nowhere.yaml"),
        (("models", "fetch", "nonsense"), "There is no model named 'nonsense'"),
        (("up", "--pool", "nowhere.yaml"), "There is no pool file nowhere.yaml"),
    ],
)
def test_failures_are_sentences_with_exit_code_1(arguments: tuple[str, ...], sentence: str, tmp_path: Path) -> None:
    done = kubefugu(*arguments, home=tmp_path)
    assert done.returncode == 1
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr


def test_a_wrong_command_line_has_exit_code_2(tmp_path: Path) -> None:
    assert kubefugu("up", "--port", "99999999", home=tmp_path).returncode == 2


def test_a_broken_pool_file_names_its_field(tmp_path: Path) -> None:
    path = tmp_path / "pool.yaml"
    path.write_text("apiVersion: kubefugu.dev/v1alpha1\nkind: WorkerPool\nmetadata: {name: p}\nspec: {workers: []}\n")
    done = kubefugu("up", "--pool", str(path), home=tmp_path / "home")
    assert done.returncode == 1
    assert "spec.workers" in done.stderr


def test_the_trainers_commands_get_every_argument_unread() -> None:
    command = trainer_command("train", ["supervised", "--help", "--data", "x.parquet"])
    assert command == [sys.executable, "-P", "-m", "kubefugu_trainer", "train", "supervised", "--help", "--data", "x.parquet"]


def test_models_are_listed_with_what_the_cache_holds(tmp_path: Path) -> None:
    models = json.loads(kubefugu("models", "list", "--json", home=tmp_path).stdout)
    assert {"smollm2-135m-instruct", "qwen3-tokenizer"} <= {model["name"] for model in models}
    assert not any(model["fetched"] for model in models)


@pytest.mark.parametrize(("seconds", "text"), [(3.9, "3 s"), (65, "1 min 5 s"), (7260, "2 h 1 min"), (180_000, "2 d 2 h")])
def test_durations_are_told_in_two_units(seconds: float, text: str) -> None:
    assert age(seconds) == text
