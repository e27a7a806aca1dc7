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


def declare_head(layout: StackLayout, head: Path | None, *, pool_stem: str, before: StackPlan | None) -> int:
    """Write the policy set; returns the generation that `up` declared, 0 where it declared none.

    `before` is the plan of the last start with the same pool. Raises DataError where the head cannot be read.
    """
    declared = read_policy_set(layout.policy_set_file)
    if declared is not None and before is not None and _is_users(declared, before):
        return before.policy_generation
    layout.policy_set_file.unlink(missing_ok=True)
    for copy in layout.policies_dir.glob("*.safetensors"):
        copy.unlink()
    if head is None:
        return 0
    kept = keep(head, pool_stem, layout.policies_dir)
    version = f"{pool_stem}-{hashlib.sha256(kept.read_bytes()).hexdigest()[:8]}"
    policy_set = router_pb2.PolicySet(
        generation=(declared.generation if declared else 0) + 1, active=version, sources=[source_of(version, kept)]
    )
    write_policy_set(layout.policy_set_file, policy_set)
    return policy_set.generation


def read_policy_set(path: Path) -> router_pb2.PolicySet | None:
    """The declared set; None where the file is absent or none."""
    try:
        return Parse(path.read_text(encoding="utf-8"), router_pb2.PolicySet(), ignore_unknown_fields=True)
    except (FileNotFoundError, ParseError):
        return None


def _is_users(declared: router_pb2.PolicySet, before: StackPlan) -> bool:
    """Whether it was declared after `up` had declared its own, and its artifacts are still there."""
    if declared.generation == before.policy_generation:
        return False
    return all(Path(unquote(urlparse(source.uri).path)).is_file() for source in declared.sources)
