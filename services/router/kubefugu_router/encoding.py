"""Tokenising off the event loop: one thread, because a tokenizer serves one caller at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from kubefugu_routing.formats import Encoded, Message, Tokenizer, encode
from kubefugu_routing.policy import PolicyArtifact


class Encoder:
    """Turns transcripts into token ids in an artifact's format, cut to `max_tokens`."""

    def __init__(self, tokenizer: Tokenizer, *, max_tokens: int) -> None:
        self._tokenizer = tokenizer
        self._max_tokens = max_tokens
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="router-tokenizer")

    async def encode(self, transcript: Sequence[Message], artifact: PolicyArtifact) -> Encoded:
        """Raises InvalidRequestError for an empty transcript, ArtifactRefusedError for chat without a template."""

        def work() -> Encoded:
            return encode(
                transcript,
                artifact.input_format,
                self._tokenizer,
                num_agents=artifact.num_agents,
                max_tokens=self._max_tokens,
            )

        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def close(self) -> None:
        """Stop the thread."""
        self._thread.shutdown(wait=False, cancel_futures=True)
