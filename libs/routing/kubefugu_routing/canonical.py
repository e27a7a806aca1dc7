"""safetensors files whose bytes depend on nothing but their content, so that a hash names them."""

from __future__ import annotations

import json
import struct


def canonical(raw: bytes) -> bytes:
    """Sort the metadata keys of a safetensors file, whose writer leaves them in hash order."""
    length = struct.unpack("<Q", raw[:8])[0]
    header = json.loads(raw[8 : 8 + length])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + raw[8 + length :]
