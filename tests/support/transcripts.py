"""Seeded transcripts of every kind that a router meets: languages, emoji, code, tool messages, white space, many turns."""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np

Message = tuple[str, str]

_PIECES = {
    "english": "What is the capital of France, and how far is it from Berlin by train? ",
    "german": "Löse die Gleichung x² − 4 = 0 über ℝ und erkläre jeden Schritt ausführlich. ",
    "french": "Où se trouve la bibliothèque d'Alexandrie, s'il vous plaît ? ",
    "russian": "Сколько будет семнадцать плюс двадцать пять? Ответь кратко. ",
    "chinese": "请把下面的句子翻译成英文：今天天气很好，我们去公园散步吧。",
    "japanese": "次の文を英語に翻訳してください。猫が好きです。",
    "arabic": "ما هي عاصمة مصر؟ أجب بجملة واحدة من فضلك. ",
    "hindi": "भारत की राजधानी क्या है? संक्षेप में उत्तर दें। ",
    "emoji": "🙂👩‍👩‍👧‍👦🏳️‍🌈 ship it 🚀🚀 ¯\\_(ツ)_/¯ ",
    "code": "def f(x: int) -> int:\n    return x ** 2 if x > 0 else -x\n\nassert f(3) == 9  # ok\n",
    "space": " \t \n\n   \r\n \u00a0\u2003 word      ",
    "control": "\x00\x07 zero\u200bwidth \ufeff <|im_end|> <think> user: nested\nassistant: text ",
    "digits": "3.14159 26535 89793 = 1e-10; 2^64 = 18446744073709551616; ",
}


@dataclass(frozen=True)
class Transcript:
    """One turn of a conversation."""

    conversation: int
    turn: int
    messages: tuple[Message, ...]
    kind: str


def transcripts(count: int, *, seed: int, max_bytes: int = 1500) -> list[Transcript]:
    """`count` transcripts, conversation by conversation, each turn extending the one before.

    Lengths are log-uniform up to `max_bytes` of UTF-8 a conversation (at most as many tokens for a byte-level tokenizer); one
    conversation in twenty has the full length.
    """
    rng = np.random.default_rng(seed)
    kinds = list(_PIECES)
    out: list[Transcript] = []
    conversation = 0
    while len(out) < count:
        kind = kinds[conversation % len(kinds)]
        target = max_bytes if conversation % 20 == 7 else int(np.exp(rng.uniform(0, np.log(max_bytes))))
        turns = int(rng.integers(1, 6))
        messages: list[Message] = []
        for turn in range(turns):
            messages = [*messages, *_turn(rng, kind, turn, max(1, target // turns))]
            out.append(Transcript(conversation, turn, tuple(messages), kind))
        conversation += 1
    return out[:count]


def _turn(rng: np.random.Generator, kind: str, turn: int, length: int) -> list[Message]:
    """What a turn adds: a system text now and then, a question, or an answer with thoughts and tool messages."""
    text = _text(rng, kind, length)
    if turn == 0:
        system = [("system", "You are terse.")] if rng.random() < 0.3 else []
        return [*system, ("user", text)]
    added: list[Message] = []
    if rng.random() < 0.3:
        call = json.dumps({"name": "search", "arguments": {"q": text[:20], "n": int(rng.integers(10))}}, ensure_ascii=False)
        added += [("assistant", call), ("tool", json.dumps({"rows": [int(n) for n in rng.integers(0, 99, size=3)]}))]
    thought = f"<reference_thought_{turn}>{text[: length // 2]}</reference_thought_{turn}>"
    return [*added, ("assistant", thought), ("user", text[length // 2 :] or ".")]


def _text(rng: np.random.Generator, kind: str, length: int) -> str:
    piece = _PIECES[kind]
    start = int(rng.integers(0, len(piece)))
    noise = "".join(chr(int(c)) for c in rng.integers(97, 123, size=6))
    whole = (piece[start:] + noise + piece * (1 + length // len(piece))).encode()[:length]
    return whole.decode(errors="ignore") or "."
