"""A call failed and no failed server span explains it: callee, caller, or the way between?

The decision table of algorithms 3.1, one named rule a row. In: a `Scene` and a failed CLIENT or PRODUCER
span. Out: shares of its blame.
"""

from __future__ import annotations

import math

from analyzer.error_classes import ErrorClass
from analyzer.findings import Entity, Evidence
from analyzer.origins.entities import answers_usually, callee, edge, observed
from analyzer.origins.scene import Scene
from analyzer.origins.shares import Share, claim
from analyzer.origins.unmarked import silent_child, work_span
from analyzer.words import ms, shown

Parts = tuple[float, float, float]  # callee, edge, caller

# Rule and parts of classes that mean the same whoever answers.
_BY_CLASS: dict[ErrorClass, tuple[str, Parts, str]] = {
    ErrorClass.CLIENT: ("error.request.rejected", (0.4, 0.0, 0.6), "would not take the request it was sent"),
    ErrorClass.AUTH: ("error.auth", (0.4, 0.0, 0.6), "refused the credentials it was given"),
    ErrorClass.THROTTLED: ("error.throttled", (0.6, 0.0, 0.4), "limited the rate of calls"),
    ErrorClass.BUSINESS: ("error.business", (1.0, 0.0, 0.0), "said no for a business reason; no system failed"),
    ErrorClass.DATA: ("error.peer.unseen", (0.7, 0.0, 0.3), "refused the statement or its data"),
}


def call_shares(scene: Scene, node: int) -> list[Share]:
    """Say whose fault a failed call is, when no failed span below it tells."""
    server = scene.server_child(node)
    return _unseen(scene, node) if server is None else _seen(scene, node, server)


def _seen(scene: Scene, node: int, server: int) -> list[Share]:
    """A server span is there and did not fail."""
    found = scene.error_class(node)
    if found in _BY_CLASS and scene.answered(node) and not scene.says_ok(server):
        rule, parts, text = _BY_CLASS[found]
        evidence = claim(scene, f"the call got {scene.error_type(node) or found.name.lower()}", node, server)
        return _split(scene, node, observed(scene, server), server, parts, rule, text, evidence)
    if scene.answered(node) and not scene.says_ok(server):
        return _unmarked_server(scene, node, server)
    gap_ns = scene.duration_ns(node) - scene.duration_ns(server)
    evidence = claim(
        scene,
        f"the server span is whole and without an error, {ms(gap_ns)} shorter than the failed call",
        node,
        server,
        gap_ms=gap_ns / 1e6,
    )
    text = "did the work, but its answer did not reach the caller as a success"
    return _split(scene, node, observed(scene, server), server, (0.2, 0.6, 0.2), "error.edge.response", text, evidence)


def _unmarked_server(scene: Scene, node: int, server: int) -> list[Share]:
    """The caller was sent an error, the server span just does not say so."""
    text = f"the call got {scene.error_type(node) or 'an error'} back; the server span carries no status"
    evidence: tuple[Evidence, ...] = (claim(scene, text, node, server),)
    origin, who = work_span(scene, server), observed(scene, server)
    silent = silent_child(scene, server)
    if silent is not None and silent.probability > 0.5:
        origin, evidence = silent.node, (*evidence, *silent.evidence)
        if scene.kind(origin).name in ("CLIENT", "PRODUCER") and scene.server_child(origin) is None:
            who = callee(scene, origin)
        else:
            who = observed(scene, origin)
    return [
        Share(who, origin, 0.85, "error.origin.unmarked_child", "failed without marking its span", evidence),
        Share(edge(scene, node, server), node, 0.15, "error.edge.response", "an error arose on the way", evidence[:1]),
    ]


def _unseen(scene: Scene, node: int) -> list[Share]:
    """No server span: lost, not instrumented, or never reached."""
    found, usual, who = scene.error_class(node), answers_usually(scene, node), callee(scene, node)
    words = " ".join(scene.messages(node)).lower() + " " + scene.error_type(node).lower()
    name = who.name
    seen = _why_unseen(scene, node, usual)
    if ("circuit" in words and "break" in words) or "callnotpermitted" in words:
        text = "was not called: the circuit breaker towards it is open"
        return _split(scene, node, who, node, (0.8, 0.0, 0.2), "error.breaker.open", text, seen)
    if "pool" in words and found in (ErrorClass.EXHAUSTED, ErrorClass.TIMEOUT):
        text = "ran out of pooled connections"
        return _split(scene, node, who, node, (0.3, 0.0, 0.7), "error.pool.exhausted", text, seen)
    if found in _BY_CLASS:
        rule, parts, text = _BY_CLASS[found]
        return _split(scene, node, who, node, parts, rule, text, seen)
    if scene.answered(node) and found not in (ErrorClass.UNAVAILABLE, ErrorClass.TIMEOUT):
        text = f"answered with {scene.error_type(node) or 'an error'}; its own spans were not seen"
        return _split(scene, node, who, node, (1.0, 0.0, 0.0), "error.peer.unseen", text, seen)
    fast = _fast(scene, node)
    if found == ErrorClass.UNAVAILABLE or (usual and fast and found != ErrorClass.TIMEOUT):
        after = ms(scene.duration_ns(node))
        text = f"refused or could not be reached: the call failed after {after} and no server span exists"
        parts = (1.0, 0.0, 0.0)
        if usual:
            parts = (0.4, 0.6, 0.0) if _lives(scene, node, name) else (0.8, 0.2, 0.0)
        return _split(scene, node, who, node, parts, "error.refused.no_server", text, seen)
    if found == ErrorClass.TIMEOUT or (usual and not fast):
        parts = (1.0, 0.0, 0.0)
        if usual:
            parts = (0.4, 0.6, 0.0) if _lives(scene, node, name) else (0.6, 0.4, 0.0)
        text = f"did not answer within {ms(scene.duration_ns(node))}"
        return _split(scene, node, who, node, parts, "error.timeout.silent_callee", text, *_deadline(scene, node), seen)
    text = f"failed as {scene.error_type(node) or found.name.lower()}; it sends no spans of its own"
    return _split(scene, node, who, node, (1.0, 0.0, 0.0), "error.peer.unseen", text, seen)


def _split(
    scene: Scene, node: int, who: Entity, origin: int, parts: Parts, rule: str, text: str, *evidence: Evidence
) -> list[Share]:
    """Share blame between callee, edge and caller."""
    server = scene.server_child(node)
    caller = observed(scene, node)
    shares = [
        Share(who, origin, parts[0], rule, text, evidence),
        Share(edge(scene, node, server), node, parts[1], rule, "lost or broke the call on the way", evidence),
        Share(caller, node, parts[2], rule, f"called {shown(who.name)} in a way that failed", evidence),
    ]
    if rule == "error.pool.exhausted":
        shares[2] = Share(caller, node, parts[2], rule, text, evidence)
        shares[0] = Share(who, origin, parts[0], rule, "held connections for too long", evidence)
    return [share for share in shares if share.part > 0.0]


def _why_unseen(scene: Scene, node: int, usual: bool) -> Evidence:
    share = float(scene.analysis.structure.server_share[node])
    if usual:
        known = 1.0 if math.isnan(share) else share
        return claim(scene, "this call usually has a server span below it; here it has none", node, server_share=known)
    if math.isnan(share):
        return claim(scene, "no server span is below the call; whether there ever is one is not known yet", node)
    return claim(scene, "this call never has a server span below it: the other side sends none", node)


def _fast(scene: Scene, node: int) -> bool:
    """Quicker than usual calls; where nothing is known, quicker than 50 ms (a refusal takes a round trip)."""
    usual_ns = float(scene.analysis.duration.expected_ns[node])
    return scene.duration_ns(node) <= (50e6 if math.isnan(usual_ns) else usual_ns)


def _lives(scene: Scene, node: int, name: str) -> bool:
    """The callee served another call of the same trace without an error: it is not down."""
    return any(
        scene.service(one) == name and scene.kind(one).name == "SERVER" and not scene.failed(one)
        for one in scene.nodes
        if one != node
    )


def _deadline(scene: Scene, node: int) -> list[Evidence]:
    known = scene.memory.deadline_ns(scene.analysis, node, scene.config.deadline_share_min)
    if known is None or abs(scene.duration_ns(node) - known) > 0.05 * known:
        return []
    return [
        claim(scene, f"calls like this one are given up after {ms(known)}: a deadline", node, deadline_ms=known / 1e6)
    ]
