"""The 37 recorded routing cases: token counts with the Qwen tokenizer, and the choice from the recorded logits."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from support.paths import shared

from kubefugu_core.pool import Role
from kubefugu_routing.formats import RouterFormat, encode
from kubefugu_routing.selection import ROLES, Offer, select

WORKERS = [(f"w{i}", f"m{i}") for i in range(7)]
OFFERS = [Offer(name, model) for name, model in WORKERS]


def cases() -> list[tuple[dict[str, Any], dict[str, Any]]]:
    inputs = json.loads(shared("data", "qwen_router_prompt_eval_cases.json").read_text())["cases"]
    recorded = {c["id"]: c for c in json.loads(shared("data", "qwen_router_prompt_eval_logits.json").read_text())["cases"]}
    assert len(inputs) == 37
    return [(case, recorded[case["id"]]) for case in inputs]


@pytest.fixture
def qwen3_tokenizer(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.delenv("KUBEFUGU_HOME", raising=False)
    from transformers import AutoTokenizer

    from kubefugu_core.models import fetch, is_fetched

    if not is_fetched("qwen3-tokenizer"):
        pytest.skip("needs the Qwen3 tokenizer: kubefugu models fetch qwen3-tokenizer")
    path = fetch("qwen3-tokenizer")
    return AutoTokenizer.from_pretrained(path if path.is_dir() else path.parent)


def test_raw_format_gives_all_37_recorded_token_counts(qwen3_tokenizer: Any) -> None:
    for case, recorded in cases():
        messages = [(m["role"], m["content"]) for m in case["messages"]]
        encoded = encode(messages, RouterFormat.RAW, qwen3_tokenizer, num_agents=7, max_tokens=4096)
        assert len(encoded.token_ids) == recorded["token_count"], case["id"]
        assert not encoded.truncated


def test_chat_format_ends_in_a_closed_empty_thought(qwen3_tokenizer: Any) -> None:
    encoded = encode([("user", "What is 2+2?")], RouterFormat.CHAT, qwen3_tokenizer, num_agents=7, max_tokens=4096)
    assert qwen3_tokenizer.convert_ids_to_tokens(encoded.token_ids[-2]) == "</think>"
    assert "coordinate 7 agents" in encoded.text


def test_selection_gives_all_37_recorded_choices() -> None:
    for case, recorded in cases():
        logits = np.array(recorded["agent_logits_rounded"] + recorded["role_logits_rounded"])
        chosen = select(logits, WORKERS, has_roles=True, offers=OFFERS)
        assert chosen.worker == f"w{recorded['agent_id']}", case["id"]
        assert chosen.role is ROLES[recorded["role_id"]], case["id"]


def test_a_masked_winner_gives_way_to_the_runner_up() -> None:
    for _, recorded in cases():
        agents = np.array(recorded["agent_logits_rounded"])
        logits = np.concatenate([agents, recorded["role_logits_rounded"]])
        first, second = np.argsort(-agents)[:2]
        offers = [offer for i, offer in enumerate(OFFERS) if i != first]
        assert select(logits, WORKERS, has_roles=True, offers=offers).worker == f"w{second}"
        role = ROLES[recorded["role_id"]]
        others = frozenset(ROLES) - {role}
        assert select(logits, WORKERS, has_roles=True, offers=[Offer(n, m, others) for n, m in WORKERS]).role in others
    assert Role.SOLVER is ROLES[0]
