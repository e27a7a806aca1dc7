"""A little world for live episodes: a question file, a pool of scripted workers, a tiny backbone and a stage-1 artifact.

`calc` is a specialist that gives the right number in a sentence and takes no second look; `form` puts into JSON what it is
shown, alone it guesses; it may check too, and accepts what is right. A JSON question needs both, one after the other.
"""

from __future__ import annotations

import asyncio
import json
import re
import threading
from pathlib import Path
from typing import Any, Self

import numpy as np
import yaml

from kubefugu_routing.backbone import load_backbone
from kubefugu_routing.formats import RouterFormat
from kubefugu_routing.policy import PolicyArtifact, WorkerRow, save_artifact
from kubefugu_routing.svf import default_layer
from support.evolution import write_backbone
from support.upstream import Script, Upstream

WORKERS = ("calc", "form", "idle")


def truth(text: str) -> int:
    """The number that a question asks for."""
    found = re.search(r"what is (\d+) plus (\d+)", text)
    assert found, text
    return int(found[1]) + int(found[2])


def respond(body: dict[str, Any]) -> Script:
    """What the workers say; a function of the request alone."""
    text = body["messages"][-1]["content"]
    if body["model"] == "idle":
        return Script(text=None, refusal="Not mine.")
    if body["model"] == "calc":
        return Script(text=None, refusal="Not mine.") if "reference_thought" in text else Script(text=f"It is {truth(text)}.")
    if "ACCEPT" in text:
        return Script(text="ACCEPT" if f"It is {truth(text)}." in text else "REJECT")
    shown = re.search(r"<reference_thought_0>\nIt is (\d+)", text)
    return Script(text=json.dumps({"answer": shown[1] if shown else "7"}))


class WorldServer:
    """The workers' server in a thread of its own; `stop` makes it unreachable, `start` brings it back on its port."""

    def __init__(self) -> None:
        self.upstream = Upstream(respond=respond)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def calls(self) -> int:
        return len(self.upstream.requests)

    def start(self) -> None:
        asyncio.run_coroutine_threadsafe(self.upstream.__aenter__(), self._loop).result(10)

    def stop(self) -> None:
        asyncio.run_coroutine_threadsafe(self.upstream.__aexit__(None), self._loop).result(10)


def write_questions(path: Path, *, count: int = 24) -> Path:
    """A question file of sums."""
    with path.open("w", encoding="utf-8") as file:
        for i in range(count):
            file.write(json.dumps({"prompt": f"what is {11 + 3 * i} plus {8 + i}", "answer": str(19 + 4 * i)}) + "\n")
    return path


def write_pool(path: Path, url: str) -> Path:
    """The pool: two specialists that solve, and `form`, which may do everything."""
    workers = [
        {"name": name, "model": name, "url": url, "contextTokens": 4096, "specialist": name != "form",
         "fallback": name == "form", "roles": ["solver", "thinker", "verifier"] if name == "form" else ["solver"]}
        for name in WORKERS
    ]  # fmt: skip
    manifest = {
        "apiVersion": "kubefugu.dev/v1alpha1", "kind": "WorkerPool", "metadata": {"name": "little"},
        "spec": {"workers": workers, "routing": {"maxTurns": 5}},
    }  # fmt: skip
    path.write_text(yaml.safe_dump(manifest))
    return path


def write_stage1(path: Path, backbone: Path, *, seed: int = 0) -> Path:
    """A head that prefers calc everywhere, with a little noise; no role rows."""
    info = load_backbone(str(backbone)).info
    rng = np.random.default_rng(seed)
    head = rng.normal(size=(len(WORKERS), info.hidden_size)).astype(np.float32) * 0.01
    rows = tuple(WorkerRow(name, name) for name in WORKERS)
    artifact = PolicyArtifact(
        info.id, info.revision, default_layer(info), head, rows, roles=False, input_format=RouterFormat.RAW
    )
    save_artifact(path, artifact)
    return path


def write_world(folder: Path, url: str) -> Path:
    """Everything in a folder: model/, questions.jsonl, pool.yaml, stage1.safetensors."""
    write_backbone(folder / "model")
    write_questions(folder / "questions.jsonl")
    write_pool(folder / "pool.yaml", url)
    write_stage1(folder / "stage1.safetensors", folder / "model")
    return folder
