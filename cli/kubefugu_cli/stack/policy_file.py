"""The policy set that a stack's router starts with.

`up` declares the pool's trained head. A set that the user declared since (`kubefugu policy set`) is kept over a restart of the
stack with the same pool; a set that `up` itself had declared gives way to the pool's head as it is now. Generations only grow.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from urllib.parse import unquote, urlparse

from google.protobuf.json_format import Parse, ParseError

from kubefugu.router.v1 import router_pb2
from kubefugu_cli.policies import keep, source_of, write_policy_set
from kubefugu_cli.stack.layout import StackLayout
from kubefugu_cli.stack.model import StackPlan


def declare_head(layout: StackLayout, head: Path | None, *, pool_stem: str, before: StackPlan | None) -> str:
    """Write the policy set; returns the version that `up` declared, empty where there is none.

    `before` is the plan of the last start with the same pool. Raises DataError where the head cannot be read.
    """
    path = layout.policy_set_file
    declared = read_policy_set(path)
    if head is None:
        if not _is_users(declared, before):
            path.unlink(missing_ok=True)
        return ""
    kept = keep(head, pool_stem, layout.policies_dir)
    version = f"{pool_stem}-{hashlib.sha256(kept.read_bytes()).hexdigest()[:8]}"
    if _is_users(declared, before):
        return version
    generation = (declared.generation if declared else 0) + 1
    write_policy_set(path, router_pb2.PolicySet(generation=generation, active=version, sources=[source_of(version, kept)]))
    return version


def read_policy_set(path: Path) -> router_pb2.PolicySet | None:
    """The declared set; None where the file is absent or none."""
    try:
        return Parse(path.read_text(encoding="utf-8"), router_pb2.PolicySet(), ignore_unknown_fields=True)
    except (FileNotFoundError, ParseError):
        return None


def _is_users(declared: router_pb2.PolicySet | None, before: StackPlan | None) -> bool:
    """Whether a person declared it, for this pool, and its artifacts are still there."""
    if declared is None or before is None or declared.active == before.head_version:
        return False
    return all(Path(unquote(urlparse(source.uri).path)).is_file() for source in declared.sources)
