"""The chat completion request: read once, checked in OpenAI's terms, and what it needs from a worker.

`parse_chat_request` is the one entry; the gateway calls it on what clients send and the executor on what the gateway hands
down, so both hold the same `ChatRequest`. Nothing here knows the pool: whether a model exists or a worker has a capability
is the executor's to say.
"""

from kubefugu_core.chat.limits import ChatLimits
from kubefugu_core.chat.needs import capability_needs
from kubefugu_core.chat.request import GATEWAY_FIELDS, ChatRequest, is_coordinated, parse_chat_request
from kubefugu_core.chat.schema import chat_request_json_schema

__all__ = [
    "GATEWAY_FIELDS",
    "ChatLimits",
    "ChatRequest",
    "capability_needs",
    "chat_request_json_schema",
    "is_coordinated",
    "parse_chat_request",
]
