"""An engine that hangs, dies, raises or eats memory on request; for the sandbox's tests."""

from __future__ import annotations

import os
import time

from kubefugu_experts.engines.base import Answer, Question, Reply


class MisbehavingEngine:
    """Does what the question says."""

    def answer(self, question: Question) -> Reply:
        match question.text:
            case "hang":
                while True:
                    pass
            case "sleep":
                time.sleep(600)
                return Answer("awake")
            case "die":
                os._exit(1)
            case "raise":
                raise ValueError("a defect")
            case "memory":
                return Answer(str(len(b"x" * (8 << 30))))
            case _:
                return Answer(str(os.getpid()))


def make_engine() -> MisbehavingEngine:
    """Build the engine."""
    return MisbehavingEngine()
