"""Why, why, why: from the symptom to where telemetry ends.

In: an answer, its exceptions and patterns, what else the trace shows, changes. Out: `FiveWhys`. Each step says how it
is known: measured (it stands in the spans), inferred (it follows from them and from what such failures usually are),
or needs people. Where the other side sends no spans the walk ends there and says so; nothing is made up.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from analyzer.errors.model import ExceptionFact, PatternMatch
from analyzer.findings import Answer, RootCause
from analyzer.reports.clock_text import lasted, utc
from analyzer.reports.model import FiveWhys, Level, Why
from analyzer.reports.observed import Observed
from analyzer.words import named, shown

WHYS_MAX = 8
_UNSEEN = ("error.peer.unseen", "error.refused.no_server", "error.timeout.silent_callee", "latency.peer")
_TIMEOUTS = ("error.timeout.slow_server", "error.timeout.silent_callee")
_PEOPLE = "needs people: telemetry ends here"


class Changed(NamedTuple):
    """Something that was changed: a release, a setting, a flag."""

    at_ns: int
    what: str
    service: str = ""


class _Walk(NamedTuple):
    answer: Answer
    cause: RootCause
    facts: Sequence[ExceptionFact]
    patterns: Sequence[PatternMatch]
    observed: Observed
    changes: Sequence[Changed]


def five_whys(
    answer: Answer,
    facts: Sequence[ExceptionFact] = (),
    patterns: Sequence[PatternMatch] = (),
    observed: Observed | None = None,
    changes: Sequence[Changed] = (),
) -> FiveWhys:
    """Ask why until telemetry has no more to say.

    Parameters
    ----------
    answer : what is said of the trace
    facts, patterns : its exceptions, and the known failures recognised in them, the surest first
    observed : what else the trace shows; None when its spans are not at hand
    changes : what was changed lately, any order
    """
    if not answer.root_causes:
        return FiveWhys(whys=[], ended="nothing wrong was found, so there is nothing to ask")
    walk = _Walk(answer, answer.root_causes[0], facts, patterns, observed or Observed(), changes)
    whys = [_symptom(walk)]
    mechanism = _mechanism(walk)
    if mechanism is not None:
        whys.append(mechanism)
    unseen = _not_observable(walk)
    if unseen:
        whys.append(Why(question=f"Why did {unseen} do so?", because=_not_seen(unseen), level="needs people"))
        return FiveWhys(whys=whys, ended=_not_seen(unseen))
    for step in _DEEPER:
        why = step(walk)
        if why is not None:
            whys.append(why)
    whys = whys[: WHYS_MAX - 2] + _people(walk)
    return FiveWhys(whys=whys, ended=f"{_PEOPLE}; the whys before rest on the spans named")


def _symptom(walk: _Walk) -> Why:
    """The entry, and the way the trouble took to it."""
    answer, cause = walk.answer, walk.cause
    entry = named(answer.root_service, answer.root_operation)
    verb = {"error": "fail", "mixed": "fail", "latency": "take so long"}.get(answer.verdict, "go wrong")
    if answer.verdict == "error" and not answer.user_visible:
        verb = "meet a failure"
    chain = [step.span for step in answer.causal_chain]
    origin = cause.origin_spans[0] if cause.origin_spans else None
    ids = [span.span_id for span in chain] or ([origin.span_id] if origin else [])
    sure = answer.status == "finding"
    if origin is None:
        because = cause.sentence
    elif len(chain) > 1 and answer.verdict in ("error", "mixed"):
        began = f"{'began' if sure else 'may have begun'} in {named(origin.service, origin.operation)}"
        more = "1 more span" if len(chain) == 2 else f"{len(chain) - 1} more spans"
        because = f"the failure {began} and came up through {more}"
    elif named(origin.service, origin.operation) == entry:
        because = "the trouble is in this very operation, not below it"
    else:
        because = f"the trouble is in {named(origin.service, origin.operation)}"
    numbers = {"spans_on_the_way": float(max(0, len(chain) - 1))}
    return Why(question=f"Why did {entry} {verb}?", because=because, level=_level(walk), span_ids=ids, numbers=numbers)


def _level(walk: _Walk) -> Level:
    """What an answer that is not sure says is inferred."""
    return "measured" if walk.answer.status == "finding" else "inferred"


def _mechanism(walk: _Walk) -> Why:
    """What happened at the origin: the rule's sentence, and the known failure it shows."""
    cause = walk.cause
    best = walk.patterns[0] if walk.patterns else None
    words = cause.sentence.rstrip(".")
    origin = cause.origin_spans[0] if cause.origin_spans else None
    where = named(origin.service, origin.operation) if origin else shown(cause.entity.name)
    ids = [span.span_id for span in cause.origin_spans]
    ask = {"error": "Why did {} fail?", "mixed": "Why did {} fail?", "latency": "Why did {} take so long?"}
    asked = "Why did {} take so long?" if cause.rule in _TIMEOUTS else ask.get(walk.answer.verdict)
    question = (asked or "Why there, in {}?").format(where)
    if best is None:
        return Why(question=question, because=words, level=_level(walk), span_ids=ids)
    ids = list(dict.fromkeys([*ids, *(span_id for _, spans in best.evidence for span_id in spans)]))
    title = best.title[:1].lower() + best.title[1:] if best.title[1:2].islower() else best.title
    because = f"{words} (known as: {title})"
    if best.location:
        because += f" (look at {best.location})"
    level: Level = _level(walk) if best.confidence >= 0.7 else "inferred"
    return Why(question=question, because=because, level=level, span_ids=ids, pattern=best.pattern)


def _not_observable(walk: _Walk) -> str:
    """Name of the party where the walk must end because it sends no spans; empty when it goes on."""
    cause = walk.cause
    own = {span.service for span in cause.origin_spans}
    if _is(walk, "resource.connection_pool_exhausted", "database.too_many_connections"):
        return ""  # the pool is the caller's own
    if cause.entity.kind in ("peer", "queue"):
        return shown(cause.entity.name)
    if cause.rule in _UNSEEN and cause.entity.name not in own:
        return shown(cause.entity.callee or cause.entity.name)
    return ""


def _not_seen(name: str) -> str:
    return f"not observable: no server spans from {name}"


def _held(walk: _Walk) -> Why | None:
    """Of an exhausted pool: who held the connections, as far as this trace shows."""
    held = walk.observed.held
    if held is None or not _is(walk, "resource.connection_pool_exhausted", "database.too_many_connections"):
        return None
    longest = held.longest
    because = (
        f"its connections were held by database calls: {held.count} of them in this request alone, "
        f"{lasted(held.busy_ns)} of connection time "
        f"(longest: {shown(longest.operation)}, {lasted(longest.duration_ns)})"
    )
    return Why(
        question=f"Why had {shown(held.service)} no connection left?",
        because=because,
        level="measured",
        span_ids=list(held.span_ids),
        numbers={"calls": held.count, "busy_ns": held.busy_ns, "longest_ns": longest.duration_ns},
    )


def _loop(walk: _Walk) -> Why | None:
    """Like calls under one span: why so many, why so long."""
    wanted = ("resource.connection_pool_exhausted", "database.n_plus_one", "database.too_many_connections")
    if not walk.observed.repeated or not _is(walk, *wanted):
        return None
    most = walk.observed.repeated[0]
    parent = named(most.parent.service, most.parent.operation)
    return Why(
        question=f"Why did {shown(most.operation)} take {lasted(most.total_ns)} in all?",
        because=f"{parent} makes {most.count} like calls, one per element (N+1), of {lasted(most.total_ns)} together",
        level="measured",
        span_ids=[most.parent.span_id, *most.span_ids],
        numbers={"calls": most.count, "total_ns": most.total_ns},
        pattern="database.n_plus_one",
    )


def _excess(walk: _Walk) -> Why | None:
    """Of a slow request: how much more time than usual, and where."""
    latency = walk.answer.latency
    told = walk.cause.rule.startswith("latency")  # its sentence has the numbers
    if told or walk.answer.verdict not in ("latency", "mixed") or latency is None or not latency.excess:
        return None
    top = max(latency.excess, key=lambda one: one.excess_ns)
    share = f" of {lasted(latency.excess_ns)} that the request took longer" if latency.excess_ns > 0 else ""
    what = {"wait": "waiting", "network": "on the way", "retry": "in failed attempts"}.get(top.kind, "of its own time")
    return Why(
        question=f"Why was {named(top.span.service, top.span.operation)} slower than usual?",
        because=f"{lasted(top.excess_ns)} more {what} than the usual {lasted(top.expected_ns)}{share}",
        level="measured",
        span_ids=[top.span.span_id],
        numbers={"excess_ns": top.excess_ns, "expected_ns": top.expected_ns, "all_excess_ns": latency.excess_ns},
    )


def _change(walk: _Walk) -> Why | None:
    """The last change of the culprit before the trace; that it is the reason is inferred, never measured."""
    cause, start_ns = walk.cause, walk.answer.start_ns
    names = {cause.entity.name, cause.entity.service, cause.entity.callee} - {""}
    known = [change for change in walk.changes if change.at_ns <= start_ns and change.service in names]
    if not known:
        return None
    last = max(known, key=lambda change: change.at_ns)
    return Why(
        question=f"Why did {shown(last.service)} behave so now?",
        because=f"{shown(last.what)} at {utc(last.at_ns)}, {lasted(start_ns - last.at_ns)} before; the order of time "
        "alone does not prove it",
        level="inferred",
        numbers={"at_ns": last.at_ns, "before_ns": start_ns - last.at_ns},
    )


_DEEPER: tuple[Callable[[_Walk], Why | None], ...] = (_held, _loop, _excess, _change)
_ASK = {
    "database.n_plus_one": (
        "Why one call per element?",
        "needs people: usually lazy loading in a loop; look how the code of the span loads its rows",
    ),
    "code": ("Why could that value or state arise?", "needs people: walk back from the location through its callers"),
    "concurrency": ("Why was it shared between threads?", "needs people: who else changes it, and under which lock"),
    "resource": ("Why was there no more of it?", "needs people: compare limit, load and holders on the host's metrics"),
    "configuration": ("Why was it different here?", "needs people: compare with the last environment where it worked"),
    "security": ("Why was it not renewed or refused earlier?", "needs people: who owns it, and what renews it"),
    "messaging": ("Why was that not noticed before?", "needs people: look at the age of messages over the last days"),
}
_SLOW = ("Why was it so slow?", "needs people: a profile of it, or something below it that sends no spans")
_ASK_RULE = {
    "latency.own_time": ("Why does its work take longer?", "needs people: a profile of it, against one of before"),
    "latency.new_work": ("Why is it part of this request now?", "needs people: what was changed or switched on"),
    "latency.edge": ("Why is the way slow?", "needs people: proxies, connection set-up and network between the two"),
    "latency.retry": ("Why did the attempts fail?", "needs people: the callee's own failures at that time"),
    "latency.queue_wait": ("Why did messages wait?", "needs people: consumers, lag per partition, work per message"),
    "structure.queue_wait": ("Why did messages wait?", "needs people: consumers, lag per partition, work per message"),
    "structure.serialised": ("Why one after another?", "needs people: does one call need the result of the other"),
    "structure.silent_missing_call": (
        "Why was the call left out?",
        "needs people: an early return, a swallowed error or a flag before it",
    ),
    "error.timeout.slow_server": _SLOW,
    "error.timeout.silent_callee": _SLOW,
    "error.business": ("Why was it refused?", "needs people: a decision of the business; no system failed"),
    "error.cancelled.victim": ("Who gave up, and why?", "needs people: the caller's logs; it is not in the trace"),
}


def _people(walk: _Walk) -> list[Why]:
    """What only people can answer: why the code is so, and why nobody noticed."""
    loop = bool(walk.observed.repeated) and _loop(walk) is not None
    best = "database.n_plus_one" if loop else (walk.patterns[0].pattern if walk.patterns else "")
    question, because = (
        _ASK.get(best)
        or _ASK_RULE.get(walk.cause.rule)
        or _ASK.get(best.partition(".")[0])
        or ("Why did it do that?", "needs people: read its code and logs at this span")
    )
    return [
        Why(question=question, because=because, level="needs people"),
        Why(
            question="Why did it get this far?",
            because="needs people: which review, test or alarm should have caught it",
            level="needs people",
        ),
    ]


def _is(walk: _Walk, *patterns: str) -> bool:
    """Whether one of the two surest patterns is among these."""
    return any(match.pattern in patterns for match in walk.patterns[:2])
