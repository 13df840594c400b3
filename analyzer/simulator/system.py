"""What a simulated system is made of: services, pods, operations and their calls.

In: nothing. Out: the parts that `blueprint` draws and `player` plays. Operations call operations of deeper
levels only, so a trace is never deeper than `LEVELS_MAX` services.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from analyzer.simulator.dice import Law

LEVELS_MAX = 8
SERVER, CLIENT, PRODUCER, CONSUMER, INTERNAL = 2, 3, 4, 5, 1


@dataclass(slots=True, eq=False)
class Pod:
    """One instance of a service."""

    name: str
    host: int
    version: str
    clock_ns: float = 0.0
    pause_every_ns: float = 0.0  # garbage collection: this often ...
    pause_ns: float = 0.0  # ... everything stands still for this long
    phase_ns: float = 0.0


@dataclass(slots=True, eq=False)
class Service:
    index: int
    name: str
    level: int
    pods: list[Pod]
    worker: bool = False  # takes from a queue, is never called
    seen: bool = True  # instrumented
    dialect: str = ""


@dataclass(slots=True, eq=False)
class Call:
    """One call in an operation's plan: to an operation (`target`), or to a peer that emits nothing itself.

    kind : "service", "database", "cache", "saas" or "publish"
    times : (least, most) calls, one after the other or `together`
    handled : a failure is answered with a fallback;  fire : nobody waits for it
    misses : what is called when the cache does not know
    """

    kind: str
    name: str
    callee: str
    target: Operation | None = None
    law: Law | None = None
    network: Law = field(default=lambda: 0.3e6)
    probability: float = 1.0
    times: tuple[int, int] = (1, 1)
    together: bool = False
    timeout_ns: float = 10e9
    retries: int = 0
    backoff_ns: float = 20e6
    handled: bool = False
    fire: bool = False
    hit_share: float = 1.0
    misses: list[Call] = field(default_factory=list)
    flake: float = 0.0
    origin: bool = False  # put in by a fault: where this call is seen, the trouble began


@dataclass(slots=True, eq=False)
class Operation:
    """What a service does when asked: own work, in shares, around stages of calls made at the same time."""

    index: int
    service: int
    name: str
    kind: int
    work: Law
    typical_work_ns: float
    stages: list[list[Call]] = field(default_factory=list)
    work_name: str = ""  # an internal span around it all; empty for none
    flake: float = 0.0
    business: float = 0.0
    typical_ns: float = 0.0
    spans: float = 1.0  # expected, with everything it calls

    def calls(self) -> list[Call]:
        return [call for stage in self.stages for call in stage]

    def estimate(self) -> None:
        """Work out `typical_ns` and `spans` from what is called."""
        self.typical_ns = self.typical_work_ns
        self.spans = 1.0 + bool(self.work_name)
        for stage in self.stages:
            longest = 0.0
            for call in stage:
                count = (call.times[0] + call.times[1]) / 2
                each, below = call_size(call)
                self.spans += call.probability * count * below
                if not call.fire:
                    longest = max(longest, each * (1 if call.together else count))
            self.typical_ns += longest


def call_size(call: Call) -> tuple[float, float]:
    """Return the typical duration and the expected spans of one call."""
    if call.kind == "publish":
        return 1e6, 1.0 + (call.target.spans if call.target else 0.0)
    if call.target is not None:
        return call.target.typical_ns + 1e6, 1.0 + call.target.spans
    missed = [call_size(miss) for miss in call.misses]
    share = 1.0 - call.hit_share
    return 2e6 + share * sum(m[0] for m in missed), 1.0 + share * sum(m[1] for m in missed)


@dataclass(slots=True, eq=False)
class System:
    name: str
    services: list[Service]
    operations: list[Operation]
    entries: list[Operation]
    entry_weights: list[float]
    hosts: list[str]
    zones: list[str]
    dialect: str
    law: str
    cancels: bool  # a caller that gives up also stops what it asked for
    breaks_context: bool  # an uninstrumented service starts new traces behind it
    tenants: list[str]
    host_noise: list[list[float]]
    wave_ns: float  # period of the load
    wave_depth: float
    wave_phase: float

    def peers(self) -> dict[str, list[tuple[Operation, Call]]]:
        """Return who uses each peer that emits nothing."""
        found: dict[str, list[tuple[Operation, Call]]] = {}
        for operation in self.operations:
            for call in operation.calls():
                for one in (call, *call.misses):
                    if one.target is None:
                        found.setdefault(one.callee, []).append((operation, one))
        return found
