"""The decision about a pool: which objects it becomes and what its status says. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import ValidationError

from kubefugu_core.pool import WorkerPoolSpec, WorkerSpec
from kubefugu_operators import pods
from kubefugu_operators.cluster.drift import HASH_ANNOTATION, stamped
from kubefugu_operators.cluster.objects import Body, Ref, ref_of
from kubefugu_operators.conditions import Finding, Truth, first_failing, merge
from kubefugu_operators.names import WORKER, is_owned
from kubefugu_operators.plan import Annotation, Deletion, Plan, Refusals
from kubefugu_operators.workerpool import objects
from kubefugu_operators.workerpool.api import ConditionType, Reason, WorkerPoolStatus, WorkerStatus
from kubefugu_operators.workerpool.observed import Health, PoolObserved, Probe

_SOON_S = 2.0
_KEY_MISSING_S = 15.0
_STEADY_S = 60.0
"""Referenced Secrets and the policy's active version, neither of which is watched, are read again at this interval."""
_QUIET_S = 240.0
"""Everything else tells of itself: probes, pods, Deployments."""
_NEAR_MS = 100
_PROBES_TO_MOVE = 3


def reconcile(observed: PoolObserved, refusals: Refusals) -> Plan:
    """Objects, nudges and status of a pool."""
    try:
        spec = WorkerPoolSpec.model_validate(observed.body["spec"])
    except ValidationError as error:
        return _invalid(observed, error)
    keys, missing = _keys(spec, observed)
    config = objects.config_map(observed.body, spec)
    secret = objects.keys_secret(observed.body, keys) if keys else None
    wanted = [config, *([secret] if secret else []), *_managed(observed.body, spec)]
    findings = [
        missing or _keys_found(keys),
        _configured(wanted, refusals),
        _managed_available(spec, observed),
        _healthy(spec, observed),
    ]
    ready = _ready(findings, spec, observed)
    status = _status(spec, observed, [*findings, ready])
    return Plan(
        apply=tuple(wanted),
        delete=_superfluous(observed, wanted),
        nudge=_nudges(observed, config, secret),
        status=status,
        requeue_after_s=_requeue(observed, findings, wanted),
    )


def _invalid(observed: PoolObserved, error: ValidationError) -> Plan:
    first = error.errors(include_url=False, include_input=False)[0]
    message = f"spec.{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"
    finding = Finding(ConditionType.CONFIGURED, "False", Reason.INVALID_SPEC, message)
    ready = Finding(ConditionType.READY, "False", finding.reason, message)
    generation = observed.body["metadata"].get("generation", 0)
    previous = (observed.body.get("status") or {}).get("conditions", ())
    conditions = merge([finding, ready], previous, generation=generation, now=observed.now)
    return Plan(status={"observedGeneration": generation, "conditions": conditions})


def _keys(spec: WorkerPoolSpec, observed: PoolObserved) -> tuple[dict[str, str], Finding | None]:
    """Keys by worker, and the finding that one is missing. A missing key leaves the others in place."""
    keys: dict[str, str] = {}
    finding: Finding | None = None
    for worker in spec.workers:
        if worker.auth is None or worker.auth.secret_key_ref is None:
            continue
        reference = worker.auth.secret_key_ref
        secret = observed.secrets.get(reference.name)
        where = f"worker {worker.name}: Secret {reference.name}"
        if secret is None:
            finding = finding or _no_key(Reason.SECRET_NOT_FOUND, f"{where} does not exist.")
        elif reference.key not in (secret.get("data") or {}):
            finding = finding or _no_key(Reason.SECRET_KEY_NOT_FOUND, f"{where} has no key {reference.key}.")
        else:
            keys[worker.name] = secret["data"][reference.key]
    return keys, finding


def _no_key(reason: Reason, message: str) -> Finding:
    return Finding(ConditionType.KEYS_RESOLVED, "False", reason, message)


def _keys_found(keys: dict[str, str]) -> Finding:
    reason = Reason.KEYS_FOUND if keys else Reason.NO_KEYS
    return Finding(ConditionType.KEYS_RESOLVED, "True", reason)


def _managed(owner: Body, spec: WorkerPoolSpec) -> list[Body]:
    result = []
    for worker in spec.workers:
        if worker.managed is not None:
            result.append(objects.deployment(owner, worker, worker.managed))
            result.append(objects.service(owner, worker, worker.managed))
    return result


def _superfluous(observed: PoolObserved, wanted: Sequence[Body]) -> tuple[Deletion, ...]:
    """Children of ours that the spec does not ask for any more."""
    kept = {ref_of(body) for body in wanted}
    return tuple(
        Deletion(ref, body["metadata"]["uid"])
        for ref, body in sorted(observed.children.items())
        if ref not in kept and is_owned(body, observed.body) and not body["metadata"].get("deletionTimestamp")
    )


def _configured(wanted: Sequence[Body], refusals: Refusals) -> Finding:
    refused = [message for ref, message in refusals.items() if ref in {ref_of(body) for body in wanted}]
    if not refused:
        return Finding(ConditionType.CONFIGURED, "True", Reason.CONFIGURED)
    conflict = "belongs to" in refused[0]
    reason = Reason.NAME_CONFLICT if conflict else Reason.WRITE_REFUSED
    return Finding(ConditionType.CONFIGURED, "False", reason, refused[0])


def _managed_available(spec: WorkerPoolSpec, observed: PoolObserved) -> Finding:
    managed = [worker for worker in spec.workers if worker.managed is not None]
    if not managed:
        return Finding(ConditionType.MANAGED_AVAILABLE, "True", Reason.NO_MANAGED_WORKERS)
    trouble = pods.first_trouble(observed.pods)
    if trouble is not None and trouble.reason is pods.Trouble.VOLUME_NOT_READY:
        return Finding(ConditionType.MANAGED_AVAILABLE, "False", Reason.CRASHING, trouble.message)
    if trouble is not None:
        return Finding(ConditionType.MANAGED_AVAILABLE, "False", trouble.reason.value, trouble.message)
    waiting = [worker.name for worker in managed if not _is_available(worker, observed)]
    if waiting:
        return Finding(ConditionType.MANAGED_AVAILABLE, "False", Reason.ROLLING_OUT, f"waiting for {', '.join(waiting)}")
    return Finding(ConditionType.MANAGED_AVAILABLE, "True", Reason.ALL_AVAILABLE)


def _deployment(worker: WorkerSpec, observed: PoolObserved) -> Body | None:
    for ref, body in observed.children.items():
        if ref.kind == "Deployment" and body["metadata"]["labels"].get(WORKER) == worker.name:
            return body
    return None


def _is_available(worker: WorkerSpec, observed: PoolObserved) -> bool:
    body = _deployment(worker, observed)
    if body is None:
        return False
    status = body.get("status") or {}
    replicas = body["spec"].get("replicas", 1)
    seen = status.get("observedGeneration", 0) >= body["metadata"].get("generation", 0)
    return bool(seen and status.get("updatedReplicas", 0) >= replicas and status.get("readyReplicas", 0) >= replicas)


def _replicas(worker: WorkerSpec, observed: PoolObserved) -> str:
    body = _deployment(worker, observed)
    if worker.managed is None or body is None:
        return ""
    return f"{(body.get('status') or {}).get('readyReplicas', 0)}/{body['spec'].get('replicas', 1)}"


def _healthy(spec: WorkerPoolSpec, observed: PoolObserved) -> Finding:
    failing = [(w.name, observed.probes[w.name]) for w in spec.workers if _fails(observed.probes.get(w.name))]
    if failing:
        name, probe = failing[0]
        others = f" (and {len(failing) - 1} more)" if len(failing) > 1 else ""
        return Finding(ConditionType.WORKERS_HEALTHY, "False", probe.health.value, f"{name}: {probe.message}{others}")
    if any(worker.name not in observed.probes for worker in spec.workers):
        return Finding(ConditionType.WORKERS_HEALTHY, "Unknown", Reason.NOT_PROBED_YET, "the first probes are under way")
    return Finding(ConditionType.WORKERS_HEALTHY, "True", Reason.ALL_WORKERS_HEALTHY)


def _fails(probe: Probe | None) -> bool:
    return probe is not None and probe.health is not Health.OK


def _ready(findings: Sequence[Finding], spec: WorkerPoolSpec, observed: PoolObserved) -> Finding:
    """A pool is ready when it is configured and some worker answers; the reason says whether all do."""
    bad = first_failing(findings)
    if bad is None:
        return Finding(ConditionType.READY, "True", Reason.ALL_WORKERS_HEALTHY, f"{len(spec.workers)} workers answer.")
    configured = next(finding for finding in findings if finding.type == ConditionType.CONFIGURED)
    healthy = [probe for probe in observed.probes.values() if probe.health is Health.OK]
    if configured.holds and healthy:
        message = f"{len(healthy)} of {len(spec.workers)} workers answer. {bad.type}: {bad.message}"
        return Finding(ConditionType.READY, "True", Reason.SOME_WORKERS_UNHEALTHY, message)
    truth: Truth = bad.status
    return Finding(ConditionType.READY, truth, bad.reason, bad.message)


def _worker_status(worker: WorkerSpec, observed: PoolObserved) -> WorkerStatus:
    meta = observed.body["metadata"]
    probe = observed.probes.get(worker.name)
    good = probe is not None and probe.health is Health.OK
    return WorkerStatus(
        name=worker.name,
        ready=good,
        url=objects.worker_url(worker, pool=meta["name"], namespace=meta["namespace"]),
        reason="" if good else (probe.health.value if probe else Reason.NOT_PROBED_YET.value),
        message="" if good or probe is None else probe.message[:1024],
        latency_millis=_steady_latency(worker.name, probe, observed),
        replicas=_replicas(worker, observed),
    )


def _steady_latency(name: str, probe: Probe | None, observed: PoolObserved) -> int:
    """The latency told before, unless several probes are far from it: a status that moves all the time is noise."""
    before = 0
    for entry in (observed.body.get("status") or {}).get("workers", ()):
        if entry["name"] == name:
            before = entry.get("latencyMillis", 0)
    if probe is None or probe.health is not Health.OK:
        return 0
    now = max(1, round(probe.latency_ms))
    is_near = now / 2 - _NEAR_MS <= before <= now * 2 + _NEAR_MS
    return before if before and (is_near or len(probe.recent) < _PROBES_TO_MOVE) else now


def _status(spec: WorkerPoolSpec, observed: PoolObserved, findings: Sequence[Finding]) -> Body:
    meta = observed.body["metadata"]
    generation = meta.get("generation", 0)
    workers = tuple(_worker_status(worker, observed) for worker in spec.workers)
    policy = ""
    if spec.policy_ref is not None:
        active = ((observed.policy or {}).get("status") or {}).get("active", "")
        policy = f"{spec.policy_ref.name}/{active}" if active else spec.policy_ref.name
    status = WorkerPoolStatus(
        observed_generation=generation,
        workers=workers,
        ready_workers=f"{sum(worker.ready for worker in workers)}/{len(workers)}",
        active_policy=policy,
        config_map=objects.config_map_name(meta["name"]),
    )
    body = status.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    previous = (observed.body.get("status") or {}).get("conditions", ())
    body["conditions"] = merge(findings, previous, generation=generation, now=observed.now)
    return body


def _is_written(wanted: Body | None, observed: PoolObserved) -> bool:
    if wanted is None:
        return True
    current = observed.children.get(ref_of(wanted))
    if current is None:
        return False
    digest = stamped(wanted)["metadata"]["annotations"][HASH_ANNOTATION]
    return bool((current["metadata"].get("annotations") or {}).get(HASH_ANNOTATION) == digest)


def _nudges(observed: PoolObserved, config: Body, secret: Body | None) -> tuple[Annotation, ...]:
    """Executors read their mounted files again at once, but only when what they shall read is stored already."""
    if not (_is_written(config, observed) and _is_written(secret, observed)):
        return ()
    value = objects.fingerprint(config, secret)
    return tuple(
        Annotation(Ref("Pod", pod["metadata"]["namespace"], pod["metadata"]["name"]), objects.POOL_HASH, value)
        for pod in observed.executors
        if (pod["metadata"].get("annotations") or {}).get(objects.POOL_HASH) != value
        and not pod["metadata"].get("deletionTimestamp")
    )


def _requeue(observed: PoolObserved, findings: Sequence[Finding], wanted: Sequence[Body]) -> float:
    if not all(_is_written(body, observed) for body in wanted):
        return _SOON_S
    if not all(finding.holds for finding in findings if finding.type == ConditionType.KEYS_RESOLVED):
        return _KEY_MISSING_S
    return _STEADY_S if observed.secrets or observed.policy is not None else _QUIET_S
