"""Whether an object in the cluster is as we want it, decided locally, so that a second pass sends no write at all.

Two questions: is everything that we want there (subset comparison, tolerant of defaults that the API server and other
controllers add), and did we want the same when we last wrote (a hash in an annotation), which catches fields that we dropped.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from kubefugu_operators.cluster.objects import Body

HASH_ANNOTATION = "kubefugu.dev/applied"


def stamped(body: Body) -> Body:
    """A copy that carries the hash of what we want."""
    digest = hashlib.sha256(json.dumps(body, sort_keys=True, separators=(",", ":")).encode()).hexdigest()[:16]
    metadata = dict(body["metadata"])
    metadata["annotations"] = {**metadata.get("annotations", {}), HASH_ANNOTATION: digest}
    return {**body, "metadata": metadata}


def differs(wanted: Body, observed: Body | None) -> bool:
    """True where `wanted` (stamped) has to be applied."""
    if observed is None:
        return True
    annotations = observed["metadata"].get("annotations") or {}
    if annotations.get(HASH_ANNOTATION) != wanted["metadata"]["annotations"][HASH_ANNOTATION]:
        return True
    return not contains(observed, wanted)


def contains(observed: Any, wanted: Any) -> bool:
    """True where every value in `wanted` is in `observed`: objects by key, named lists by name, other lists in order."""
    if isinstance(wanted, dict):
        if not isinstance(observed, dict):
            # The API server leaves empty objects out.
            return observed is None and not wanted
        return all(contains(observed.get(key), value) for key, value in wanted.items())
    if isinstance(wanted, list):
        if observed is None:
            return not wanted
        if _named(wanted) and _named(observed):
            by_name = {item["name"]: item for item in observed}
            return all(item["name"] in by_name and contains(by_name[item["name"]], item) for item in wanted)
        return len(observed) == len(wanted) and all(map(contains, observed, wanted))
    if wanted is None or wanted == "":
        return observed in (None, "")
    return bool(observed == wanted)


def _named(items: Any) -> bool:
    return isinstance(items, list) and all(isinstance(item, dict) and "name" in item for item in items)
