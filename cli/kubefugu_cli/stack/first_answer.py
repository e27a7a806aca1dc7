"""The first question to a fresh stack, and the lines that tell how to ask more."""

from __future__ import annotations

import time

from rich.console import Console
from rich.padding import Padding
from rich.syntax import Syntax

from kubefugu_cli.clients.gateway import Completion, GatewayClient
from kubefugu_cli.console import note, out
from kubefugu_cli.stack.model import StackState
from kubefugu_core.errors import KubefuguError

_ANSWER_TOKENS = 64
_TIMEOUT_S = 120.0


def ask_first(state: StackState, *, question: str, command_name: str) -> None:
    """Ask through the gateway and print the answer, who gave it, and what to do next.

    A stack whose workers do not answer is up all the same (its remote workers may be down): that is a note, no failure.
    """
    console = out()
    console.print(f"[bold green]kubefugu is up:[/] {state.url}  (pool {state.pool_name})")
    if question:
        started = time.monotonic()
        try:
            with GatewayClient(state.url, timeout_s=_TIMEOUT_S) as client:
                completion = client.complete([{"role": "user", "content": question}], model="fugu", max_tokens=_ANSWER_TOKENS)
        except KubefuguError as error:
            note(f"The first question got no answer: {error.message}")
            note("`kubefugu pool check` calls each worker and says what is wrong.")
        else:
            _print_answer(console, question, completion, took_s=time.monotonic() - started)
    _print_next(console, state.url, command_name)


def _print_answer(console: Console, question: str, completion: Completion, *, took_s: float) -> None:
    console.print(f"\n[dim]asked[/]   {question}")
    console.print("[dim]answer[/] ", end=" ")
    console.print(completion.text.strip(), style="bold", markup=False)
    by = completion.by
    role = f" as {by.role}" if by.role else ""
    policy = f", policy {by.policy_version}" if by.policy_version else ", no policy"
    console.print(f"[dim]from[/]    {by.worker}{role}{policy}, {took_s:.2f} s")
    console.print(f"[dim]record[/]  {by.decision_id}")


def _print_next(console: Console, url: str, command_name: str) -> None:
    curl = (
        f"curl -s {url}/v1/chat/completions -H 'content-type: application/json' \\\n"
        """  -d '{"model": "fugu", "messages": [{"role": "user", "content": "How many kilometres are 26.2 miles?"}]}'"""
    )
    python = (
        "from openai import OpenAI\n"
        f'client = OpenAI(base_url="{url}/v1", api_key="none")\n'
        'answer = client.chat.completions.create(model="fugu", messages=[{"role": "user", "content": "Solve x^2 = 9"}])\n'
        "print(answer.choices[0].message.content)"
    )
    console.print("\nAsk more:")
    for text, language in ((curl, "bash"), (python, "python")):
        if console.is_terminal:
            console.print(Padding(Syntax(text, language, background_color="default", word_wrap=False), (0, 0, 0, 2)))
        else:
            console.print("\n".join(f"  {line}" for line in text.splitlines()), markup=False, soft_wrap=True)
        console.print()
    console.print(f"  {command_name} chat        talk to it", markup=False)
    console.print(f"  {command_name} status      what runs", markup=False)
    console.print(f"  {command_name} down        end it", markup=False)
