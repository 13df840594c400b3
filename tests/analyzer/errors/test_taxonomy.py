"""Severity, type and observability of a group, each with its reason, from many errors."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from pydantic import ValidationError

from analyzer.engine import Analyzer
from analyzer.errors.exposure import Exposure, Places, ServiceCalls
from analyzer.errors.group_words import Bucket, ErrorGroup, Part
from analyzer.errors.model import ExceptionFact
from analyzer.errors.skew import binomial_upper, load_correlation, skewed_to
from analyzer.errors.taxonomy import Context, Overrule, judged
from tests.support.answers import error_group
from tests.support.drawing import EPOCH_NS, batch, draw

T0_MINUTE = EPOCH_NS // 60_000_000_000


def group(**more: object) -> ErrorGroup:
    known = {"type": "acme.Odd", "message": "odd", "count": 100, "visible_count": 100, "users": 0, "tier": "message"}
    return error_group(1).model_copy(update=known | more)


def kind(**more: object) -> str:
    found = judged(group(**more), Context()).kind
    assert found is not None
    return found.value


def severity(share: float | None = None, calls: int = 1000, **more: object) -> str:
    found = judged(group(**more), Context(failed_share=share, call_count=calls)).severity
    assert found is not None
    assert found.reason
    return found.value


@pytest.mark.parametrize(
    ("kind_of_error", "message", "expected"),
    [
        ("java.lang.NullPointerException", "", "runtime"),
        ("TypeError", "Cannot read properties of undefined", "runtime"),
        ("SIGSEGV", "", "runtime"),
        ("AssertionError", "total < 0", "logic"),
        ("java.lang.IllegalStateException", "order is already shipped", "logic"),
        ("TimeoutException", "Operation timed out after 30000ms", "integration"),
        ("Error", "connect ECONNREFUSED 10.0.0.1:5432", "integration"),
        ("java.lang.OutOfMemoryError", "Java heap space", "performance"),
        ("PoolError", "connection pool exhausted", "performance"),
        ("KeyError", "missing environment variable DB_URL", "configuration"),
        ("java.lang.NoSuchMethodError", "foo.Bar.baz()V", "configuration"),
        ("PermissionDenied", "role viewer", "security"),
        ("SqlError", "near \"x' OR '1'='1\"", "security"),
        ("ValidationError", "quantity must be positive", "business"),
        ("PaymentProcessingException", "Failed to charge card: Insufficient funds", "business"),
    ],
)
def test_type_is_told_from_names_and_words(kind_of_error: str, message: str, expected: str):
    assert kind(type=kind_of_error, message=message) == expected


@pytest.mark.parametrize(
    ("error_class", "expected"),
    [("timeout", "integration"), ("exhausted", "performance"), ("auth", "security"), ("business", "business")],
)
def test_without_words_the_class_tells(error_class: str, expected: str):
    assert kind(error_class=error_class) == expected


def test_what_says_nothing_is_unknown_and_a_stack_is_an_exception():
    assert kind() == "unknown"
    assert kind(tier="stack") == "runtime"


def test_402_is_business_whatever_it_is_called():
    """Insufficient funds is no incident."""
    parts = [Part(name="http_status", value="402")]

    assert kind(type="NullPointerException", parts=parts) == "business"
    assert severity(1.0, parts=parts) == "low"


@pytest.mark.parametrize(
    ("expected", "share", "more"),
    [
        ("critical", 1.0, {}),
        ("critical", None, {"message": "checksum mismatch in block 7"}),
        ("critical", None, {"parts": [Part(name="rpc_status", value="15")]}),
        ("critical", None, {"message": "near ' union select 1"}),
        ("high", 0.3, {}),
        ("high", 0.01, {"users": 500}),
        ("medium", 0.01, {}),
        ("medium", 0.5, {"visible_count": 0}),
        ("low", 0.01, {"visible_count": 0}),
        ("low", 0.01, {"count": 3, "visible_count": 3}),
    ],
)
def test_severity_goes_by_who_met_it_and_how_often(expected: str, share: float | None, more: dict):
    assert severity(share, **more) == expected


@pytest.mark.parametrize(
    ("expected", "share", "visible", "words"),
    [
        ("low", 0.01, 0, "no user is known to have met it: 100 of 100 came from synthetic checks or bots"),
        ("medium", 1.0, 0, "no user is known to have met it, but 100 % of 1000 recent calls of the operation fail"),
    ],
)
def test_what_only_checks_met_is_not_raised_by_being_seen(expected: str, share: float, visible: int, words: str):
    found = judged(group(synthetic_count=100, visible_count=visible), Context(failed_share=share, call_count=1000))

    assert found.severity is not None
    assert (found.severity.value, found.severity.reason) == (expected, words)


def test_checks_neither_raise_nor_hide_what_users_met():
    """Two users met it, both failed; beside them 98 checks."""
    found = judged(group(synthetic_count=98, visible_count=2), Context(failed_share=0.3, call_count=1000)).severity

    assert found is not None
    assert found.value == "high"
    assert found.reason.endswith(
        "and 2 of 2 requests failed for their caller; 98 of 100 came from synthetic checks or bots"
    )


def test_a_share_of_few_calls_means_nothing():
    assert severity(1.0, calls=5) == "medium"


@dataclass
class Traffic:
    """One service in two versions, and the errors of one group in it."""

    old: int = 0
    new: int = 0

    def context(self, old_errors: int, new_errors: int, share: float | None = 0.05) -> Context:
        calls = ServiceCalls()
        calls.by["version"] = {"1.4": 500, "1.5": 0}
        places = Places(calls)
        for version, count in (("1.4", old_errors), ("1.5", new_errors)):
            for _ in range(count):
                places.add(ExceptionFact("t", "s", "payment", "op", 1, "E", "m", version=version))
        calls.by["version"] = {"1.4": 500 + self.old, "1.5": self.new}
        return Context(places, calls, share, 1000)

    def told(self, old_errors: int, new_errors: int, share: float | None = 0.05) -> tuple[str, str]:
        found = judged(group(), self.context(old_errors, new_errors, share)).observability
        assert found is not None
        return found.value, found.reason


def test_errors_in_one_version_that_takes_few_calls_are_environmental():
    """19 of 20 errors where a tenth of the calls went."""
    value, reason = Traffic(old=900, new=100).told(1, 19)

    assert value == "environmental"
    assert "95 % of 20 errors, but 10 % of the service's calls, are in version 1.5" in reason


def test_errors_where_most_calls_went_tell_nothing():
    """The release is everywhere since the first error: what was before does not count."""
    assert Traffic(old=0, new=900).told(0, 20)[0] == "intermittent"
    assert Traffic(old=100, new=900).told(0, 20)[0] == "intermittent"


def test_a_few_errors_in_one_place_may_be_chance():
    assert Traffic(old=500, new=500).told(0, 9)[0] == "intermittent"


def test_always_or_now_and_then():
    assert Traffic().told(5, 5, 0.99)[0] == "deterministic"
    assert Traffic().told(5, 5, 0.05)[0] == "intermittent"
    assert Traffic().told(5, 5, None)[0] == "unknown"


def by_minute(errors: dict[int, int], calls: dict[int, int]) -> str:
    known = group(minutes=[Bucket(start=minute, count=count) for minute, count in errors.items()])
    found = judged(known, Context(calls=ServiceCalls(minutes=calls), failed_share=0.05, call_count=1000)).observability
    assert found is not None
    return found.value


def test_errors_that_come_with_load_are_load_dependent():
    """A wave of calls; above 60 a minute some fail."""
    calls = {minute: 20 + 60 * (minute // 5 % 2) + minute % 5 for minute in range(60)}
    errors = {minute: count - 60 for minute, count in calls.items() if count > 60}

    assert by_minute(errors, calls) == "load_dependent"


def test_errors_that_are_more_only_because_calls_are_more_are_not():
    """Five of a hundred, at every load."""
    calls = {minute: 100 + 100 * (minute % 7) for minute in range(60)}

    assert by_minute({minute: count // 20 for minute, count in calls.items()}, calls) == "intermittent"


def test_an_even_load_tells_nothing():
    assert load_correlation({minute: minute for minute in range(60)}, dict.fromkeys(range(60), 100)) is None
    assert load_correlation({}, {}) is None


def test_people_have_the_last_word():
    rules = [
        Overrule(name="cards", service="payment", type="acme.*", severity="critical", kind="business"),
        Overrule(name="all", severity="low"),
    ]

    found = judged(group(), Context(), rules)

    assert found.severity is not None
    assert found.kind is not None
    assert found.observability is not None
    assert (found.severity.value, found.severity.reason) == ("critical", "the rule cards says so")
    assert found.kind.value == "business"
    assert found.observability.value == "unknown"
    with pytest.raises(ValidationError):
        Overrule(name="x", severity="worst")  # type: ignore[arg-type]


@pytest.mark.parametrize(("successes", "trials", "share"), [(0, 5, 0.3), (3, 5, 0.3), (5, 5, 0.5), (19, 20, 0.1)])
def test_the_binomial_tail_is_what_counting_gives(successes: int, trials: int, share: float):
    from math import comb

    naive = sum(comb(trials, k) * share**k * (1 - share) ** (trials - k) for k in range(successes, trials + 1))

    assert binomial_upper(successes, trials, share) == pytest.approx(naive)


def test_a_skew_needs_two_places():
    assert skewed_to({"a": 50}, {"a": 100}, 50) is None
    assert skewed_to({}, {"a": 1, "b": 99}, 50) is None
    assert skewed_to({"a": 50}, {"a": 1, "b": 99}, 50) is not None


def test_calls_are_counted_by_place_and_minute():
    """Two services; only calls that came from outside a span's own process count."""
    drawing = draw("""
        gateway  GET /        0..100  @service.version=2  @host.name=a
          gateway  CLIENT call  10..90  @service.version=2  @host.name=a
            cart     GET /cart    20..80  @host.name=b
              cart     load         30..70  @host.name=b
    """)
    exposure = Exposure()

    exposure.add(Analyzer().analyse(batch([drawing, drawing.jitter(3)])).analysis, EPOCH_NS)

    gateway, cart = exposure.of("gateway"), exposure.of("cart")
    assert (gateway.total, gateway.by["version"], gateway.by["host"]) == (2, {"2": 2}, {"a": 2})
    assert (cart.total, cart.by["version"], cart.minutes) == (2, {"": 2}, {T0_MINUTE: 2})
    assert exposure.of("nobody").total == 0
