"""Ids of tool calls that a parked workflow hands to the client: 40 characters that authenticate the workflow they belong to.

    "kfw_" + base64url(12 bytes workflow id | 1 byte call number | 14 bytes HMAC-SHA256, truncated)

40 is the longest id that OpenAI's own API accepts. The HMAC covers the tenant, so that an id is worth nothing to another one.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from dataclasses import dataclass

PREFIX = "kfw_"
WORKFLOW_ID_BYTES = 12
MAX_CALLS = 256
"""Tool calls that one parked workflow can wait for."""
_MAC_BYTES = 14
_LENGTH = WORKFLOW_ID_BYTES + 1 + _MAC_BYTES


@dataclass(frozen=True, slots=True)
class ToolCallRef:
    """What an authentic id says."""

    workflow_id: str
    """Hexadecimal."""
    call: int


class ToolCallIds:
    """Mints and reads ids under one secret, which all replicas share."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def __repr__(self) -> str:
        return "ToolCallIds()"

    def mint(self, tenant: str, workflow_id: str, call: int) -> str:
        """The id of a workflow's call. Raises ValueError for a call number or workflow id out of range."""
        if not 0 <= call < MAX_CALLS:
            raise ValueError(f"a parked workflow has at most {MAX_CALLS} tool calls")
        body = bytes.fromhex(workflow_id) + bytes([call])
        if len(body) != WORKFLOW_ID_BYTES + 1:
            raise ValueError(f"a workflow id has {WORKFLOW_ID_BYTES} bytes")
        return PREFIX + base64.urlsafe_b64encode(body + self._mac(tenant, body)).decode("ascii")

    def read(self, tenant: str, call_id: str) -> ToolCallRef | None:
        """What the id refers to; None where it is not one of ours for this tenant."""
        if not call_id.startswith(PREFIX):
            return None
        try:
            encoded = call_id[len(PREFIX) :].encode("ascii")
            raw = base64.urlsafe_b64decode(encoded)
        except (binascii.Error, UnicodeEncodeError):
            return None
        if base64.urlsafe_b64encode(raw) != encoded:
            return None  # another spelling of the same bytes
        body, mac = raw[: WORKFLOW_ID_BYTES + 1], raw[WORKFLOW_ID_BYTES + 1 :]
        if len(raw) != _LENGTH or not hmac.compare_digest(mac, self._mac(tenant, body)):
            return None
        return ToolCallRef(body[:WORKFLOW_ID_BYTES].hex(), body[WORKFLOW_ID_BYTES])

    def _mac(self, tenant: str, body: bytes) -> bytes:
        # The tenant comes last and everything before it has a fixed length, so no two pairs give the same message.
        return hmac.new(self._secret, b"kubefugu-tool-call" + body + tenant.encode(), hashlib.sha256).digest()[:_MAC_BYTES]
