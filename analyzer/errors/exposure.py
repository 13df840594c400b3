"""Where calls went: the denominator of "only in version 1.5.0" and "only under load".

In: measured batches and the time. Out: of each service its calls by version, environment and host, and by minute. Kept
since the start, for the services that are called most; what finds no room is counted. Owner: the engine's thread.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from analyzer.analysis import Analysis
from analyzer.errors.model import ExceptionFact
from analyzer.spans import FLAG_LOG, MISSING_SERVICE, SpanFlag, SpanKind

SERVICES_MAX = 1_000
NAMES_MAX = 64  # of one service and dimension
MINUTES_MAX = 120
MINUTE_NS = 60_000_000_000
DIMENSIONS = ("version", "environment", "host")
_NOT_A_CALL = int(FLAG_LOG | SpanFlag.OWN_SCOPE)


@dataclass(slots=True)
class ServiceCalls:
    """Calls one service took."""

    total: int = 0
    by: dict[str, dict[str, int]] = field(default_factory=lambda: {dimension: {} for dimension in DIMENSIONS})
    minutes: dict[int, int] = field(default_factory=dict)


class Places:
    """Where the errors of one group were since it was first met, and where the calls were since then.

    Since then, because calls before it say nothing: an error that began after a release went everywhere is not an error
    of that release only.

    Parameters
    ----------
    calls : ServiceCalls
        Of the service where the group began, as they are now.
    """

    def __init__(self, calls: ServiceCalls) -> None:
        self._before = {dimension: dict(names) for dimension, names in calls.by.items()}
        self.errors: dict[str, dict[str, int]] = {dimension: {} for dimension in DIMENSIONS}
        self.total = 0

    def add(self, fact: ExceptionFact) -> None:
        self.total += 1
        for dimension in DIMENSIONS:
            names, name = self.errors[dimension], str(getattr(fact, dimension))
            if name in names or len(names) < NAMES_MAX:
                names[name] = names.get(name, 0) + 1

    def calls(self, now: ServiceCalls) -> Mapping[str, Mapping[str, int]]:
        """Calls since then, by dimension and place."""
        return {
            dimension: {name: count - self._before[dimension].get(name, 0) for name, count in names.items()}
            for dimension, names in now.by.items()
        }


class Exposure:
    """Calls by service. Owner: one thread."""

    def __init__(self) -> None:
        self.services: dict[str, ServiceCalls] = {}
        self.lost_calls = 0

    def add(self, analysis: Analysis, now_ns: int) -> None:
        """Count the calls of a batch: spans of kind SERVER and CONSUMER, in the minute they were released."""
        rows = analysis.traces.rows
        called = (rows["kind"] == SpanKind.SERVER) | (rows["kind"] == SpanKind.CONSUMER)
        called &= (rows["flags"] & _NOT_A_CALL) == 0
        counts = np.bincount(rows["resource"][called])
        minute = now_ns // MINUTE_NS
        for resource in np.flatnonzero(counts):
            self._count(analysis, int(resource), int(counts[resource]), minute)

    def _count(self, analysis: Analysis, index: int, count: int, minute: int) -> None:
        resource = analysis.traces.vocabulary.resources.resource(index)
        service = resource.service or MISSING_SERVICE
        calls = self.services.get(service)
        if calls is None:
            if len(self.services) >= SERVICES_MAX:
                self.lost_calls += count
                return
            calls = self.services[service] = ServiceCalls()
        calls.total += count
        calls.minutes[minute] = calls.minutes.get(minute, 0) + count
        if len(calls.minutes) > MINUTES_MAX:
            del calls.minutes[min(calls.minutes)]
        for dimension in DIMENSIONS:
            names = calls.by[dimension]
            name = str(getattr(resource, dimension))
            if name in names or len(names) < NAMES_MAX:
                names[name] = names.get(name, 0) + count

    def of(self, service: str) -> ServiceCalls:
        """Calls of a service; none when it was not seen."""
        return self.services.get(service) or ServiceCalls()
