"""What to do: fix, test, prevent, watch. Chosen by pattern and cause; the words are advice, not facts of the input.

In: patterns and a cause. Out: the deliverables 4 to 7. The most effective for the least effort first.
"""

from __future__ import annotations

from collections.abc import Sequence

from analyzer.errors.model import PatternMatch
from analyzer.findings import Answer, RootCause
from analyzer.reports.clock_text import lasted
from analyzer.reports.model import Expectation, Fix, Monitor
from analyzer.reports.monitors import expressions
from analyzer.reports.watched import Watched
from analyzer.words import shown

PATTERNS_MAX = 3  # whose advice is given; more confuses
UNSURE = 0.4  # of a fix that rests on no known pattern
NO_PATTERN_FIX = "Read the code and logs at the origin; no known pattern says what to change."
_ENTRY = ("http", "grpc")
MITIGATE_DEFAULT = "Roll back the last change of the culprit, or switch the feature off that calls it."
_MITIGATE = {
    "code": "Roll back the release if the failure began with it, or switch the feature off.",
    "concurrency": "Roll back the release if the failure began with it; fewer parallel workers lower the rate.",
    "resource": "Scale out or restart the instances that have run out, and shed optional load.",
    "network": "Fail over to another instance or zone; open the circuit breaker by hand if waiting piles up.",
    "database": "End the statements or transactions that block; switch the feature off that makes them.",
    "messaging": "Pause the producer or add consumers; put the message aside.",
    "http": "Roll back the last deploy of the callee, or take the load off it.",
    "grpc": "Roll back the last deploy of the callee, or take the load off it.",
    "configuration": "Restore the setting or the release of before.",
    "security": "Renew the credential; if it may be an attack, block and tell the security team.",
    "shape.unrecorded_error": MITIGATE_DEFAULT,
    "shape.silent_success": "Roll back the caller's last change or flag; find and do the work that was left out.",
    "shape.handled_fallback": "Nothing at once: the fallback holds; mend the dependency before it fails too.",
    "shape.serialised_calls": MITIGATE_DEFAULT,
    "shape": "Lower retries and parallel calls by configuration; switch the caller's feature off.",
    "business": "Nothing: no system failed.",
}


def fixes(cause: RootCause | None, patterns: Sequence[PatternMatch]) -> list[Fix]:
    """Actions, the surest pattern first; one without a pattern when none is known."""
    found = [
        Fix(
            action=match.fix,
            location=match.location,
            confidence=round(match.confidence * (cause.probability if cause is not None else 1.0), 4),
            pattern=match.pattern,
            patch=match.patch,
            effect="high" if place == 0 else "medium",
            effort="low" if match.patch or match.location else "medium",
        )
        for place, match in enumerate(patterns[:PATTERNS_MAX])
    ]
    if not found:
        sure = UNSURE * (cause.probability if cause is not None else 0.0)
        found.append(Fix(action=NO_PATTERN_FIX, confidence=round(sure, 4), effort="high"))
    return found


def mitigation(patterns: Sequence[PatternMatch]) -> str:
    """What stops the harm now, before anything is mended."""
    if not patterns:
        return MITIGATE_DEFAULT
    best = patterns[0].pattern
    return _MITIGATE.get(best) or _MITIGATE.get(best.partition(".")[0], MITIGATE_DEFAULT)


def prevention(patterns: Sequence[PatternMatch], language: str = "") -> list[str]:
    """How such failures are kept away."""
    found = [match.prevention for match in patterns[:PATTERNS_MAX]]
    family = patterns[0].pattern.partition(".")[0] if patterns else ""
    if family in ("network", "http", "grpc", "shape"):
        found.append(
            "At the caller: a time limit shorter than its own caller's; 3 tries, 1 s doubling to 30 s, 10 % jitter, "
            "only for calls that may be repeated; a circuit breaker (5 failures, 60 s, 2 successes); a queue for later."
        )
    if family in ("code", "http") and any("input" in text or "payload" in text for text in found):
        found.append("Validate input at the border: pydantic in Python, zod in TypeScript, bean validation in Java.")
    if language in ("webjs", "web"):
        found.append("In the browser: an error boundary around each part of the page, with a fallback that says so.")
    found.append("Keep the regression fixture of this report in the test suite.")
    return list(dict.fromkeys(found))


def test_steps(patterns: Sequence[PatternMatch], expects: Expectation | None) -> list[str]:
    """How to see that the fix works."""
    found = [match.test_idea for match in patterns[:PATTERNS_MAX]]
    if expects is not None:
        found.append(
            "Save the fixture as fixture.json: `firstfault analyze fixture.json --json` answers rule "
            f"{expects.rule or 'none'} while the failure is in it"
            + (" (with --baseline HEALTHY.json: it is told against what is usual)." if expects.needs_baseline else ".")
        )
    found.append(
        "After the fix, record the same request: `firstfault analyze NEW.json --all --json` must answer status clean."
    )
    found.append("Load test the entry operation at its usual rate and twice that; compare p95 and errors with before.")
    return list(dict.fromkeys(found))


test_steps.__test__ = False  # type: ignore[attr-defined]  # advice about tests, not a test


def reproduce(answer: Answer) -> list[str]:
    """Outline of the request that shows the failure."""
    if not answer.root_operation:
        return ["The entry of the request was not seen: find who calls the origin."]
    found = [f"Send {answer.root_operation} to {answer.root_service}, with the input of this trace if you have it."]
    if answer.observability is not None:
        word = answer.observability.value
        found.append(
            {
                "deterministic": "It fails nearly every time: one request is enough.",
                "intermittent": "It fails at times: repeat the request, at the concurrency of production.",
                "environmental": "It depends on where it runs: use the same version, host or zone.",
                "load_dependent": "It depends on load: replay traffic at the rate of that time.",
            }.get(word, "How often it fails is not known: repeat the request.")
        )
    return found


def monitors(answer_rule: str, service: str, verdict: str, patterns: Sequence[PatternMatch]) -> list[Monitor]:
    """What to watch from now on; expressions are those of the monitors as code (`report_monitors`)."""
    found = []
    if service:
        watched = Watched(shown(service))
        wanted = expressions(watched)
        if verdict in ("error", "mixed", "structure"):
            share, enough = f"{watched.error_share_max:.0%}", f"at least {watched.requests_min} requests"
            found.append(
                Monitor(
                    name="error share of the culprit",
                    why=f"more than {share} of the requests to it fail, with {enough}",
                    expression=wanted.failing,
                )
            )
            found.append(
                Monitor(
                    name="no data",
                    why="nothing is asked of the culprit, or its spans do not come",
                    expression=wanted.silent,
                    for_s=watched.no_data_min * 60,
                )
            )
        if verdict in ("latency", "mixed"):
            found.append(
                Monitor(
                    name="p95 of the culprit",
                    why="its p95 is twice that of an hour ago",
                    expression=wanted.slower,
                    for_s=600,
                )
            )
    found += [Monitor(name=match.title, why=match.monitor) for match in patterns[:PATTERNS_MAX]]
    if answer_rule:
        found.append(
            Monitor(
                name="the same finding again",
                why=f"firstfault answers {answer_rule} again",
                expression="",
            )
        )
    return found


def lasted_or_unknown(duration_ns: int | None) -> str:
    """A duration, or that it is not known."""
    return lasted(duration_ns) if duration_ns is not None else "(not known: it has not ended)"
