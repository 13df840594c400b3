"""What shape and times of a trace say: storms, inversions, calls in a row, silence. Data, and what to look at."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from analyzer.errors.model import ExceptionFact
from analyzer.errors.patterns.pattern import Pattern, Seen
from analyzer.findings import Answer
from analyzer.words import ms, named, shown

HERD_MIN = 5  # failures of one kind at once; fewer is a fan-out
HERD_NS = 200_000_000  # within which they are "at once"
_FULL = frozenset({"exhausted", "throttled", "unavailable"})


def _timeout_inversion(answer: Answer, _: Sequence[ExceptionFact]) -> Seen | None:
    """A caller gave up while the callee went on and, later, succeeded or at least ended."""
    if not answer.root_causes or not answer.root_causes[0].origin_spans:
        return None
    origin = answer.root_causes[0].origin_spans[0]
    for step in answer.causal_chain:
        span = step.span
        if step.effect != "timed_out" or span.span_id == origin.span_id:
            continue
        if origin.start_ns + origin.duration_ns > span.start_ns + span.duration_ns and span.duration_ns > 0:
            claim = (
                f"{named(span.service, span.operation)} gave up after {ms(span.duration_ns)}; "
                f"{named(origin.service, origin.operation)} went on and took {ms(origin.duration_ns)}"
            )
            return claim, (span.span_id, origin.span_id), 0.93
    return None


def _tried_again(answer: Answer, _: Sequence[ExceptionFact]) -> Seen | None:
    """The failure was tried again on its way up, on two levels or more: attempts multiply."""
    steps = [step for step in answer.causal_chain if step.effect == "retried"]
    if len(steps) < 2:
        return None
    ids = tuple(step.span.span_id for step in steps)
    return f"calls were tried again on {len(steps)} levels of the chain", ids, 0.75


def _herd(_: Answer, facts: Sequence[ExceptionFact]) -> Seen | None:
    """Many like failures of something that is full, at once."""
    full = [fact for fact in facts if fact.error_class in _FULL]
    kinds = Counter((fact.service, fact.type) for fact in full)
    for (service, kind), count in kinds.most_common(1):
        if count < HERD_MIN:
            return None
        times = sorted((fact.time_ns, fact.span_id) for fact in full if (fact.service, fact.type) == (service, kind))
        for at in range(len(times) - HERD_MIN + 1):
            if times[at + HERD_MIN - 1][0] - times[at][0] <= HERD_NS:
                ids = tuple(dict.fromkeys(span_id for _, span_id in times))[:20]
                return f"{count} calls of {shown(service)} failed with {shown(kind)} at once", ids, 0.7
    return None


PATTERNS: tuple[Pattern, ...] = (
    Pattern(
        "shape.retry_storm",
        "Retry storm",
        "A failing call is tried again and again, perhaps on several levels; the attempts add load where it hurts.",
        "Retry on one level only, few times (3), with back-off and jitter (1 s doubling to 30 s, 10 % jitter), "
        "within a "
        "retry budget (10 % of calls), and only what may be repeated.",
        "Let the callee fail for a minute: calls to it must not exceed 1.1 times the usual.",
        "Retry budgets; a circuit breaker at the caller.",
        "Attempts per request; share of calls that are retries (alert above 10 %).",
        rules=("structure.retry_storm", "error.retry.exhausted", "latency.retry"),
        look=_tried_again,
    ),
    Pattern(
        "shape.retry_recovered",
        "Failure that a retry recovered",
        "A call failed and a later attempt succeeded; the user did not see it, but the time was lost.",
        "Look at the callee's failures: a retry hides them, it does not mend them.",
        "Fail the first attempt in a fake: one retry, success, within the time limit.",
        "Retries counted and visible.",
        "Share of calls that needed a second attempt.",
        rules=("error.retry.recovered",),
        weight=0.7,
    ),
    Pattern(
        "shape.timeout_inversion",
        "Caller gives up before the callee",
        "The caller's time limit is shorter than the time the callee allows itself, so the callee works for nobody and "
        "the caller may try again on top.",
        "Make time limits shrink with every hop: the callee's below the caller's; pass deadlines on and stop when they "
        "are over.",
        "Slow down the callee beyond the caller's limit: the callee must stop when the caller has gone.",
        "One table of time limits per call path, checked in review.",
        "Server spans that end after their client span; p99 of the callee against the caller's limit.",
        look=_timeout_inversion,
    ),
    Pattern(
        "shape.serialised_calls",
        "Calls one after another that could run at once",
        "Independent calls run one after another, so their times add up.",
        "Start them together and wait for all (Promise.all, gather, CompletableFuture.allOf, errgroup), with a bound.",
        "Delay each callee by 100 ms in a test: the operation takes about 100 ms, not the sum.",
        "A latency test per operation with delayed fakes.",
        "Share of the operation's time in which only one call is open.",
        rules=("structure.serialised", "latency.serialised"),
    ),
    Pattern(
        "shape.silent_success",
        "Success without the work",
        "The request was answered as a success, but calls that belong to it were not made: a skipped branch, a "
        "swallowed "
        "error, a flag.",
        "Look at the branch before the missing call: an early return, a caught exception, a feature flag.",
        "Assert in the operation's test that the call was made, not only that the answer is 200.",
        "Never swallow errors; business counters (orders against payments).",
        "Ratio of this call to its requests (alert when it leaves its usual range).",
        rules=("structure.silent_missing_call",),
    ),
    Pattern(
        "shape.breaker_open",
        "Circuit breaker open",
        "A circuit breaker refused the call because earlier ones failed; the cause is what made it open.",
        "Look at the callee's failures just before the breaker opened; the breaker itself does its work.",
        "Open the breaker in a test: the fallback must answer.",
        "A fallback for what is optional; thresholds from data (5 failures, 60 s, 2 successes).",
        "State of each breaker; refused calls.",
        types=("callnotpermittedexception", "circuitbreakeropenerror", "brokencircuitexception", "circuitbreakererror"),
        messages=(r"circuit ?breaker .{0,80}open", r"breaker is open", r"call not permitted"),
        rules=("error.breaker.open",),
    ),
    Pattern(
        "shape.thundering_herd",
        "Thundering herd",
        "Many calls reached something at the same moment (a cache entry that ended, a timer, a restart) and it had no "
        "room for them.",
        "Let one caller fetch and the others wait (single flight); spread expiry and timers with jitter; bound the "
        "parallel calls.",
        "End the cache entry under load: one call to the source, not a hundred.",
        "Jitter on every expiry and timer; bounded fan-out.",
        "Parallel calls to the callee, maximum per second.",
        look=_herd,
    ),
    Pattern(
        "shape.handled_fallback",
        "Degraded without anybody noticing",
        "A dependency failed and the caller went on without it, or with another answer.",
        "Mend the dependency; make sure that the fallback is meant and counted.",
        "Fail the dependency in a test: the answer must be complete enough, and the fallback counted.",
        "Every fallback has a counter and an owner.",
        "Share of answers from the fallback (alert above its usual).",
        rules=("error.handled.fallback", "error.handled.ignored"),
        weight=0.7,
    ),
    Pattern(
        "shape.cancelled_by_caller",
        "Cancelled because of something else",
        "The call was stopped from outside: its caller went away, or a sibling failed.",
        "Nothing is wrong with the cancelled call; look for who cancelled it and why.",
        "Cancel the request half way: everything below must stop soon.",
        "Cancellation passed on and not counted as a failure.",
        "Cancelled calls by caller.",
        types=("cancelledexception", "cancelled", "cancellederror", "operationcanceledexception", "aborterror"),
        messages=(r"context canceled", r"(request|operation|call) (was )?cancell?ed"),
        rules=("error.cancelled.victim",),
        http=(499,),
        rpc=(1,),
    ),
    Pattern(
        "shape.unrecorded_error",
        "Error returned without a word",
        "A span ended as its caller failed, and recorded nothing itself: the error was returned, not recorded.",
        "Record the error where it happens (RecordError and SetStatus, or the language's like), so that the next one "
        "is "
        "found by anybody.",
        "Fail the call in a test and assert that its span has status ERROR and an exception.",
        "A wrapper for outgoing calls that records errors.",
        "Client spans without status under failed parents.",
        rules=("error.origin.unmarked_child",),
        weight=0.5,
    ),
    Pattern(
        "business.refused",
        "Business refusal, no system failed",
        "The request was refused for a reason of the business (declined, not enough funds, out of stock).",
        "Nothing to mend in the system; do not log it as ERROR and do not page for it.",
        "Send a request that the business refuses: answer 4xx, no error span, no alarm.",
        "Business outcomes as their own status, apart from failures.",
        "Share of refusals against its usual (a jump is worth a look).",
        types=("carddeclined", "insufficientfundserror", "insufficientfundsexception", "paymentdeclinedexception"),
        messages=(r"insufficient funds", r"card (was )?declined", r"out of stock", r"payment required"),
        http=(402,),
        rules=("error.business",),
    ),
)
