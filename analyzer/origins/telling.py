"""Telling the story: what every span was in it, how the failure travelled, and why others are not it.

In: a `Scene` and the origins that were decided. Out: the words of `findings`. Decides nothing about blame.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from analyzer.error_classes import ErrorClass
from analyzer.findings import CausalStep, Effect, Refuted, Role, RootCause, SpanRole
from analyzer.kernels.failure_rules import NodeState
from analyzer.origins.entities import observed
from analyzer.origins.scene import Scene
from analyzer.origins.shares import Share
from analyzer.words import ms, shown

ROLES_MAX = 200
REFUTED_MAX = 16
STEPS_MAX = 64

_HANDLED = (NodeState.HANDLED_FALLBACK, NodeState.IGNORED)
_REASONS: dict[Role, str] = {
    "propagated": "it passed on a failure that came from below",
    "transformed": "it passed on a failure from below as another kind of error",
    "victim": "it was cancelled because of a failure elsewhere",
    "recovered": "a later attempt of the same call succeeded",
    "handled": "its caller dealt with the failure and went on",
    "noise": "it wrote of an error, but did not fail",
}


def roles_of(scene: Scene, origins: Collection[int], unseen: Collection[int] = ()) -> tuple[SpanRole, ...]:
    """What every failed or hinting span was, and the origins even if they did not fail.

    unseen : origins that only show the failure of something that sends no spans
    """
    told = [node for node in scene.nodes if scene.failed(node) or scene.weak(node) or node in origins]
    # Origins and entries say most; of a flood of failures the first ROLES_MAX are told.
    told.sort(key=lambda node: (node not in origins, node))
    return tuple(
        SpanRole(
            span_id=scene.span_id(node),
            service=scene.service(node),
            operation=scene.operation(node),
            role="unseen_dependency" if node in unseen and node in origins else role_of(scene, node, origins),
            error_class=scene.error_class(node).name.lower() if scene.error_class(node) else "",
        )
        for node in told[:ROLES_MAX]
    )


def role_of(scene: Scene, node: int, origins: Collection[int]) -> Role:
    """What one failed or hinting span was. Handled failures keep their role below the span that handled them."""
    if node in origins:
        return "origin"
    if not scene.failed(node):
        return "noise"
    state = scene.blame.state_of(node)
    if state == NodeState.HANDLED_RETRY or scene.attempt(node) == 2:
        return "recovered"
    if state in _HANDLED:
        return "handled"
    if scene.error_class(node) == ErrorClass.CANCELLED:
        return "victim"
    for above in scene.above(node):
        over = scene.blame.state_of(above)
        if over == NodeState.HANDLED_RETRY:
            return "recovered"
        if over in _HANDLED:
            return "handled"
    if scene.blame.handled[node - scene.blame.base] > scene.blame.share[node - scene.blame.base]:
        return "handled"
    return "transformed" if state == NodeState.TRANSFORMED else "propagated"


def refuted(scene: Scene, failed: Sequence[int], origins: Collection[int]) -> list[Refuted]:
    """Why each failed span that is not an origin is not the origin."""
    found = []
    for node in failed:
        if node in origins:
            continue
        role = role_of(scene, node, origins)
        reason = _REASONS.get(role, "another span explains its failure")
        if role == "propagated" and scene.blame.state_of(node) == NodeState.TIMEOUT:
            reason = f"it gave up after {ms(scene.duration_ns(node))}, waiting for a call below it"
        if scene.attempt(node) == 1:
            reason = "an earlier attempt of a call that was tried again"
        found.append(Refuted(entity=observed(scene, node), reason=reason, span_ids=[scene.span_id(node)]))
        if len(found) == REFUTED_MAX:
            break
    return found


def causal_chain(scene: Scene, path: Sequence[int], first: RootCause, fatal: bool) -> tuple[CausalStep, ...]:
    """From the origin to the entry, what each span did with the failure.

    path : nodes from the origin up
    """
    steps = [CausalStep(span=scene.ref(path[0]), effect="began", sentence=first.sentence)]
    below = path[0]
    cause = ErrorClass(scene.error_class(path[0]))
    for node in path[1:]:
        effect = _effect(scene, node, below, cause, fatal)
        steps.append(CausalStep(span=scene.ref(node), effect=effect, sentence=_sentence(scene, node, below, effect)))
        if effect == "handled":
            break
        if scene.failed(node):
            cause = scene.error_class(node)
        below = node
    if len(steps) > STEPS_MAX:
        steps = steps[: STEPS_MAX // 2] + steps[-STEPS_MAX // 2 :]
    return tuple(steps)


def _effect(scene: Scene, node: int, below: int, cause: ErrorClass, fatal: bool) -> Effect:
    state = scene.blame.state_of(node)
    tried = len(scene.attempts(below)) > 1
    if not scene.failed(node):
        if scene.failed(below) and (scene.says_ok(node) or not fatal):
            return "retried" if scene.attempt(below) == 2 else "handled"
        return "propagated" if scene.failed(below) else "slowed" if _waits(scene, node) else "propagated"
    if state == NodeState.TIMEOUT:
        return "timed_out"
    if tried:
        return "retried"
    if scene.error_class(node) == ErrorClass.CANCELLED:
        return "cancelled"
    known = (ErrorClass.NONE, ErrorClass.UNKNOWN)
    if cause not in known and scene.error_class(node) not in known and scene.error_class(node) != cause:
        return "transformed"
    return "propagated"


def _waits(scene: Scene, node: int) -> bool:
    """Somebody above gave up waiting for this span."""
    return any(scene.blame.state_of(above) == NodeState.TIMEOUT for above in scene.above(node))


def _sentence(scene: Scene, node: int, below: int, effect: Effect) -> str:
    who = f"{shown(scene.service(node))} {shown(scene.operation(node))}"
    under = shown(scene.operation(below))
    tries = len(scene.attempts(below))
    return {
        "began": f"{who} failed.",
        "propagated": f"{who} passed the failure of {under} on.",
        "transformed": f"{who} passed it on as {scene.error_type(node) or scene.error_class(node).name.lower()}.",
        "timed_out": f"{who} gave up waiting after {ms(scene.duration_ns(node))}.",
        "retried": f"{who} tried {under} again ({tries} failed attempts).",
        "handled": f"{who} dealt with the failure of {under} and went on.",
        "cancelled": f"{who} was cancelled.",
        "slowed": f"{who} was held up by {under}.",
    }[effect]


def next_probe(scene: Scene, top: Share, candidates: Sequence[RootCause]) -> str:
    """What to look at to decide between the candidates."""
    node = top.node
    at_ms = scene.start_ns(node) // 1_000_000
    kind = top.entity.kind
    if kind == "edge":
        return (
            f"Look at the network and proxies between {top.entity.caller} and {top.entity.callee}: "
            f"resets, retransmissions and 5xx at unix time {at_ms} ms."
        )
    if kind == "unknown":
        return f"Find who called {shown(scene.service(node))} {shown(scene.operation(node))}: why did it give up?"
    if kind in ("peer", "queue") or top.entity.name != scene.service(node):
        return f"Ask {top.entity.name}, which sent no spans here: its logs and health at unix time {at_ms} ms."
    others = ", ".join(shown(cause.entity.name) for cause in candidates[1:3])
    against = f" and compare with {others}" if others else ""
    return (
        f"Read the logs of {shown(scene.service(node))} for span {scene.span_id(node)} "
        f"({shown(scene.operation(node))}){against}."
    )
