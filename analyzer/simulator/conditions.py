"""What is different in a window: the hooks by which faults and harmless changes reach the player.

In: nothing. Out: `Conditions` and its parts, each looked up by number where a request is played. A fault is
nothing but conditions; the player does not know what it is called.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from analyzer.simulator.dice import Law
from analyzer.simulator.failures import Failure
from analyzer.simulator.system import Operation, Pod


@dataclass(slots=True, eq=False)
class OwnEffect:
    """Own work that got slower or fails, for the requests that match.

    share : of the matching requests;  factor : on the own work;  extra : added wait, ns
    failure : what is raised, before (`early`) or after the calls;  hangs : never answers
    hold_ns, queue_load : a lock is held that long, and this busy at the worst; requests line up for it
    span_name : the wait has a span of its own
    """

    operation: int | None = None
    pods: frozenset[str] | None = None
    hosts: frozenset[int] | None = None
    version: str | None = None
    tenant: str | None = None
    share: float = 1.0
    factor: float = 1.0
    extra: Law | None = None
    failure: Failure | None = None
    early: bool = True
    hangs: bool = False
    hold_ns: float = 0.0
    queue_load: float = 0.0
    span_name: str = ""
    origin: bool = True

    def matches(self, operation: int, pod: Pod, tenant: str) -> bool:
        return (
            (self.operation is None or operation == self.operation)
            and (self.pods is None or pod.name in self.pods)
            and (self.hosts is None or pod.host in self.hosts)
            and (self.version is None or pod.version == self.version)
            and (self.tenant is None or tenant == self.tenant)
        )


@dataclass(slots=True, eq=False)
class EdgeEffect:
    """The way between a caller and a callee: delay, losses, or no way at all.

    delay : added on the way there and back;  resend_share : of the packets, each costs `resend_ns` and again
    failure : the connection fails, after `fails_after_ns`;  silent : nothing ever comes back
    between : it is the way or the name that is broken, not one of its ends
    """

    share: float = 1.0
    delay: Law | None = None
    resend_share: float = 0.0
    resend_ns: float = 200e6
    failure: Failure | None = None
    fails_after_ns: float = 1e6
    silent: bool = False
    origin: bool = True
    between: bool = False
    tenant: str | None = None


@dataclass(slots=True, eq=False)
class Plan:
    """An operation that does something else than usual, for a share of the requests."""

    operation: Operation
    share: float = 1.0
    marks_holder: bool = False  # the span of the operation itself is where the trouble begins
    tenant: str | None = None


@dataclass(slots=True, eq=False)
class Conditions:
    """All that is different. Keys: service index; (caller index or -1, callee name or ""); operation index."""

    own: dict[int, list[OwnEffect]] = field(default_factory=dict)
    edges: dict[tuple[int, str], list[EdgeEffect]] = field(default_factory=dict)
    plans: dict[int, Plan] = field(default_factory=dict)
    pods: dict[int, list[Pod]] = field(default_factory=dict)  # after a deploy
    down: dict[str, bool] = field(default_factory=dict)  # killed services; True: silent, False: refused at once
    backlog: dict[int, Law] = field(default_factory=dict)  # consumer operation -> wait, ns
    clocks: dict[int, float] = field(default_factory=dict)  # service -> ns
    entry_factors: dict[int, float] = field(default_factory=dict)  # entry operation -> traffic
    traffic: float = 1.0

    def add_own(self, service: int, effect: OwnEffect) -> None:
        self.own.setdefault(service, []).append(effect)

    def add_edge(self, caller: int, callee: str, effect: EdgeEffect) -> None:
        self.edges.setdefault((caller, callee), []).append(effect)

    def edge(self, caller: int, callee: str) -> list[EdgeEffect]:
        """Return what holds for this edge, for all edges into the callee, for all out of the caller."""
        edges = self.edges
        return [*edges.get((caller, callee), ()), *edges.get((-1, callee), ()), *edges.get((caller, ""), ())]
