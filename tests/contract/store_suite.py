"""What every store promises. A backend's test file subclasses `StoreContract` and brings a `store`."""

from __future__ import annotations

from tests.contract.finding_suite import FindingContract
from tests.contract.hours_suite import HoursContract
from tests.contract.outbox_suite import OutboxContract
from tests.contract.rollup_suite import RollupContract
from tests.contract.state_suite import StateContract
from tests.contract.tenant_suite import TenantContract
from tests.contract.trace_suite import TraceContract


class StoreContract(
    TraceContract,
    TenantContract,
    FindingContract,
    RollupContract,
    OutboxContract,
    HoursContract,
    StateContract,
):
    """Bring fixtures `clock` (a ManualClock) and `store` (retention 72 hours, a quota nobody reaches)."""
