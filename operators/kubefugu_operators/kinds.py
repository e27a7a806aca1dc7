"""All kinds, in the order in which people meet them."""

from __future__ import annotations

from kubefugu_operators.api import Kind
from kubefugu_operators.routingpolicy.api import KIND as ROUTING_POLICY
from kubefugu_operators.trainingrun.api import KIND as TRAINING_RUN
from kubefugu_operators.workerpool.api import KIND as WORKER_POOL

KINDS: tuple[Kind, ...] = (WORKER_POOL, TRAINING_RUN, ROUTING_POLICY)
