"""Faults between services: the way, the name, the port, and peers that emit nothing themselves.

In: a scene. Out: conditions and the label. A fault of one edge names both ends; of all edges into a service, or out
of it, that service.
"""

from __future__ import annotations

from analyzer.simulator.conditions import EdgeEffect
from analyzer.simulator.dialects import DIALECTS
from analyzer.simulator.dice import MS
from analyzer.simulator.failures import no_such_host, unavailable
from analyzer.simulator.failures import refused as refused_by
from analyzer.simulator.faults import Scene
from analyzer.simulator.system import Call, Operation

SIDES = ("edge", "ingress", "egress")


def _lay(scene: Scene, effect: EdgeEffect, side: str) -> tuple[Operation, Call]:
    """Lay an effect on one edge, on all into its callee, or on all out of its caller; write the label."""

    def starlike(operation: Operation, call: Call) -> bool:
        return len(callers_of(call) if side == "ingress" else callees_of(operation)) > 1

    def callers_of(call: Call) -> set[int]:
        return {o.service for o in _callers(scene, call.callee)}

    def callees_of(operation: Operation) -> set[str]:
        return {c.callee for c in _calls_of(scene, operation.service) if c.kind != "publish"}

    effect.between = True
    operation, call = scene.chooser.edge(0.15, wanted=None if side == "edge" else starlike)
    caller, callers = scene.name(operation.service), callers_of(call)
    if side != "edge" and not starlike(operation, call):
        side = "edge"  # nobody can tell them apart
    scene.found_granularity = side
    if side == "edge":
        scene.conditions.add_edge(operation.service, call.callee, effect)
        scene.blame(caller, call.callee)
        scene.edges.append((caller, call.callee))
    elif side == "ingress":
        scene.conditions.add_edge(-1, call.callee, effect)
        scene.blame(call.callee)
        scene.edges += sorted({(scene.name(service), call.callee) for service in callers})
        _blame_the_only_witnesses(scene, call.callee)
    else:
        scene.conditions.add_edge(operation.service, "", effect)
        scene.blame(caller)
        scene.edges += sorted({(caller, c.callee) for c in _calls_of(scene, operation.service)})
    return operation, call


def _blame_the_only_witnesses(scene: Scene, callee: str) -> None:
    """Where calls have no spans of their own, what happens between two services is time of the caller."""
    callers = [scene.system.services[o.service] for o in _callers(scene, callee)]
    if all(not DIALECTS[service.dialect].clients for service in callers):
        scene.blame(*sorted({service.name for service in callers}))


def _callers(scene: Scene, callee: str) -> list[Operation]:
    return [o for o in scene.system.operations if any(c.callee == callee for c in o.calls())]


def _calls_of(scene: Scene, service: int) -> list[Call]:
    return [c for o in scene.system.operations if o.service == service for c in o.calls()]


def network_delay(scene: Scene) -> None:
    """Packets take longer; both services work as fast as ever."""
    dice = scene.dice
    effect = EdgeEffect()
    operation, call = _lay(scene, effect, dice.weighted(SIDES, (3, 2, 2)))
    slack = call.timeout_ns - (call.target.typical_ns if call.target else 0)
    whole = max(4 * MS, scene.usage.duration_ns.get(operation.index, 10 * MS) * dice.log_between(0.6, 3))
    whole = min(whole, 0.5 * slack) if dice.chance(0.75) else max(whole, slack * dice.between(1.1, 2))
    effect.delay = dice.law("log_normal", max(whole, 3 * MS), dice.between(0.05, 0.4))
    scene.details.update(delay_ms=round(whole / MS, 3), below_deadline=int(whole < slack))


def network_loss(scene: Scene) -> None:
    """Packets are lost and sent again after a wait; a few connections break."""
    share = scene.dice.between(0.06, 0.25)
    wait = scene.dice.pick((40 * MS, 200 * MS, 200 * MS))
    _lay(scene, EdgeEffect(resend_share=share, resend_ns=wait), scene.dice.weighted(SIDES, (3, 2, 2)))
    scene.details["share"] = round(share, 3)


def network_partition(scene: Scene) -> None:
    """Nothing gets through: every call is given up when its deadline comes."""
    _lay(scene, EdgeEffect(silent=True), scene.dice.weighted(SIDES, (3, 2, 1)))


def refused(scene: Scene) -> None:
    """Some of the pods do not listen: a part of the calls is refused at once."""
    share = scene.dice.between(0.25, 0.9)
    service = scene.chooser.service(0.15, lambda s: s.level > 0)
    scene.conditions.add_edge(-1, service.name, EdgeEffect(share=share, failure=refused_by(service.name)))
    scene.details["share"] = round(share, 3)
    scene.blame(service.name)


def kill(scene: Scene) -> None:
    """A service is gone: refused at once, or (its node is gone too) nobody answers. It emits nothing."""
    service = scene.chooser.service(0.12, lambda s: s.level > 0)
    scene.conditions.down[service.name] = scene.dice.chance(0.4)
    scene.details["silent"] = int(scene.conditions.down[service.name])
    scene.blame(service.name)


def dns(scene: Scene) -> None:
    """A name cannot be resolved: of one service, by everybody; or of anybody, by one service."""
    dice = scene.dice
    operation, call = scene.chooser.edge(0.15)
    after = dice.pick((1 * MS, 5 * MS, 1.5e9))
    share = dice.between(0.4, 1.0)
    scene.details["share"] = round(share, 3)
    if dice.chance(0.5):
        effect = EdgeEffect(share=share, failure=no_such_host(call.callee), fails_after_ns=after, between=True)
        scene.conditions.add_edge(-1, call.callee, effect)
        scene.blame(call.callee)
        scene.found_granularity = "ingress"
        scene.edges += sorted({(scene.name(o.service), call.callee) for o in _callers(scene, call.callee)})
        if len(scene.edges) == 1:  # its only caller may as well be the one that cannot resolve names
            scene.found_granularity = "edge"
            scene.blame(scene.edges[0][0])
        _blame_the_only_witnesses(scene, call.callee)
        return
    scene.found_granularity = "egress"
    scene.blame(scene.name(operation.service))
    for callee in sorted({c.callee for c in _calls_of(scene, operation.service) if c.kind != "publish"}):
        effect = EdgeEffect(share=share, failure=no_such_host(callee), fails_after_ns=after, between=True)
        scene.conditions.add_edge(operation.service, callee, effect)
        scene.edges.append((scene.name(operation.service), callee))


def saas_dependency(scene: Scene) -> None:
    """Somebody else's service, which emits nothing, is slow, failing or silent."""
    operation, call = scene.chooser.edge(0.1, ("saas",))
    dice = scene.dice
    effect = EdgeEffect(share=dice.between(0.5, 1.0))
    how = dice.pick(("slow", "failing", "silent"))
    if how == "slow":
        effect.delay = dice.law("log_normal", dice.log_between(120, 1200) * MS, 0.3)
    elif how == "failing":
        effect.failure = unavailable(call.callee)
    else:
        effect.silent = True
    scene.conditions.add_edge(-1, call.callee, effect)
    scene.details["how"] = how
    users = sorted({scene.name(o.service) for o in _callers(scene, call.callee)})
    scene.edges += [(user, call.callee) for user in users]
    scene.blame(call.callee)
    dialects = {scene.system.services[o.service].dialect for o in _callers(scene, call.callee)}
    if any(not DIALECTS[name].peer_key for name in dialects):  # then nobody says its name: who calls it is the answer
        scene.blame(*users)
    scene.chooser.taken.add(operation.service)
