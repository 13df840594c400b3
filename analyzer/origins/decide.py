"""Whose fault is the blame that came to rest at one span: every rule has a name.

In: a `Scene` and a node that holds blame. Out: shares of it, summing to one. The rules of failed calls
stand in `calls.py`, silent children in `unmarked.py`.
"""

from __future__ import annotations

from analyzer.error_classes import ErrorClass
from analyzer.findings import Entity, Evidence
from analyzer.kernels.failure_rules import NodeState
from analyzer.origins.calls import call_shares
from analyzer.origins.entities import callee, dependency_in, edge, has_peer, named_peer, observed
from analyzer.origins.patience import came_too_late, too_impatient
from analyzer.origins.scene import Scene
from analyzer.origins.shares import Share, claim
from analyzer.origins.unmarked import Silent, abandoned, silent_child, slow_below, slowest_below, work_span
from analyzer.spans import SpanKind
from analyzer.words import ms, shown

SILENT_MIN = 0.2  # a silent child less likely than this is not worth a candidate
_CALLS = (SpanKind.CLIENT, SpanKind.PRODUCER)
_LOCAL: dict[ErrorClass, tuple[str, str]] = {
    ErrorClass.BUSINESS: ("error.business", "said no for a business reason; no system failed"),
    ErrorClass.THROTTLED: ("error.throttled", "limited the rate of calls"),
    ErrorClass.AUTH: ("error.auth", "refused the credentials it was given"),
    ErrorClass.CLIENT: ("error.request.rejected", "would not take the request it was sent"),
}


def shares_of(scene: Scene, node: int) -> list[Share]:
    """Share the blame of one span between entities."""
    given_up = _given_up(scene, node) or _left_waiting(scene, node)
    if given_up is not None:
        shares = [given_up]
    elif scene.blame.state_of(node) == NodeState.SLOW:
        shares = [_slow(scene, node)]
    elif scene.error_class(node) == ErrorClass.CANCELLED and scene.failed(node):
        shares = [_cancelled(scene, node)]
    elif scene.failed(node) and (scene.kind(node) in _CALLS or _unanswered(scene, node)):
        shares = _failed_call(scene, node)
    else:
        shares = _local(scene, node)
    return _tried(scene, node, shares)


def gave_up(scene: Scene, node: int) -> int | None:
    """The span above `node` whose deadline ran out; None when there is none."""
    for above in scene.above(node):
        if scene.failed(above) and scene.blame.state_of(above) == NodeState.TIMEOUT:
            return above
    return None


def _unanswered(scene: Scene, node: int) -> bool:
    """A span without a kind that always calls another service, and here has nothing below it."""
    return not scene.children(node) and bool(scene.usual_callee(node))


def _given_up(scene: Scene, node: int) -> Share | None:
    """A call that was given up and whose callee is not to blame, whoever held the time; None: there is none."""
    calls = [node]
    if scene.blame.state_of(node) == NodeState.SLOW:  # whatever became of the failure: it may have been handled
        calls = list(scene.above(node))
    elif scene.error_class(node) in (ErrorClass.UNKNOWN, ErrorClass.CANCELLED):
        # What failed after its caller had given up did not make it give up.
        calls = [call for call in scene.above(node) if scene.end_ns(call) <= scene.end_ns(node)]
    for call in calls:
        timed_out = scene.failed(call) and scene.error_class(call) == ErrorClass.TIMEOUT
        is_call = scene.kind(call) in _CALLS or scene.usual_callee(call)
        if is_call and (timed_out or (call != node and abandoned(scene, call))):
            return _not_the_callee(scene, call, 1.0)
        if timed_out:
            return None
    return None


def _left_waiting(scene: Scene, node: int) -> Share | None:
    """A failed call without a kind that its callee outlived: it was given up, though it has no words for it."""
    known = scene.error_class(node) in (ErrorClass.UNKNOWN, ErrorClass.TIMEOUT)
    if not (scene.failed(node) and known and scene.usual_callee(node)):
        return None
    held = slowest_below(scene, node)
    if held is None:
        return None
    share = _not_the_callee(scene, node, 1.0)
    if share is not None:
        return share
    text = f"was too slow: {ms(int(scene.analysis.own_ns[held]))} in {shown(scene.operation(held))}"
    gone = claim(scene, f"{scene.operation(node)} ended, and what it had called went on", node, held)
    return Share(_holder(scene, held), held, 1.0, "error.timeout.slow_server", text, (gone,))


def _not_the_callee(scene: Scene, call: int, part: float) -> Share | None:
    """Blame the caller's deadline or the way for a call that was given up; None when neither is to blame."""
    evidence = too_impatient(scene, call)
    if evidence is not None:
        waited = ms(scene.duration_ns(call))
        text = f"gave up on {shown(scene.operation(call))} after {waited}, less than it usually takes"
        return Share(observed(scene, call), call, part, "error.timeout.impatient_caller", text, (evidence,))
    evidence = came_too_late(scene, call)
    if evidence is not None:
        who = edge(scene, call, scene.server_child(call))
        text = f"took until the call of {shown(scene.operation(call))} had been given up"
        return Share(who, call, part, "error.timeout.slow_way", text, (evidence,))
    return None


def _slow(scene: Scene, node: int) -> Share:
    own_ns = int(scene.analysis.own_ns[node])
    took = f"{scene.operation(node)} took {ms(scene.duration_ns(node))}, {ms(own_ns)} of it by itself"
    evidence = [claim(scene, took, node, own_ms=own_ns / 1e6)]
    waiter = gave_up(scene, node)
    after = ""
    if waiter is not None:
        waited_ns = scene.duration_ns(waiter)
        after = f"; {shown(scene.service(waiter))} gave up after {ms(waited_ns)}"
        text = (
            f"{scene.operation(waiter)} gave up {ms(max(scene.end_ns(node) - scene.end_ns(waiter), 0))} before it ended"
        )
        evidence.append(claim(scene, text, waiter, node, waited_ms=waited_ns / 1e6))
        known = scene.memory.deadline_ns(scene.analysis, waiter, scene.config.deadline_share_min)
        if known is not None:
            text = f"calls like this one are given up after {ms(known)}: a deadline"
            evidence.append(claim(scene, text, waiter, deadline_ms=known / 1e6))
    text = f"was too slow: {ms(own_ns)} in {shown(scene.operation(node))}{after}"
    return Share(_holder(scene, node), node, 1.0, "error.timeout.slow_server", text, tuple(evidence))


def _holder(scene: Scene, node: int) -> Entity:
    """Whose the own time of a span is: of a call, the other side's or the way's; else its service's."""
    if scene.kind(node) not in _CALLS:
        return observed(scene, node)
    server = scene.server_child(node)
    return callee(scene, node) if server is None else edge(scene, node, server)


def _cancelled(scene: Scene, node: int) -> Share:
    text = "was cancelled from outside; who gave up is not in the trace"
    evidence = claim(scene, "the span was told to stop, and nothing that failed in this trace explains it", node)
    who = Entity(kind="unknown", name=f"caller of {shown(scene.service(node))} {shown(scene.operation(node))}")
    # Half of it stays unsaid: the cause lies outside what was seen.
    return Share(who, node, 0.3, "error.cancelled.victim", text, (evidence,))


def _failed_call(scene: Scene, node: int) -> list[Share]:
    """A failed call: a failed server below already took its part, the rest is the way between."""
    server = scene.server_child(node)
    if server is not None and scene.failed(server):
        evidence = claim(scene, "both ends of the call failed", node, server)
        text = "the call failed between the two"
        return [Share(edge(scene, node, server), node, 1.0, "error.edge.response", text, (evidence,))]
    silent = silent_child(scene, node) if server is None else None
    if silent is not None and silent.probability > 0.5:
        return [_blame_silent(scene, node, silent, 1.0)]
    return call_shares(scene, node)


def _local(scene: Scene, node: int) -> list[Share]:
    silent = silent_child(scene, node)
    shares = []
    left = 1.0
    if silent is not None and silent.probability >= SILENT_MIN:
        shares.append(_blame_silent(scene, node, silent, silent.probability))
        left -= silent.probability
    if has_peer(scene, node) and not scene.children(node) and scene.kind(node) == SpanKind.INTERNAL:
        text = f"failed as {scene.error_type(node) or 'an error'} when {shown(scene.service(node))} used it"
        evidence = claim(scene, "the span names a peer, and no span of that peer was seen", node)
        shares.append(Share(callee(scene, node), node, left, "error.peer.unseen", text, (evidence,)))
        return shares
    rule, text = _LOCAL.get(
        scene.error_class(node), ("error.origin.local", f"failed in {shown(scene.operation(node))}")
    )
    error, message = scene.error_type(node), next(iter(scene.messages(node)), "")
    told = ": ".join(word for word in (error, shown(message)) if word)
    below = any(scene.failed(child) for child in scene.children(node))
    alone = (
        "it failed with an error of its own, beside what failed below it"
        if below
        else "it failed and no span below it did"
    )
    evidence = claim(scene, f"{alone} ({told or 'no message'})", node)
    sentence = f"{text} ({told})" if told else text
    inner = work_span(scene, node)
    shares.append(Share(observed(scene, inner), inner, left, rule, sentence, (evidence,)))
    return shares


def _blame_silent(scene: Scene, node: int, silent: Silent, part: float) -> Share:
    """Blame a child that failed without saying so, or what it called."""
    origin = silent.node
    held = slow_below(scene, node, origin)
    if held is not None:
        share = _not_the_callee(scene, origin, part)
        if share is not None:
            return share
        own_ns = int(scene.analysis.own_ns[held])
        text = (
            f"was too slow: {ms(own_ns)} in {shown(scene.operation(held))}; its caller gave up without marking the call"
        )
        return Share(_holder(scene, held), held, part, "error.timeout.slow_server", text, silent.evidence)
    message = next(iter(scene.messages(node)), "")
    business = scene.error_class(node) == ErrorClass.BUSINESS
    rule = "error.business" if business else "error.origin.unmarked_child"
    unseen = scene.server_child(origin) is None and (scene.kind(origin) in _CALLS or has_peer(scene, origin))
    named = dependency_in(message)
    if unseen:
        who = callee(scene, origin)
    elif named and not scene.children(origin):
        who = named_peer(scene, origin, named)
    else:
        who = observed(scene, origin)
    told = f" ({shown(message)})" if message else ""
    text = f"failed inside {shown(scene.operation(origin))}, which did not say so; only its caller did{told}"
    if business:
        text = f"said no inside {shown(scene.operation(origin))} for a business reason; no system failed{told}"
    return Share(who, origin, part, rule, text, silent.evidence)


def _tried(scene: Scene, node: int, shares: list[Share]) -> list[Share]:
    """Say that a call was tried several times, whether it was `node` itself or a call above it."""
    for at in [node, *list(scene.above(node))[:4]]:
        tries = scene.attempts(at)
        if len(tries) < 2:
            continue
        spent_ns = scene.end_ns(tries[-1]) - scene.start_ns(tries[0])
        text = f"{scene.operation(at)} was tried {len(tries)} times over {ms(spent_ns)}, each time in vain"
        if scene.attempt(tries[-1]):
            text = f"{scene.operation(at)} failed {len(tries)} times before a later attempt succeeded"
        evidence: Evidence = claim(
            scene, text, *tries[:10], attempts=float(len(tries)), amplification=float(len(tries))
        )
        shares = [share.with_evidence(evidence) for share in shares]
        if at == node and not scene.attempt(tries[-1]):
            shares = [
                Share(share.entity, share.node, share.part, "error.retry.exhausted", share.sentence, share.evidence)
                for share in shares
            ]
        break
    return shares
