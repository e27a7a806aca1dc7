"""Types of the request body (https://platform.openai.com/docs/api-reference/chat/create), checked strictly by pydantic.

The dictionaries are validated, not rebuilt: what goes on is what the client wrote. Tags of unions are written in
angle brackets, so that `explain` can take them out of an error's location without mistaking a key for one.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Required

from pydantic import ConfigDict, Discriminator, Field, Tag, TypeAdapter, with_config
from typing_extensions import TypedDict

from kubefugu_core.options import KubefuguOptions

_CLOSED = ConfigDict(extra="forbid", strict=True, use_attribute_docstrings=True)

FunctionName = Annotated[str, Field(pattern=r"^[a-zA-Z0-9_-]+$", min_length=1, max_length=64)]
AuthorName = Annotated[str, Field(pattern=r"^[^\s<|\\/>]+$", min_length=1, max_length=64)]
Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]
_Number = Annotated[float, Field(allow_inf_nan=False)]


def by_role(value: Any) -> str:
    """Tag of a message: its role."""
    found = value.get("role") if isinstance(value, dict) else None
    return f"<{found}>" if isinstance(found, str) else ""


def by_type(value: Any) -> str:
    """Tag of a content part or response format: its type."""
    found = value.get("type") if isinstance(value, dict) else None
    return f"<{found}>" if isinstance(found, str) else ""


def by_shape(value: Any) -> str:
    """Tag of what may be a string, an array or an object."""
    return {str: "<string>", list: "<array>", dict: "<object>"}.get(value.__class__, "")


@with_config(_CLOSED)
class TextPart(TypedDict):
    """Text of a message."""

    type: Literal["text"]
    text: str


@with_config(_CLOSED)
class RefusalPart(TypedDict):
    """A refusal that an assistant gave earlier."""

    type: Literal["refusal"]
    refusal: str


@with_config(_CLOSED)
class ImageUrl(TypedDict, total=False):
    """Where an image is: a web address, or the image itself as a data URL."""

    url: Required[Annotated[str, Field(pattern=r"^(https?://\S|data:image/)")]]
    detail: Literal["auto", "low", "high", "original"]


@with_config(_CLOSED)
class ImagePart(TypedDict):
    """An image. Needs a worker with the capability vision."""

    type: Literal["image_url"]
    image_url: ImageUrl


_Parts = Field(min_length=1, max_length=2048)
_String = Annotated[str, Tag("<string>")]
_Text = Annotated[TextPart, Tag("<text>")]
UserPart = Annotated[_Text | Annotated[ImagePart, Tag("<image_url>")], Discriminator(by_type)]
AssistantPart = Annotated[_Text | Annotated[RefusalPart, Tag("<refusal>")], Discriminator(by_type)]

TextContent = Annotated[_String | Annotated[list[TextPart], _Parts, Tag("<array>")], Discriminator(by_shape)]
UserContent = Annotated[_String | Annotated[list[UserPart], _Parts, Tag("<array>")], Discriminator(by_shape)]
AssistantContent = Annotated[_String | Annotated[list[AssistantPart], _Parts, Tag("<array>")], Discriminator(by_shape)]


@with_config(_CLOSED)
class FunctionCall(TypedDict, total=False):
    """A call that the assistant made: arguments are JSON as text, as the model wrote them."""

    name: Required[Annotated[str, Field(min_length=1)]]
    arguments: Required[str]
    parsed_arguments: Any


@with_config(_CLOSED)
class ToolCall(TypedDict, total=False):
    """One of an assistant's tool calls; the SDKs' assembled ones keep the `index` of their chunks."""

    id: Required[Annotated[str, Field(min_length=1)]]
    type: Required[Literal["function"]]
    function: Required[FunctionCall]
    index: int


@with_config(_CLOSED)
class SystemMessage(TypedDict, total=False):
    """Instructions; developer is OpenAI's newer word for system."""

    role: Required[Literal["system", "developer"]]
    content: Required[TextContent]
    name: AuthorName


@with_config(_CLOSED)
class UserMessage(TypedDict, total=False):
    """What the user says."""

    role: Required[Literal["user"]]
    content: Required[UserContent]
    name: AuthorName


@with_config(_CLOSED)
class AssistantMessage(TypedDict, total=False):
    """An earlier answer. What the SDKs' message objects hold beyond OpenAI's request type is accepted, see `tidy`."""

    role: Required[Literal["assistant"]]
    content: AssistantContent | None
    refusal: str | None
    name: AuthorName | None
    tool_calls: Annotated[list[ToolCall], Field(max_length=128)] | None
    annotations: list[dict[str, Any]] | None
    audio: None
    function_call: None
    reasoning: str | None
    reasoning_content: str | None
    parsed: Any


@with_config(_CLOSED)
class ToolMessage(TypedDict):
    """The result of one tool call."""

    role: Literal["tool"]
    content: TextContent
    tool_call_id: Annotated[str, Field(min_length=1)]


Message = Annotated[
    Annotated[SystemMessage, Tag("<system>")]
    | Annotated[SystemMessage, Tag("<developer>")]
    | Annotated[UserMessage, Tag("<user>")]
    | Annotated[AssistantMessage, Tag("<assistant>")]
    | Annotated[ToolMessage, Tag("<tool>")],
    Discriminator(by_role),
]


@with_config(_CLOSED)
class FunctionDefinition(TypedDict, total=False):
    """A function that the model may call; `parameters` is a JSON schema."""

    name: Required[FunctionName]
    description: str | None
    parameters: dict[str, Any] | None
    strict: bool | None


@with_config(_CLOSED)
class Tool(TypedDict):
    """A function tool. Needs a worker with the capability tools."""

    type: Literal["function"]
    function: FunctionDefinition


@with_config(_CLOSED)
class NamedFunction(TypedDict):
    """The function that must be called."""

    name: FunctionName


@with_config(_CLOSED)
class NamedToolChoice(TypedDict):
    """Forces one function."""

    type: Literal["function"]
    function: NamedFunction


ToolChoice = Annotated[
    Annotated[Literal["none", "auto", "required"], Tag("<string>")] | Annotated[NamedToolChoice, Tag("<object>")],
    Discriminator(by_shape),
]


@with_config(_CLOSED)
class TextFormat(TypedDict):
    """Free text, the default."""

    type: Literal["text"]


@with_config(_CLOSED)
class JsonObjectFormat(TypedDict):
    """Some JSON object. Needs a worker with the capability jsonMode."""

    type: Literal["json_object"]


@with_config(_CLOSED)
class JsonSchema(TypedDict, total=False):
    """The schema that an answer must match."""

    name: Required[FunctionName]
    description: str | None
    schema: dict[str, Any]
    strict: bool | None


@with_config(_CLOSED)
class JsonSchemaFormat(TypedDict):
    """JSON that matches a schema. Needs a worker with the capability jsonSchema."""

    type: Literal["json_schema"]
    json_schema: JsonSchema


ResponseFormat = Annotated[
    Annotated[TextFormat, Tag("<text>")]
    | Annotated[JsonObjectFormat, Tag("<json_object>")]
    | Annotated[JsonSchemaFormat, Tag("<json_schema>")],
    Discriminator(by_type),
]

StopString = Annotated[str, Field(min_length=1, max_length=1024)]
Stop = Annotated[
    Annotated[StopString, Tag("<string>")] | Annotated[list[StopString], Field(max_length=4), Tag("<array>")],
    Discriminator(by_shape),
]


@with_config(_CLOSED)
class StreamOptions(TypedDict, total=False):
    """Options of stream=true."""

    include_usage: bool | None
    include_obfuscation: bool | None


@with_config(_CLOSED)
class ChatBody(TypedDict, total=False):
    """A chat completion request."""

    model: Required[Annotated[str, Field(min_length=1, max_length=256)]]
    messages: Required[Annotated[list[Message], Field(min_length=1)]]
    stream: bool | None
    stream_options: StreamOptions | None
    temperature: Annotated[_Number, Field(ge=0, le=2)] | None
    top_p: Annotated[_Number, Field(ge=0, le=1)] | None
    max_tokens: Annotated[int, Field(ge=1, le=10_000_000)] | None
    max_completion_tokens: Annotated[int, Field(ge=1, le=10_000_000)] | None
    n: Annotated[int, Field(ge=1, le=128)] | None
    seed: Annotated[int, Field(ge=-(2**63), lt=2**63)] | None
    stop: Stop | None
    frequency_penalty: Annotated[_Number, Field(ge=-2, le=2)] | None
    presence_penalty: Annotated[_Number, Field(ge=-2, le=2)] | None
    logit_bias: Annotated[dict[str, Annotated[int, Field(ge=-100, le=100)]], Field(max_length=1024)] | None
    logprobs: bool | None
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None
    tools: Annotated[list[Tool], Field(max_length=128)] | None
    tool_choice: ToolChoice | None
    parallel_tool_calls: bool | None
    response_format: ResponseFormat | None
    reasoning_effort: Effort | None
    modalities: list[Literal["text"]] | None
    kubefugu: dict[str, Any] | None
    user: Annotated[str, Field(max_length=512)] | None
    metadata: Annotated[dict[str, Annotated[str, Field(max_length=512)]], Field(max_length=16)] | None
    service_tier: Literal["auto", "default"] | None
    store: Literal[False] | None
    verbosity: Literal["low", "medium", "high"] | None
    safety_identifier: Annotated[str, Field(max_length=512)] | None
    prompt_cache_key: Annotated[str, Field(max_length=512)] | None
    prompt_cache_retention: Literal["in_memory", "24h"] | None


CHAT_BODY: TypeAdapter[Any] = TypeAdapter(ChatBody)
"""Validates a parsed body in place; its result is not used."""


def chat_request_json_schema() -> dict[str, Any]:
    """JSON schema of the body, for the OpenAPI page."""
    schema = CHAT_BODY.json_schema()
    options = KubefuguOptions.model_json_schema(ref_template="#/$defs/{model}")
    schema["$defs"].update(options.pop("$defs", {}))
    schema["$defs"]["KubefuguOptions"] = options
    schema["properties"]["kubefugu"] = {"anyOf": [{"$ref": "#/$defs/KubefuguOptions"}, {"type": "null"}]}
    return schema
