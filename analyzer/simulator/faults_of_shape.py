"""Faults that change what is called, how often, how patiently, or how much is asked; and harmless changes.

In: a scene. Out: conditions and the label.
"""

from __future__ import annotations

from copy import copy

from analyzer.simulator.conditions import EdgeEffect, OwnEffect, Plan
from analyzer.simulator.dice import MS
from analyzer.simulator.faults import Scene, victim_of_load
from analyzer.simulator.system import CONSUMER, SERVER, Call, Operation
from analyzer.simulator.usage import NoTargetError


def _copied(operation: Operation) -> Operation:
    """Return a copy whose stages and calls can be changed."""
    found = copy(operation)
    found.stages = [[copy(call) for call in stage] for stage in operation.stages]
    return found


def _lay_plan(scene: Scene, changed: Operation, share: float, marks_holder: bool) -> None:
    scene.conditions.plans[changed.index] = Plan(changed, share, marks_holder)
    scene.found_granularity = "operation"
    scene.details.update(operation=changed.name, share=round(share, 3))
    scene.blame(scene.name(changed.service))


def _always_calls(operation: Operation) -> bool:
    return any(c.probability == 1 and not c.fire for c in operation.calls())


def silent_200(scene: Scene) -> None:
    """An operation says that all is well without having done its work: calls are missing, nothing failed."""
    operation = scene.chooser.operation(0.15, _always_calls)
    changed = _copied(operation)
    last = max(i for i, s in enumerate(changed.stages) if any(c.probability == 1 and not c.fire for c in s))
    changed.stages = changed.stages[: scene.dice.whole(0, last)]
    _lay_plan(scene, changed, scene.dice.between(0.35, 1.0), marks_holder=True)


def wrong_branch(scene: Scene) -> None:
    """An operation calls something else than it should."""
    system = scene.system
    operation = scene.chooser.operation(0.15, _always_calls)
    changed = _copied(operation)
    level = system.services[operation.service].level
    known = {c.callee for c in operation.calls()}
    others = [
        o
        for o in system.operations
        if o.kind == SERVER and system.services[o.service].level > level
        and system.services[o.service].seen and system.services[o.service].name not in known and o.spans < 12
    ]  # fmt: skip
    stage = scene.dice.pick([s for s in changed.stages if any(c.probability == 1 and not c.fire for c in s)])
    at = next(i for i, c in enumerate(stage) if c.probability == 1 and not c.fire)
    if others:
        other = scene.dice.pick(others)
        stage[at] = Call("service", other.name, system.services[other.service].name, target=other, timeout_ns=10e9)
    else:
        name = f"{scene.name(operation.service)}-archive-db"
        stage[at] = Call("database", "SELECT archive", name, law=scene.dice.law("log_normal", 3 * MS, 0.3))
    _lay_plan(scene, changed, scene.dice.between(0.35, 1.0), marks_holder=True)


def n_plus_one(scene: Scene) -> None:
    """Where one call would do, one is made for every item."""
    operation = scene.chooser.operation(0.12)
    changed = _copied(operation)
    small = [c for c in changed.calls() if not c.fire and (c.target is None or c.target.spans <= 3)]
    if small:
        call = scene.dice.pick(small)
    else:
        name = f"{scene.name(operation.service)}-db"
        law = scene.dice.law("log_normal", scene.dice.log_between(0.6, 3) * MS, 0.3)
        call = Call("database", "SELECT items", name, law=law)
        changed.stages.append([call])
    least = scene.dice.whole(8, 25)
    call.times, call.together, call.probability = (least, least + 15), False, 1.0
    _lay_plan(scene, changed, scene.dice.between(0.5, 1.0), marks_holder=True)
    scene.details["calls"] = least


def _impatient(scene: Scene, low: float, high: float) -> tuple[Operation, Operation, Call]:
    """Return an operation, a copy of it, and its call that now waits for `low`..`high` of the usual time."""
    operation, call = scene.chooser.edge(0.2)
    changed = _copied(operation)
    place = next((i, j) for i, s in enumerate(operation.stages) for j, c in enumerate(s) if c is call)
    own = changed.stages[place[0]][place[1]]
    if call.target is None:
        raise NoTargetError
    usual = scene.usage.duration_ns.get(call.target.index, call.target.typical_ns) + 2 * call.network()
    own.timeout_ns = usual * scene.dice.between(low, high)
    own.origin = True
    scene.edges.append((scene.name(operation.service), call.callee))
    scene.details["timeout_ms"] = round(own.timeout_ns / MS, 3)
    return operation, changed, own


def retry_storm(scene: Scene) -> None:
    """A caller gives up too early, tries again at once and many times; the callee has more and more to do."""
    _, changed, call = _impatient(scene, 0.85, 1.1)
    call.retries, call.backoff_ns = scene.dice.whole(4, 7), 1 * MS
    _lay_plan(scene, changed, 1.0, marks_holder=False)
    if call.target is not None:
        slower = scene.dice.between(1.1, 1.5)
        scene.conditions.add_own(call.target.service, OwnEffect(factor=slower, origin=False))


def timeout_inversion(scene: Scene) -> None:
    """A caller waits for less time than its callee has always needed; the callee is as fast as ever."""
    _, changed, call = _impatient(scene, 0.6, 0.98)
    call.retries = min(call.retries, 1)
    _lay_plan(scene, changed, 1.0, marks_holder=False)


def cache_miss_storm(scene: Scene) -> None:
    """A cache knows nothing any more: everything is asked of the database, which gets slow."""
    operation = scene.chooser.operation(0.08, lambda o: any(c.kind == "cache" for c in o.calls()))
    changed = _copied(operation)
    caches = [c for c in changed.calls() if c.kind == "cache"]
    for cache in caches:
        cache.hit_share = scene.dice.between(0.0, 0.15)
        for miss in cache.misses:
            slower = scene.dice.law("log_normal", scene.dice.log_between(2, 20) * MS, 0.5)
            scene.conditions.add_edge(operation.service, miss.callee, EdgeEffect(delay=slower, origin=False))
    _lay_plan(scene, changed, 1.0, marks_holder=True)
    scene.blame(*sorted({cache.callee for cache in caches}))


def queue_backlog(scene: Scene) -> None:
    """Messages wait: the consumers have become slow, or too few."""
    system, usage = scene.system, scene.usage
    consumers = [o for o in system.operations if o.kind == CONSUMER and o.service not in scene.chooser.taken]
    used = [o for o in consumers if usage.operation_calls[o.index] >= 0.04 * usage.traces]
    if not used:
        raise NoTargetError
    consumer = scene.dice.pick(used)
    scene.chooser.taken.add(consumer.service)
    scene.conditions.backlog[consumer.index] = scene.dice.law("gamma", scene.dice.log_between(0.4, 15) * 1e9, 0.4)
    if scene.dice.chance(0.5):
        extra = scene.dice.law("log_normal", max(10 * MS, consumer.typical_ns * scene.dice.between(2, 8)), 0.3)
        scene.conditions.add_own(consumer.service, OwnEffect(extra=extra))
        scene.details["slow_consumer"] = 1
    topic = f"{scene.name(consumer.service).removesuffix('-worker')}-events"
    scene.blame(scene.name(consumer.service), topic)
    scene.found_granularity = "queue"


def traffic_surge(scene: Scene) -> None:
    """One entry is asked many times as often as usual; something behind it cannot keep up."""
    entry = _entry(scene, 0.04, 0.5)
    factor = scene.dice.between(4, 10)
    scene.conditions.entry_factors[entry.index] = factor
    behind = [c.target for c in entry.calls() if c.target is not None and c.target.kind == SERVER]
    if behind:
        victim_of_load(scene, scene.dice.pick(behind), scene.dice.pick((0.0, 0.0, 0.1)))
    scene.details.update(factor=round(factor, 2), operation=entry.name)
    scene.blame(scene.name(entry.service))
    scene.found_granularity = "outside"


def traffic_drop(scene: Scene) -> None:
    """One entry is hardly asked any more; what comes is served as ever."""
    entry = _entry(scene, 0.12, 0.7)
    factor = scene.dice.between(0.0, 0.12)
    scene.conditions.entry_factors[entry.index] = factor
    scene.details.update(factor=round(factor, 3), operation=entry.name)
    scene.blame(scene.name(entry.service))
    scene.found_granularity = "outside"


def _entry(scene: Scene, least: float, most: float) -> Operation:
    count, entries = scene.usage.traces, scene.system.entries
    fitting = [e for e in entries if least * count <= scene.usage.operation_calls[e.index] <= most * count]
    return scene.dice.pick(fitting or entries)


def healthy(scene: Scene) -> None:
    """Nothing happens."""


def benign_load_shift(scene: Scene) -> None:
    """More or less is asked, of a shifted mix; everybody keeps up, a hair slower or faster."""
    dice = scene.dice
    scene.conditions.traffic = dice.log_between(0.5, 2.0)
    for entry in scene.system.entries:
        scene.conditions.entry_factors[entry.index] = dice.log_between(0.6, 1.7)
    for service in scene.system.services:
        factor = 1 + 0.02 * (scene.conditions.traffic - 1)
        scene.conditions.add_own(service.index, OwnEffect(factor=factor, origin=False))
    scene.details["traffic"] = round(scene.conditions.traffic, 2)


def benign_deploy(scene: Scene, count: int | None = None) -> None:
    """Some services get a new version that is as good as the old one."""
    dice = scene.dice
    free = [s for s in scene.system.services if s.index not in scene.chooser.taken and s.seen]
    for service in dice.shuffled(free)[: dice.whole(1, 3) if count is None else count]:
        scene.conditions.pods[service.index] = scene.new_pods(service, dice.pick((1.0, 0.5)))
        scene.conditions.add_own(service.index, OwnEffect(factor=dice.between(0.97, 1.03), origin=False))
        scene.details["benign_deploys"] = int(scene.details.get("benign_deploys", 0)) + 1
