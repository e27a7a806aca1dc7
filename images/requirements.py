"""Prints what others wrote of the distributions that are given: pyproject.toml files, and names of extras to take with them.

    python requirements.py core.toml trainer.toml evolution

Installed in a layer of its own, so that a change of our code leaves it as it is.
"""

import sys
import tomllib
from pathlib import Path


def requirements(project: dict, extras: set[str]) -> list[str]:
    """Requirements of a `project` table without our own distributions."""
    optional = project.get("optional-dependencies", {})
    found = [*project.get("dependencies", []), *(name for extra in extras for name in optional.get(extra, []))]
    return [name for name in found if not name.startswith("kubefugu")]


files = [Path(argument) for argument in sys.argv[1:] if argument.endswith(".toml")]
chosen = {argument for argument in sys.argv[1:] if not argument.endswith(".toml")}
for file in files:
    print(*requirements(tomllib.loads(file.read_text(encoding="utf-8"))["project"], chosen), sep="\n")
