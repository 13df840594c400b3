"""Where an error began: the story of one trace.

In: an `Analysis`, one of its traces, and what was learned. Out: `ErrorStory`: candidates with
probabilities, what every failed span was, and how the failure travelled. The blame of the kernels says
*where* it came to rest; the named rules of `decide` say *whose* it is there. Same input, same answer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analyzer.analysis import Analysis
from analyzer.config import AnalysisConfig
from analyzer.error_classes import ErrorClass
from analyzer.findings import CausalStep, Entity, Evidence, RootCause, SpanRole
from analyzer.forest import NodeFlag
from analyzer.kernels.failure_rules import NodeState
from analyzer.origins.decide import shares_of
from analyzer.origins.marks import spread_blame
from analyzer.origins.memory import PropagationMemory
from analyzer.origins.scene import Scene
from analyzer.origins.shares import Share
from analyzer.origins.telling import causal_chain, next_probe, refuted, roles_of
from analyzer.words import shown

BLAME_MIN = 0.02  # less blame than this at a span is not looked into
BLAMED_MAX = 16  # spans whose details are read; bounds the work of one story
CANDIDATES_MAX = 8
ORIGIN_SPANS_MAX = 10
EVIDENCE_MAX = 12
INDEPENDENT_MIN = 0.2  # blame from which another cause has origin spans of its own
SURE_MAX = 0.98  # nothing read from one trace is certain
INCOMPLETE_FACTOR = 0.85  # spans are missing: the origin may be among them


@dataclass(frozen=True, slots=True)
class ErrorStory:
    """What is said of the errors of one trace.

    candidates : likeliest first; probabilities sum to at most 1
    fatal : an entry of the trace failed: a root, or a consumer behind a queue
    user_visible : a root failed, so that whoever asked got an error
    handled : something failed and its caller dealt with it; when not fatal, candidates are about that
    business : the likeliest cause is a business refusal; no system failed
    error_class : of the failed entry, else of the failure that was handled
    reason : why there are no candidates, or why the first is not to be trusted; else empty
    origin_node : node of the first candidate, -1 none
    path : ids of the spans from there up to its entry
    """

    candidates: tuple[RootCause, ...] = ()
    roles: tuple[SpanRole, ...] = ()
    causal_chain: tuple[CausalStep, ...] = ()
    fatal: bool = False
    user_visible: bool = False
    handled: bool = False
    business: bool = False
    error_class: ErrorClass = ErrorClass.NONE
    reason: str = ""
    next_probe: str | None = None
    origin_node: int = -1
    path: frozenset[str] = frozenset()


def explain_errors(
    analysis: Analysis,
    trace: int,
    memory: PropagationMemory,
    config: AnalysisConfig,
    usual_attributes: Mapping[int, frozenset[str]] | None = None,
    usual_callee: Callable[[int], str] | None = None,
) -> ErrorStory:
    """Say where the errors of a trace began.

    Parameters
    ----------
    usual_attributes : mapping of operation id -> attribute keys, optional
        Keys that most clean spans of an operation carry: their absence is evidence.
    usual_callee : operation id -> service, optional
        The one other service that an operation always calls, else empty (`analyzer.structure.usual_callee`).
    """
    nodes = analysis.forest.nodes(trace)
    failed = np.flatnonzero(analysis.failed[nodes.start : nodes.stop]) + nodes.start
    blame = spread_blame(analysis, memory, trace, trace + 1)
    scene = Scene(analysis, trace, blame, memory, config, usual_attributes, usual_callee)
    if not len(failed):
        hints = bool(analysis.weak[nodes.start : nodes.stop].any())
        reason = "only hints: an exception or error log was written, but no span failed" if hints else "no span failed"
        return ErrorStory(roles=roles_of(scene, set()), reason=reason)
    fatal = bool(blame.fatal[0])
    blamed = _blamed(scene, blame.share if fatal else blame.handled)
    parts = [part.times(mass) for node, mass in blamed for part in shares_of(scene, node)]
    if not fatal:
        parts = [_as_handled(scene, part) for part in parts]
    ranked = _merge(parts)
    incomplete = bool((analysis.forest.flags[nodes.start : nodes.stop] & int(NodeFlag.ORPHAN)).any())
    incomplete |= bool(analysis.traces.dropped[trace])
    certainty = SURE_MAX * (INCOMPLETE_FACTOR if incomplete else 1.0)
    entry = _entry(scene, failed, fatal)
    top = ranked[0][0]
    chain_nodes = [top.node, *scene.above(top.node)]
    origins = _origins(ranked, set(chain_nodes))
    candidates = tuple(
        _root_cause(scene, rank, group, certainty, len(blamed)) for rank, group in enumerate(ranked[:CANDIDATES_MAX], 1)
    )
    first = candidates[0]
    first = first.model_copy(update={"refuted": refuted(scene, [int(node) for node in failed], origins)})
    candidates = (first, *candidates[1:])
    unsure = first.probability < config.unknown_below
    close = len(candidates) > 1 and candidates[1].probability > first.probability - 0.1
    return ErrorStory(
        candidates=candidates,
        roles=roles_of(scene, origins, {part.node for group in ranked for part in group if _unobserved(scene, part)}),
        causal_chain=causal_chain(scene, chain_nodes, first, fatal),
        fatal=fatal,
        user_visible=_user_visible(scene),
        handled=bool((blame.handled > 0).any()),
        business=top.rule == "error.business" or scene.error_class(top.node) == ErrorClass.BUSINESS,
        error_class=scene.error_class(entry),
        reason=f"the likeliest cause has a probability of {first.probability:.2f}; that is not enough"
        if unsure
        else "",
        next_probe=next_probe(scene, ranked[0][0], candidates) if unsure or close else None,
        origin_node=top.node,
        path=frozenset(map(scene.span_id, chain_nodes)),
    )


def _blamed(scene: Scene, share: npt.NDArray[np.float32]) -> list[tuple[int, float]]:
    """Spans to look into, with their blame. Of a flood, one span speaks for all that are alike."""
    held = np.flatnonzero(share > 0)
    order = [int(index) + scene.nodes.start for index in held[np.argsort(-share[held], kind="stable")]]
    mass: dict[tuple[int, ...], float] = {}
    speaker: dict[tuple[int, ...], int] = {}
    for node in order:
        row = scene.row(node)
        alike = (int(row["operation"]), int(row["peer"]), int(scene.error_class(node)), int(scene.blame.state_of(node)))
        key = alike if len(order) > BLAMED_MAX else (node,)
        mass[key] = mass.get(key, 0.0) + float(share[node - scene.nodes.start])
        speaker.setdefault(key, node)
    keys = sorted(mass, key=lambda key: -mass[key])[:BLAMED_MAX]
    return [(speaker[key], mass[key]) for key in keys if mass[key] >= BLAME_MIN or key == keys[0]]


def _as_handled(scene: Scene, part: Share) -> Share:
    """Name the rule by what the caller did about it."""
    if part.rule == "error.business":
        return part  # it was answered, not handled
    rules = {
        NodeState.HANDLED_RETRY: ("error.retry.recovered", "a later attempt succeeded"),
        NodeState.HANDLED_FALLBACK: ("error.handled.fallback", "its caller took another way"),
        NodeState.IGNORED: ("error.handled.ignored", "its caller went on without it"),
    }
    for node in [part.node, *scene.above(part.node)]:
        rule, outcome = rules.get(scene.blame.state_of(node), ("", ""))
        if rule:
            return Share(part.entity, part.node, part.part, rule, f"{part.sentence}; {outcome}", part.evidence)
    return part


def _key(entity: Entity) -> tuple[str, ...]:
    return (entity.kind, entity.name, entity.service, entity.operation, entity.caller, entity.callee)


def _weight(group: list[Share]) -> float:
    return sum(part.part for part in group)


def _merge(parts: list[Share]) -> list[list[Share]]:
    """Shares of one entity together, the heaviest group and the heaviest share of each first."""
    groups: dict[tuple[str, ...], list[Share]] = {}
    for part in parts:
        groups.setdefault(_key(part.entity), []).append(part)
    for group in groups.values():
        group.sort(key=lambda part: -part.part)
    return sorted(groups.values(), key=lambda group: -_weight(group))


def _root_cause(scene: Scene, rank: int, group: list[Share], certainty: float, blamed: int) -> RootCause:
    top = group[0]
    nodes = list(dict.fromkeys(part.node for part in group))[:ORIGIN_SPANS_MAX]
    evidence: list[Evidence] = []
    for part in group:
        evidence += [one for one in part.evidence if one not in evidence]
    weight = min(_weight(group), 1.0)
    if blamed > 1:
        text = f"{weight:.0%} of the blame for the failure of this trace comes to rest here"
        evidence.append(
            Evidence(claim=text, span_ids=[scene.span_id(node) for node in nodes], numbers={"blame": weight})
        )
    who = top.entity.name if top.entity.kind != "unknown" else f"{scene.service(top.node)} {scene.operation(top.node)}"
    speaker = _speaker(scene, top.node)
    return RootCause(
        rank=rank,
        entity=top.entity,
        origin_spans=[scene.ref(node) for node in nodes],
        probability=round(weight * certainty, 6),
        rule=top.rule,
        sentence=f"{shown(who)} {top.sentence}.",
        error_type=scene.error_type(speaker),
        error_message=shown(next(iter(scene.messages(speaker)), "")),
        evidence=evidence[:EVIDENCE_MAX],
    )


def _speaker(scene: Scene, node: int) -> int:
    """The span that has words for the failure: the origin itself, else the nearest failed one above."""
    for at in [node, *scene.above(node)]:
        if scene.failed(at) or scene.weak(at):
            return at
    return node


def _origins(ranked: list[list[Share]], chain: set[int]) -> set[int]:
    """Origin spans: of the likeliest cause, and of other causes that are independent of it and not unlikely."""
    others = {group[0].node for group in ranked[1:] if _weight(group) >= INDEPENDENT_MIN}
    return {part.node for part in ranked[0]} | (others - chain)


def _unobserved(scene: Scene, part: Share) -> bool:
    """The entity sent no spans itself: the span is only where it shows."""
    outside = part.entity.kind == "service" and part.entity.name != scene.service(part.node)
    return outside or part.entity.kind in ("peer", "queue")


def _entry(scene: Scene, failed: npt.NDArray[np.int64], fatal: bool) -> int:
    """The failed entry (roots before consumers), else the highest failed span."""
    tops = [int(node) for node in failed if scene.parent(int(node)) < 0]
    return tops[0] if fatal and tops else int(failed[0])


def _user_visible(scene: Scene) -> bool:
    """A root that somebody waits for failed: not a consumer, and not an orphan unless no root was seen."""
    roots = [node for node in scene.nodes if scene.parent(node) < 0 and scene.kind(node).name != "CONSUMER"]
    whole = [node for node in roots if not scene.has_flag(node, NodeFlag.ORPHAN)]
    return any(scene.failed(node) for node in (whole or roots))
