"""The conversation of `kubefugu chat`: one question, or a dialogue that keeps its history."""

from __future__ import annotations

import contextlib
import sys
from dataclasses import dataclass, field
from typing import Any

from kubefugu_cli.clients.gateway import Answered, GatewayClient
from kubefugu_cli.console import err, fail, note, out, print_json
from kubefugu_core.errors import KubefuguError

_HELP = "/model NAME asks another model, /reset forgets the conversation, /exit ends. Ctrl-C stops an answer."


@dataclass
class Conversation:
    """Messages so far, and how they are sent."""

    client: GatewayClient
    model: str
    options: dict[str, Any]
    system: str = ""
    history: list[dict[str, str]] = field(default_factory=list)

    def messages(self, question: str) -> list[dict[str, str]]:
        """What is sent for the next question."""
        head = [{"role": "system", "content": self.system}] if self.system else []
        return [*head, *self.history, {"role": "user", "content": question}]

    def ask(self, question: str) -> None:
        """Stream one answer to standard output. Only a whole answer enters the history."""
        pieces: list[str] = []
        with self.client.stream(self.messages(question), model=self.model, **self.options) as stream:
            for piece in stream:
                pieces.append(piece)
                sys.stdout.write(piece)
                sys.stdout.flush()
        sys.stdout.write("\n")
        sys.stdout.flush()
        self.history += [{"role": "user", "content": question}, {"role": "assistant", "content": "".join(pieces)}]
        err().print(signature(stream.by, stream.usage), style="dim", markup=False)


def signature(by: Answered, usage: dict[str, Any]) -> str:
    """One line that says who answered."""
    parts = [f"worker {by.worker}" if by.worker else "", by.decision_id]
    if by.turns not in ("", "1"):
        parts.append(f"{by.turns} turns")
    if usage.get("total_tokens"):
        parts.append(f"{usage['total_tokens']} tokens")
    return " · ".join(part for part in parts if part)


def run(*, message: str, model: str, system: str, options: dict[str, Any], url: str, api_key: str, json_output: bool) -> None:
    """One question if there is one (an argument, or standard input that is no terminal), else a dialogue."""
    if not message and not sys.stdin.isatty():
        message = sys.stdin.read().strip()
        if not message:
            fail("There is no question.")
    with GatewayClient(url, api_key=api_key) as client:
        conversation = Conversation(client=client, model=model, options=options, system=system)
        if message and json_output:
            completion = client.complete(conversation.messages(message), model=model, **options)
            print_json({**completion.body, "answered_by": vars(completion.by)})
        elif message:
            conversation.ask(message)
        elif json_output:
            fail("--json needs a message.", code=2)
        else:
            talk(conversation)


def talk(conversation: Conversation) -> None:
    """The dialogue. Ends at /exit, Ctrl-D, or Ctrl-C at the prompt; a failed answer does not end it."""
    with contextlib.suppress(ImportError):
        import readline  # noqa: F401 - editing and history for input()
    out().print(f"{conversation.model} at {conversation.client.url}. {_HELP}", style="dim", markup=False)
    while True:
        try:
            line = input("> ").strip()
        except (EOFError, KeyboardInterrupt):
            out().print()
            return
        if not line:
            continue
        if line in ("/exit", "/quit"):
            return
        if line.startswith("/"):
            _command(conversation, line)
            continue
        try:
            conversation.ask(line)
        except KeyboardInterrupt:
            note("\nstopped")
        except KubefuguError as error:
            err().print(error.message, style="red", markup=False)


def _command(conversation: Conversation, line: str) -> None:
    word, _, rest = line.partition(" ")
    if word == "/model" and rest.strip():
        conversation.model = rest.strip()
        note(f"asking {conversation.model} from now on")
    elif word == "/reset":
        conversation.history.clear()
        note("forgotten")
    else:
        note(_HELP)
