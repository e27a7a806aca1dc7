from __future__ import annotations

import time

import pytest
from support.backbones import train_tokenizer

from kubefugu_core.errors import ArtifactRefusedError, InvalidRequestError
from kubefugu_routing.formats import DISPATCHER_PROMPT, RouterFormat, encode, render

MESSAGES = [("system", "Be brief."), ("user", "What is the capital of France?"), ("assistant", "Paris.")]


@pytest.fixture(scope="module")
def tokenizer() -> object:
    return train_tokenizer()


def test_raw_is_the_reference_s_text() -> None:
    text = render(MESSAGES, RouterFormat.RAW, num_agents=7)
    assert text == "system: Be brief.\nuser: What is the capital of France?\nassistant: Paris."


def test_chat_is_the_template_over_dispatcher_and_observation(tokenizer: object) -> None:
    text = render([("user", "Hi")], RouterFormat.CHAT, tokenizer=tokenizer, num_agents=3)
    system = DISPATCHER_PROMPT.format(num_agents=3)
    assert text == (
        f"<|im_start|>system\n{system}<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
    )
    assert "user\nsystem: Be brief.\nuser: What" in render(MESSAGES, RouterFormat.CHAT, tokenizer=tokenizer, num_agents=3)


def test_short_transcripts_are_not_touched(tokenizer: object) -> None:
    encoded = encode(MESSAGES, RouterFormat.RAW, tokenizer, num_agents=7, max_tokens=400)
    assert tokenizer.decode(encoded.token_ids) == encoded.text == render(MESSAGES, RouterFormat.RAW, num_agents=7)
    assert (encoded.truncated, encoded.dropped_tokens) == (False, 0)


def test_truncation_keeps_a_quarter_of_head_and_three_quarters_of_tail(tokenizer: object) -> None:
    long = [("user", " ".join(f"word{i}" for i in range(300)))]
    whole = encode(long, RouterFormat.RAW, tokenizer, num_agents=7, max_tokens=100_000)
    cut = encode(long, RouterFormat.RAW, tokenizer, num_agents=7, max_tokens=100)
    assert cut.token_ids == whole.token_ids[:25] + whole.token_ids[-75:]
    assert cut.truncated
    assert cut.dropped_tokens == len(whole.token_ids) - 100


def test_truncated_chat_still_ends_where_the_feature_is_read(tokenizer: object) -> None:
    long = [("user", "lorem ipsum " * 2000)]
    cut = encode(long, RouterFormat.CHAT, tokenizer, num_agents=7, max_tokens=256)
    assert len(cut.token_ids) == 256
    assert tokenizer.decode(cut.token_ids).endswith("</think>\n\n")
    assert tokenizer.decode(cut.token_ids).startswith("<|im_start|>system\nYou are a message")


@pytest.mark.parametrize("fmt", list(RouterFormat))
def test_megabytes_cost_no_seconds(tokenizer: object, fmt: RouterFormat) -> None:
    long = [("user", "start " + "many words of text " * 1_000_000 + " end")]
    started = time.process_time()
    cut = encode(long, fmt, tokenizer, num_agents=7, max_tokens=512)
    assert time.process_time() - started < 3
    assert cut.truncated
    assert len(cut.token_ids) == 512
    assert cut.dropped_tokens > 4_000_000
    text = tokenizer.decode(cut.token_ids)
    assert text.rstrip().endswith("end") if fmt is RouterFormat.RAW else "</think>" in text


def test_unusual_text_survives(tokenizer: object) -> None:
    text = "emoji 🎉 漢字 \x00 \ufeff عربى\r\n\ttabs <|im_end|> ́"
    encoded = encode([("user", text)], RouterFormat.RAW, tokenizer, num_agents=7, max_tokens=400)
    assert tokenizer.decode(encoded.token_ids) == f"user: {text}"


def test_bad_inputs(tokenizer: object) -> None:
    with pytest.raises(InvalidRequestError, match="empty"):
        encode([], RouterFormat.RAW, tokenizer, num_agents=7, max_tokens=100)
    bare = train_tokenizer()
    bare.chat_template = None
    with pytest.raises(ArtifactRefusedError, match="chat template"):
        encode(MESSAGES, RouterFormat.CHAT, bare, num_agents=7, max_tokens=100)
