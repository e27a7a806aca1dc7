"""Programs, checked by unit tests in a sandbox."""

from __future__ import annotations

import re
from dataclasses import dataclass

from kubefugu_trainer.tasks.sandbox import DEFAULT_BOUNDS, Bounds, Outcome, run

_BLOCK = re.compile(r"```(?:[Pp]ython3?|py)?[ \t]*\n(.*?)(?:```|\Z)", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeTests:
    """A Python program whose unit tests must run to their end."""

    tests: str
    """Statements that raise where the program is wrong; they see its names."""
    prelude: str = ""
    """Program text before the reply, e.g. the imports and the signature that the question gave."""
    bounds: Bounds = DEFAULT_BOUNDS

    def score(self, prompt: str, reply: str) -> float:
        """1 if the tests pass with the reply's program, alone or after the prelude."""
        for program in self._programs(reply):
            if run(program, self.tests, bounds=self.bounds) is Outcome.PASSED:
                return 1.0
        return 0.0

    def _programs(self, reply: str) -> list[str]:
        blocks = [block for block in _BLOCK.findall(reply) if block.strip()]
        text = "\n".join(blocks) if blocks else reply
        if not text.strip():
            return []
        programs = [f"{self.prelude}\n{text}"]
        if self.prelude:
            programs.append(f"{self.prelude}{text}")  # a completion that goes on where the signature ended
            programs.append(text)
        return [program for program in dict.fromkeys(programs) if _compiles(program)]


def _compiles(program: str) -> bool:
    try:
        compile(program, "<reply>", "exec")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True
