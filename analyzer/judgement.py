"""Three axes of a verdict, each with its reason: severity, type, observability.

In: what the topics found. Out: `Judgement`s. The rules are few and written out, so that a reader can
disagree with one of them; thresholds of impact need many traces and belong to incidents.
"""

from __future__ import annotations

from dataclasses import dataclass

from analyzer.error_classes import ErrorClass
from analyzer.findings import Judgement, VerdictKind

_TYPES: dict[ErrorClass, tuple[str, str]] = {
    ErrorClass.TIMEOUT: ("integration", "a call was given up after waiting"),
    ErrorClass.CANCELLED: ("integration", "a call was cancelled from outside"),
    ErrorClass.UNAVAILABLE: ("integration", "the other side could not be reached"),
    ErrorClass.EXHAUSTED: ("performance", "a bounded resource was used up"),
    ErrorClass.THROTTLED: ("integration", "the other side limits the rate of calls"),
    ErrorClass.AUTH: ("security", "authentication or authorisation was refused"),
    ErrorClass.CLIENT: ("logic", "the caller asked for something the callee does not accept or have"),
    ErrorClass.INTERNAL: ("runtime", "the code failed by itself"),
    ErrorClass.DATA: ("runtime", "data or its constraints were violated"),
    ErrorClass.BUSINESS: ("business", "a business rule said no; no system failed"),
}

DETERMINISTIC_SHARE = 0.9  # of calls of the operation that fail before we call it deterministic
CALLS_MIN = 20  # calls of the operation before a share means anything


@dataclass(frozen=True, slots=True)
class Facts:
    """What the axes are read from.

    error_share : share of recent calls of the origin's operation that failed; None when too few were seen
    """

    verdict: VerdictKind
    error_class: ErrorClass
    fatal: bool
    user_visible: bool
    business: bool
    rule: str
    error_share: float | None = None
    call_count: int = 0


def severity(facts: Facts) -> Judgement:
    """Severity of one trace; an incident may raise it."""
    if facts.business:
        return Judgement(value="low", reason="a business refusal, answered as designed")
    if facts.verdict in ("error", "mixed") and facts.user_visible:
        return Judgement(value="high", reason="the request failed for its caller")
    if facts.verdict in ("error", "mixed") and facts.fatal:
        return Judgement(value="medium", reason="work failed, though the entry of the trace did not say so")
    if facts.verdict == "error":
        return Judgement(value="low", reason="the failure was retried or handled; the caller got an answer")
    if facts.verdict == "latency":
        return Judgement(value="medium", reason="the request was answered, but far slower than usual")
    if facts.verdict == "structure":
        return Judgement(value="medium", reason="the request was answered without the work that usually belongs to it")
    return Judgement(value="low", reason="nothing wrong was found")


def error_type(facts: Facts) -> Judgement:
    """What kind of problem it is."""
    if facts.business:
        return Judgement(value="business", reason=_TYPES[ErrorClass.BUSINESS][1])
    if facts.verdict in ("latency",):
        return Judgement(value="performance", reason="time was lost, no error was recorded at the origin")
    if facts.verdict == "structure":
        repeated = "n_plus_one" in facts.rule or "serialised" in facts.rule
        if repeated:
            return Judgement(value="performance", reason="calls are repeated or ordered wastefully")
        return Judgement(value="logic", reason="the code took another path without reporting an error")
    if facts.error_class in _TYPES:
        value, reason = _TYPES[facts.error_class]
        return Judgement(value=value, reason=reason)
    return Judgement(value="unknown", reason="no code, type or message tells the kind of the failure")


def observability(facts: Facts) -> Judgement:
    """Does it always happen, or now and then? Load and environment need many traces (incidents)."""
    if facts.error_share is None or facts.call_count < CALLS_MIN:
        return Judgement(
            value="unknown", reason=f"only {facts.call_count} calls of the operation seen; {CALLS_MIN} are needed"
        )
    percent = f"{100 * facts.error_share:.0f} % of {facts.call_count} recent calls of the operation failed"
    if facts.error_share >= DETERMINISTIC_SHARE:
        return Judgement(value="deterministic", reason=percent)
    return Judgement(value="intermittent", reason=percent)
