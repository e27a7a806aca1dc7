"""Sizes that a request may not exceed, whatever it contains."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatLimits:
    """Bounds of one request. The defaults are OpenAI's where OpenAI publishes one."""

    max_body_bytes: int = 20 * 1024 * 1024
    """Bytes of the JSON body, images as data URLs included; below the 32 MiB of one gRPC message."""
    max_messages: int = 2048
    """Messages of the conversation."""
    max_depth: int = 128
    """Nesting of objects and arrays; tool parameters and response schemas are the deep ones."""
