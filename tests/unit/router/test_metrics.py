from __future__ import annotations

from prometheus_client import CollectorRegistry, generate_latest

from kubefugu_core.policy_sets import DeclaredSet
from kubefugu_router.metrics import RouterMetrics


def test_series_of_versions_that_are_gone_go_with_them() -> None:
    registry = CollectorRegistry()
    metrics = RouterMetrics(registry)
    metrics.decided(version="", kind="untrained")
    for number in range(100):
        version = f"v{number}"
        metrics.applied(
            DeclaredSet(generation=number + 1, active=version),
            resident=[f"v{number - 1}", version],
        )
        for kind in ("active", "pinned"):
            metrics.decided(version=version, kind=kind)
    lines = generate_latest(registry).decode().splitlines()
    series = [line for line in lines if line.startswith("kubefugu_router_decisions_total{")]
    assert len(series) == 1 + 2 * 2
    assert 'kubefugu_router_decisions_total{kind="active",policy_version="v99"} 1.0' in series
    assert not [line for line in lines if 'policy_version="v97"' in line]
