"""How much each tenant may send: a bucket of records a tenant, filled at a steady rate.

In: a tenant's name and how many spans or log records a request of it holds. Out: nothing, or a `QuotaError` that says
when to come again. Nobody waits here, and nothing is kept of a request that was refused. What was let in and then not
taken (no room, a fault) is not charged. Each receiver process counts for itself.

A bucket is one time, the one at which it will be full again: so it needs no thread that fills it, and whatever lies in
the past is a full bucket.
"""

from __future__ import annotations

import random
import threading
from collections import Counter, OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from collector.clock import SystemClock
from collector.contracts import Clock
from collector.errors import QuotaError
from collector.telemetry import Snapshot, sample

# Tokens that somebody else signs can name any number of tenants. A bucket takes about 250 bytes: 2.5 MB a process.
TENANTS_MAX = 10_000
DELAY_S = (1.0, 30.0)
_SPREAD = 1.25  # clients of one tenant that were told the same second would come at the same second
_SECOND_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Quota:
    """What a tenant may send.

    records_per_s : spans and log records a second, in the long run
    burst_s : so many seconds' worth may come at once, after a rest
    """

    records_per_s: float
    burst_s: float

    def cost_ns(self, records: int) -> int:
        """How long the bucket takes to fill up what `records` take out of it, nanoseconds."""
        return round(records * _SECOND_NS / self.records_per_s)

    @property
    def burst_ns(self) -> int:
        return round(self.burst_s * _SECOND_NS)


@dataclass(slots=True)
class _Bucket:
    full_at_ns: int = 0
    held_ns: int = 0  # of requests that were let in, and may yet find no room

    def wanting_ns(self, now_ns: int) -> int:
        """How long until it is full, if all that was let in is taken."""
        return max(0, self.full_at_ns - now_ns) + self.held_ns


class TenantQuotas:
    """The buckets of one process. Any number of threads; `_lock` guards buckets and counters; nobody waits under it.

    Parameters
    ----------
    quota : of every tenant that has none of its own; None: no bound
    named : tenants with a quota of their own; None: no bound
    seed : of the jitter in delays
    tenants_max : buckets that are remembered; the longest unused leaves, and its tenant begins with a full one
    """

    def __init__(
        self,
        quota: Quota | None = None,
        named: Mapping[str, Quota | None] | None = None,
        *,
        clock: Clock | None = None,
        seed: int | None = None,
        tenants_max: int = TENANTS_MAX,
    ) -> None:
        self._quota = quota
        self._named = dict(named or {})
        self._clock = clock or SystemClock()
        self._random = random.Random(seed)  # noqa: S311 - spreads retries, guards nothing
        self._tenants_max = tenants_max
        self._lock = threading.Lock()
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()  # the longest unused first
        self._counts: Counter[str] = Counter()

    @contextmanager
    def charged(self, tenant: str, records: int) -> Iterator[None]:
        """Charge a tenant for what is done inside, unless that raises. Without a tenant nothing is charged.

        What is larger than the whole burst is let in when the bucket is full, and takes it into debt: refused, it would
        be so for ever.

        Raises
        ------
        QuotaError
            The tenant is over its quota; with the delay after which so many records fit, from 1 to 30 s.
        """
        quota = self._named.get(tenant, self._quota) if tenant else None
        if quota is None or records <= 0:
            yield
            return
        cost_ns = quota.cost_ns(records)
        bucket = self._let_in(tenant, quota, records, cost_ns)
        taken_ns = 0
        try:
            yield
            taken_ns = cost_ns
        finally:
            with self._lock:
                bucket.held_ns -= cost_ns
                if taken_ns:
                    bucket.full_at_ns = max(bucket.full_at_ns, self._clock.monotonic_ns()) + taken_ns

    def snapshot(self) -> Snapshot:
        """Copy the counters, for `Telemetry.register`. Names of tenants are no labels: there is no end of them."""
        with self._lock:
            return dict(self._counts)

    def _let_in(self, tenant: str, quota: Quota, records: int, cost_ns: int) -> _Bucket:
        with self._lock:
            now_ns = self._clock.monotonic_ns()
            bucket = self._bucket(tenant, now_ns)
            wanting_ns = bucket.wanting_ns(now_ns)
            over_ns = wanting_ns + min(cost_ns, quota.burst_ns) - quota.burst_ns
            if over_ns <= 0:
                bucket.held_ns += cost_ns
                return bucket
        delay_s = min(max(over_ns / _SECOND_NS, DELAY_S[0]), DELAY_S[1] / _SPREAD) * self._random.uniform(1.0, _SPREAD)
        raise QuotaError(
            f"{records} records are over the quota of this tenant: {quota.records_per_s:g} a second, "
            f"{quota.burst_s:g} s of it at once; send them again after the delay, or less",
            retry_after_s=delay_s,
        )

    def _bucket(self, tenant: str, now_ns: int) -> _Bucket:
        bucket = self._buckets.get(tenant)
        if bucket is not None:
            self._buckets.move_to_end(tenant)
            return bucket
        if len(self._buckets) >= self._tenants_max:
            # One of which a request is inside would leave its charge behind; such are as few as there are threads.
            idle = next((name for name, one in self._buckets.items() if not one.held_ns), next(iter(self._buckets)))
            left = self._buckets.pop(idle)
            word = "spent" if left.wanting_ns(now_ns) else "full"
            self._counts[sample("receiver_forgotten_buckets", word)] += 1
        bucket = self._buckets[tenant] = _Bucket()
        return bucket
