"""Faults of a service's own: slow, failing, hanging, gone, or another version of itself.

In: a scene (system, usage, dice). Out: conditions and the label. One function an archetype; `archetypes` lists them.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from analyzer.simulator.conditions import Conditions, OwnEffect
from analyzer.simulator.dice import MS, Dice
from analyzer.simulator.failures import BUG_COUNT, TOKEN, bug, pool_exhausted, throttled
from analyzer.simulator.system import Operation, Pod, Service, System
from analyzer.simulator.usage import Chooser, Usage

GRANULARITIES = ("service", "operation", "pod", "host", "version", "slice")
NEW_VERSION = "1.5.0"
EVENTS_MIN = 8  # of an intermittent fault; fewer are an accident, not a fault


@dataclass(slots=True)
class Scene:
    """What a fault is drawn in; owner of the conditions and the label while it is drawn."""

    system: System
    usage: Usage
    dice: Dice
    chooser: Chooser
    fault_traces: int
    granularity: str | None = None
    must_show: set[str] = field(default_factory=set)  # of two roots, those that have to do something
    conditions: Conditions = field(default_factory=Conditions)
    roots: list[str] = field(default_factory=list)
    instance: str = ""
    edges: list[tuple[str, str]] = field(default_factory=list)
    found_granularity: str = ""
    details: dict[str, str | float | int] = field(default_factory=dict)

    def name(self, service: int) -> str:
        return self.system.services[service].name

    def blame(self, *names: str) -> None:
        self.roots += [name for name in names if name not in self.roots]

    def extra_ns(self, service: Service, share_of_slack: float | None = None) -> float:
        """Return a wait that is plain against the service's usual time, three times in four below the deadlines."""
        busiest = self.chooser.busiest(service)
        usual = self.usage.duration_ns.get(busiest.index, busiest.typical_ns)
        wanted = max(4 * MS, usual * self.dice.log_between(1.5, 6), 3 * busiest.typical_work_ns)
        slack = self.chooser.slack_ns(service.index)
        below = self.dice.chance(0.75) if share_of_slack is None else share_of_slack < 1
        found = min(wanted, 0.5 * slack) if below else max(wanted, slack * self.dice.between(1.1, 2.5))
        self.details["extra_ms"] = round(found / MS, 3)
        self.details["below_deadline"] = int(found < slack)
        return max(found, 3 * MS)

    def new_pods(self, service: Service, share: float) -> list[Pod]:
        """Return the pods after a roll-out that has reached `share` of them (a canary: at least one)."""
        count = max(1, round(share * len(service.pods)))
        pods = list(service.pods)
        for i in range(count):
            old = pods[i]
            tail = "".join(self.dice.pick("bcdfghjklmnpqrstvwxz2456789") for _ in range(5))
            name = f"{service.name}-{NEW_VERSION.replace('.', '')}-{tail}"
            pods[i] = Pod(name, old.host, NEW_VERSION, old.clock_ns, old.pause_every_ns, old.pause_ns, old.phase_ns)
        if share < 1 and count == len(pods):
            pods.append(service.pods[0])
        return pods


def _narrow(scene: Scene, service: Service, effect: OwnEffect) -> None:
    """Let the effect hold for a part of the service, and say so in the label."""
    dice, chosen = scene.dice, scene.granularity or scene.dice.pick(GRANULARITIES)
    if chosen == "operation":
        effect.operation = scene.chooser.busiest(service).index
        scene.details["operation"] = scene.chooser.busiest(service).name
    elif chosen == "pod":
        pod = dice.pick(service.pods)
        effect.pods, scene.instance = frozenset([pod.name]), pod.name
    elif chosen == "version":
        pods = scene.new_pods(service, 0.5)
        scene.conditions.pods[service.index] = pods
        effect.version = NEW_VERSION
    elif chosen == "slice":
        effect.tenant = scene.system.tenants[0]
        scene.details["tenant"] = effect.tenant
    scene.found_granularity = chosen
    if chosen != "host":
        scene.conditions.add_own(service.index, effect)
        scene.blame(service.name)
        return
    host = dice.pick(service.pods).host
    effect.hosts = frozenset([host])
    scene.instance = scene.system.hosts[host]
    scene.blame(service.name)
    for other in scene.system.services:  # whoever lives there
        if any(pod.host == host for pod in other.pods):
            scene.conditions.add_own(other.index, effect)
            if scene.usage.service_traces[other.index] and other.seen:
                scene.blame(other.name)
                scene.chooser.taken.add(other.index)


def _touch_neighbours(scene: Scene, service: Service, pods: list[Pod], factor: float) -> None:
    """Processor time that one pod takes is missing to the others on its host, a little."""
    hosts = frozenset(pod.host for pod in pods)
    small = OwnEffect(hosts=hosts, factor=min(1.25, 1 + 0.03 * factor), origin=False)
    for other in scene.system.services:
        if other is not service and any(pod.host in hosts for pod in other.pods):
            scene.conditions.add_own(other.index, small)


def own_latency(scene: Scene) -> None:
    service = scene.chooser.service(0.15)
    dice = scene.dice
    if dice.chance(0.4):  # the processor: every bit of own work takes longer
        busiest = scene.chooser.busiest(service)
        factor = max(dice.between(4, 12), 1 + 4 * MS / busiest.typical_work_ns)
        factor = min(factor, 1 + max(4 * MS, 0.6 * scene.chooser.slack_ns(service.index)) / busiest.typical_work_ns)
        effect = OwnEffect(factor=factor)
        scene.details["factor"] = round(factor, 2)
        _narrow(scene, service, effect)
        affected = [p for p in service.pods if effect.pods is None or p.name in effect.pods]
        if scene.found_granularity in ("service", "pod"):
            _touch_neighbours(scene, service, affected, factor)
    else:
        extra = dice.law("log_normal", scene.extra_ns(service), dice.between(0.1, 0.5))
        _narrow(scene, service, OwnEffect(extra=extra))


def tail_latency(scene: Scene) -> None:
    """Most requests are as ever; a few take very long. The median sees nothing."""
    service = scene.chooser.service(0.3)
    share = max(scene.dice.between(0.04, 0.12), _share_for_events(scene, service, 10))
    usual = scene.usage.duration_ns.get(scene.chooser.busiest(service).index, 5 * MS)
    extra = max(20 * MS, usual * scene.dice.between(5, 20))
    extra = min(extra, max(20 * MS, 0.8 * scene.chooser.slack_ns(service.index)))
    law = scene.dice.law("log_normal", extra, 0.4)
    scene.details.update(share=round(share, 3), extra_ms=round(extra / MS, 1))
    scene.conditions.add_own(service.index, OwnEffect(share=share, extra=law))
    scene.blame(service.name)


def lock_contention(scene: Scene) -> None:
    """Requests line up before a lock: the wait comes in waves, and grows with the traffic of the service."""
    service = scene.chooser.service(0.25)
    load = scene.dice.between(0.8, 0.93)
    span = "acquire lock" if scene.dice.chance(0.3) else ""
    hold = max(2 * MS, scene.extra_ns(service) * (1 - load) / load)  # at the worst the mean wait is the wait drawn
    scene.details["load"] = round(load, 2)
    scene.conditions.add_own(service.index, OwnEffect(hold_ns=hold, queue_load=load, span_name=span))
    scene.blame(service.name)


def error(scene: Scene) -> None:
    service = scene.chooser.service(0.12)
    share = scene.dice.between(0.3, 1.0)
    failure = bug(scene.dice.whole(0, BUG_COUNT - 1))
    scene.details["share"] = round(share, 3)
    _narrow(scene, service, OwnEffect(share=share, failure=failure, early=scene.dice.chance(0.5)))


def intermittent_error(scene: Scene) -> None:
    """One call in ten to one in a hundred fails."""
    service = scene.chooser.service(0.4)
    share = min(0.1, max(scene.dice.log_between(0.01, 0.1), _share_for_events(scene, service, EVENTS_MIN)))
    failure = bug(scene.dice.whole(0, BUG_COUNT - 1))
    scene.details["share"] = round(share, 3)
    scene.found_granularity = "service"
    effect = OwnEffect(share=share, failure=failure, early=scene.dice.chance(0.5))
    scene.conditions.add_own(service.index, effect)
    scene.blame(service.name)


def hang(scene: Scene) -> None:
    """Requests are taken and never answered; their spans never end, so they are never exported."""
    service = scene.chooser.service(0.12, lambda s: s.level > 0)
    share = scene.dice.between(0.3, 1.0)
    scene.details["share"] = round(share, 3)
    effect = OwnEffect(share=share, hangs=True)
    if scene.dice.chance(0.4):
        effect.operation, scene.found_granularity = scene.chooser.busiest(service).index, "operation"
    scene.conditions.add_own(service.index, effect)
    scene.blame(service.name)


def time_skew(scene: Scene) -> None:
    """The clock of a service jumps; some of the tokens it checks are not valid yet."""
    service = scene.chooser.service(0.2, lambda s: s.level > 0)
    jump = scene.dice.log_between(0.3e9, 60e9) * (1 if scene.dice.chance(0.5) else -1)
    scene.conditions.clocks[service.index] = jump
    share = scene.dice.between(0.15, 0.6)
    scene.details.update(jump_ms=round(jump / MS), share=round(share, 3))
    scene.conditions.add_own(service.index, OwnEffect(share=share, failure=TOKEN))
    scene.blame(service.name)


def pool_exhaustion(scene: Scene) -> None:
    """Requests wait for a connection of the pool; some give up."""
    service = scene.chooser.service(0.15)
    span = "acquire connection" if scene.dice.chance(0.4) else ""
    median = scene.extra_ns(service)
    wait = scene.dice.law("weibull", median, 0.9)
    scene.conditions.add_own(service.index, OwnEffect(share=scene.dice.between(0.5, 0.95), extra=wait, span_name=span))
    given_up = scene.dice.between(0.05, 0.4)
    limit = max(50 * MS, 2 * median)
    scene.conditions.add_own(
        service.index,
        OwnEffect(share=given_up, extra=lambda: limit, failure=pool_exhausted(service.name), span_name=span),
    )
    scene.details["given_up"] = round(given_up, 3)
    scene.blame(service.name)


def deploy_regression(scene: Scene) -> None:
    """A new version, on all pods or on a part of them, is slow or wrong."""
    service = scene.chooser.service(0.15)
    reach = scene.dice.pick((1.0, 1.0, 0.5))
    scene.conditions.pods[service.index] = scene.new_pods(service, reach)
    effect = OwnEffect(version=NEW_VERSION)
    if scene.dice.chance(0.5):
        effect.failure, effect.share = bug(scene.dice.whole(0, BUG_COUNT - 1)), scene.dice.between(0.15, 0.8)
    else:
        effect.extra = scene.dice.law("log_normal", scene.extra_ns(service), 0.3)
    scene.conditions.add_own(service.index, effect)
    scene.found_granularity = "version"
    scene.details.update(reach=reach, version=NEW_VERSION)
    scene.blame(service.name)


def victim_of_load(scene: Scene, operation: Operation, failing: float) -> None:
    """A service with more work than it can do: slow, and sometimes it says so. Never the origin."""
    usual = scene.usage.duration_ns.get(operation.index, operation.typical_ns)
    extra = scene.dice.law("weibull", max(3 * MS, usual * scene.dice.between(0.5, 3)), 0.9)
    scene.conditions.add_own(operation.service, OwnEffect(share=0.8, extra=extra, origin=False))
    if failing:
        refusal = throttled(scene.name(operation.service))
        scene.conditions.add_own(operation.service, OwnEffect(share=failing, failure=refusal, origin=False))


def _share_for_events(scene: Scene, service: Service, events: int) -> float:
    calls = scene.usage.service_calls[service.index] / max(1, scene.usage.traces) * scene.fault_traces
    return min(0.5, events / max(1.0, calls))
