"""The words of the simulator: what is asked for, and a labelled case.

In: nothing. Out: `CaseSettings`, `SimulatedSpans`, `SimulatedCase`. Labels stand beside the spans, never in them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Attributes: TypeAlias = tuple[tuple[str, str | int | bool], ...]

SERVICES_MIN, SERVICES_MAX = 5, 200
TRACES_MAX = 100_000


@dataclass(frozen=True, slots=True)
class CaseSettings:
    """How a case is drawn. What is None is drawn with the seed.

    services                  services in the system, 5 to 200
    baseline_traces           fault-free traces before the window
    fault_traces              traces of the window (a tail sampler may leave fewer)
    lead_in_traces            healthy traces before the onset that stand in the fault file too
    span_loss                 share of spans that never arrive, 0 to 0.2
    uninstrumented_share      share of services that emit nothing, 0 to 0.4
    dialect                   a name of `dialects.DIALECTS`, or "mixed"
    granularity               of own latency and errors: a name of `faults.GRANULARITIES`
    clock_skew_ms             spread of the hosts' clocks
    late_share                share of (trace, service) exports that come long after the others
    sampling                  "none", "head" or "tail"
    benign_deploys            harmless deploys elsewhere in the window
    """

    services: int | None = None
    baseline_traces: int = 400
    fault_traces: int = 400
    lead_in_traces: int = 0
    span_loss: float = 0.05
    uninstrumented_share: float | None = None
    dialect: str | None = None
    granularity: str | None = None
    clock_skew_ms: float | None = None
    late_share: float = 0.01
    sampling: str | None = None
    benign_deploys: int | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be drawn.

        Raises
        ------
        ValueError
            Names the field, what was found and what was expected.
        """
        _within("services", self.services, SERVICES_MIN, SERVICES_MAX)
        _within("baseline_traces", self.baseline_traces, 1, TRACES_MAX)
        _within("fault_traces", self.fault_traces, 1, TRACES_MAX)
        _within("lead_in_traces", self.lead_in_traces, 0, TRACES_MAX)
        _within("span_loss", self.span_loss, 0.0, 0.2)
        _within("uninstrumented_share", self.uninstrumented_share, 0.0, 0.4)
        _within("clock_skew_ms", self.clock_skew_ms, 0.0, 10_000.0)
        _within("late_share", self.late_share, 0.0, 0.5)
        _within("benign_deploys", self.benign_deploys, 0, 50)
        if self.sampling not in (None, "none", "head", "tail"):
            raise ValueError(f"sampling is {self.sampling!r}; expected none, head or tail")


@dataclass(frozen=True, slots=True)
class SimulatedSpans:
    """n spans as columns, in the order of their traces; `late` ones arrive after traces that began later.

    trace_id, span_id : list of 16 and 8 bytes;  parent_id : 8 bytes, empty for a root
    service, pod, host, zone, version, name : list of text, empty where the dialect says nothing
    kind, status : int8[n]    OTLP SpanKind and StatusCode
    start_ns, end_ns : int64[n]
    attributes : list of (key, value) pairs;  exception : list of (type, message) or None
    late : bool[n]            exported long after the others of its trace
    is_origin : bool[n]       truth: the trouble of this trace began here
    fault_touched : bool[n]   truth: an origin, or a span that waits for one
    is_background : bool[n]   truth: a failure that nobody injected (flaky code, a 404, a bad moment) came up here
    leads_out : bool[n]       truth: the last span before a service without instrumentation that lost the context;
                              the trouble began behind it, in what is another trace
    lost_origins              truth: (trace id, service, span name) of origins that are not among the spans
    culprits                  truth: of each affected trace, who has a part in its origins: the services they are
                              spans of and, of calls, the callees (a killed service is only ever called)
    ways                      truth: both ends of calls whose way or name is broken, or that lead out of the trace
    bystanders                truth: who has a part in background failures
    """

    trace_id: list[bytes]
    span_id: list[bytes]
    parent_id: list[bytes]
    service: list[str]
    pod: list[str]
    host: list[str]
    zone: list[str]
    version: list[str]
    name: list[str]
    kind: npt.NDArray[np.int8]
    start_ns: npt.NDArray[np.int64]
    end_ns: npt.NDArray[np.int64]
    status: npt.NDArray[np.int8]
    attributes: list[Attributes]
    exception: list[tuple[str, str] | None]
    late: npt.NDArray[np.bool_]
    is_origin: npt.NDArray[np.bool_]
    fault_touched: npt.NDArray[np.bool_]
    is_background: npt.NDArray[np.bool_]
    leads_out: npt.NDArray[np.bool_]
    lost_origins: list[tuple[bytes, str, str]]
    culprits: dict[bytes, tuple[str, ...]]
    ways: dict[bytes, tuple[str, ...]]
    bystanders: dict[bytes, tuple[str, ...]]

    def __len__(self) -> int:
        """Return the number of spans."""
        return len(self.span_id)

    @property
    def trace_count(self) -> int:
        return len(set(self.trace_id))


@dataclass(frozen=True, slots=True)
class SimulatedCase:
    """A labelled case. `root_cause_services` is empty when nothing is wrong (a true negative).

    A fault of one edge names both of its ends; a host names every service on it; a hit is any of them.
    """

    case_id: str
    system: str
    archetype: str
    window_start_ns: int
    window_end_ns: int
    root_cause_services: list[str]
    root_cause_instance: str
    root_cause_edges: list[tuple[str, str]]
    root_loudest: bool
    baseline: SimulatedSpans
    fault: SimulatedSpans
    granularity: str = ""
    dialect: str = ""
    details: dict[str, str | float | int] = field(default_factory=dict)  # what was drawn; for people


def _within(name: str, value: float | None, least: float, most: float) -> None:
    if value is not None and not least <= value <= most:
        raise ValueError(f"{name} is {value}; expected {least} to {most}")
