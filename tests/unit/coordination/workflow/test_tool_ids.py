"""Ids that authenticate a parked workflow: they read back, and nothing else does."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubefugu_coordination.workflow.tool_ids import MAX_CALLS, ToolCallIds, ToolCallRef

IDS = ToolCallIds(b"a secret")
WORKFLOWS = st.binary(min_size=12, max_size=12).map(bytes.hex)


@given(st.text(max_size=20), WORKFLOWS, st.integers(0, MAX_CALLS - 1))
def test_an_id_reads_back_for_its_tenant_only(tenant: str, workflow_id: str, call: int) -> None:
    minted = IDS.mint(tenant, workflow_id, call)
    assert len(minted) == 40, "OpenAI's API refuses longer ids"
    assert IDS.read(tenant, minted) == ToolCallRef(workflow_id, call)
    assert IDS.read(tenant + "x", minted) is None
    assert ToolCallIds(b"another secret").read(tenant, minted) is None


@given(WORKFLOWS, st.integers(0, 39), st.characters(codec="ascii"))
def test_changing_any_character_makes_it_worthless(workflow_id: str, position: int, char: str) -> None:
    minted = IDS.mint("acme", workflow_id, 7)
    forged = minted[:position] + char + minted[position + 1 :]
    assert IDS.read("acme", forged) == (ToolCallRef(workflow_id, 7) if forged == minted else None)


@given(st.text(max_size=60))
def test_foreign_ids_are_not_ours(text: str) -> None:
    assert IDS.read("acme", text) is None
    assert IDS.read("acme", "kfw_" + text) is None


def test_ids_out_of_range_cannot_be_minted() -> None:
    with pytest.raises(ValueError, match="at most 256"):
        IDS.mint("acme", "00" * 12, 256)
    with pytest.raises(ValueError, match="12 bytes"):
        IDS.mint("acme", "00", 0)
