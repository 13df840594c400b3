"""Which milliseconds are abnormal, and whose they are."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzer.config import AnalysisConfig
from analyzer.findings import Latency, RootCause
from analyzer.latency import explain_latency, latency_candidates
from tests.support.drawing import MS, Drawing, batch, draw
from tests.support.learned import Learned
from tests.support.naive.analysis import measure
from tests.support.random_rows import hostile_trace
from tests.support.rows import trace_batch

CONFIG = AnalysisConfig()

SHOP = """
gateway GET /checkout 0..100
  gateway CLIENT POST 10..90 server.address=payment
    payment POST /charge 15..85
      payment INTERNAL validate 20..30
      payment CLIENT INSERT 35..80 db.system.name=postgresql server.address=payments-db
"""


def explain(normal: str, observed: str) -> tuple[Latency, list[RootCause]]:
    analysis = Learned(draw(normal)).measure(draw(observed))
    latency = explain_latency(analysis, 0, CONFIG)
    return latency, latency_candidates(analysis, 0, latency, CONFIG)


def told(latency: Latency) -> list[tuple[str, str, int]]:
    """(operation, kind, milliseconds) of every excess."""
    return [(one.span.operation, one.kind, round(one.excess_ns / MS)) for one in latency.excess]


def assert_adds_up(latency: Latency) -> None:
    assert sum(one.excess_ns for one in latency.excess) + latency.unexplained_ns == latency.excess_ns
    assert all(one.excess_ns >= 0 for one in latency.excess)
    assert latency.unexplained_ns >= 0


def test_a_usual_trace_has_no_excess_to_speak_of():
    latency, causes = explain(SHOP, SHOP)

    assert latency.expected_ns == pytest.approx(100 * MS, rel=0.05)
    assert latency.excess == []
    assert causes == []
    assert_adds_up(latency)


def test_own_work_is_charged_to_the_span_that_did_it():
    """validate takes 510 ms instead of 10; everybody above only waited."""
    latency, causes = explain(
        SHOP,
        SHOP.replace("0..100", "0..600")
        .replace("10..90", "10..590")
        .replace("15..85", "15..585")
        .replace("20..30", "20..530")
        .replace("35..80", "535..580"),
    )

    assert told(latency) == [("validate", "work", 500)]
    assert_adds_up(latency)
    first = causes[0]
    assert (first.entity.kind, first.entity.name, first.entity.operation) == ("service", "payment", "validate")
    assert first.rule == "latency.own_time"
    assert first.probability > 0.8
    assert [one.entity.name for one in first.refuted] == ["gateway"]
    assert first.evidence[0].numbers["observed_ms"] == pytest.approx(510)
    assert first.evidence[0].numbers["expected_ms"] == pytest.approx(10, rel=0.05)
    assert first.evidence[0].numbers["baseline_count"] == 300


def test_a_slow_database_without_spans_is_the_peer():
    latency, causes = explain(
        SHOP,
        SHOP.replace("0..100", "0..900")
        .replace("10..90", "10..890")
        .replace("15..85", "15..885")
        .replace("35..80", "35..880"),
    )

    assert told(latency) == [("INSERT", "work", 800)]
    assert (causes[0].entity.kind, causes[0].entity.name, causes[0].entity.service) == (
        "peer",
        "payments-db",
        "payment",
    )
    assert causes[0].rule == "latency.peer"
    assert [span.operation for span in causes[0].origin_spans] == ["INSERT"]


def test_time_between_client_and_server_is_the_edge():
    latency, causes = explain(SHOP, SHOP.replace("0..100", "0..400").replace("10..90", "10..390"))

    assert told(latency) == [("POST", "network", 300)]
    assert (causes[0].entity.kind, causes[0].entity.name) == ("edge", "gateway -> payment")
    assert (causes[0].entity.caller, causes[0].entity.callee) == ("gateway", "payment")
    assert causes[0].rule == "latency.edge"


def test_waiting_before_the_first_database_call_is_a_wait():
    """The handler hung 300 ms before its first query: a connection pool, most likely."""
    normal = "shop GET /cart 0..50\n  shop CLIENT SELECT 5..45 db.system.name=postgresql server.address=db"
    latency, causes = explain(normal, normal.replace("0..50", "0..350").replace("5..45", "305..345"))

    assert told(latency) == [("GET /cart", "wait", 300)]
    assert "waited before its first database call" in causes[0].sentence


def test_what_ran_beside_something_slower_is_not_charged():
    """B is ten times slower than usual, and nobody noticed: C takes longer still, as always."""
    normal = "s A 0..500\n  s INTERNAL B 10..30\n  s INTERNAL C 10..490"
    latency, _ = explain(normal, "s A 0..520\n  s INTERNAL B 10..210\n  s INTERNAL C 10..510")

    assert [one for one in told(latency) if one[0] == "B"] == []
    assert_adds_up(latency)


def test_failed_attempts_are_charged_to_the_callee():
    """Two failed tries of 100 ms with a pause before the one that worked."""
    normal = """
    shop GET /cart 0..100
      shop CLIENT POST 10..90 server.address=stock
        stock POST /reserve 15..85
    """
    latency, causes = explain(
        normal,
        """
    shop GET /cart 0..400
      shop CLIENT POST 10..110 ERROR server.address=stock
        stock POST /reserve 15..105 ERROR
      shop CLIENT POST 160..260 ERROR server.address=stock
        stock POST /reserve 165..255 ERROR
      shop CLIENT POST 310..390 server.address=stock
        stock POST /reserve 315..385
    """,
    )

    assert told(latency) == [("POST", "retry", 150), ("POST", "retry", 150)]
    assert causes[0].entity.name == "stock"
    assert causes[0].rule == "latency.retry"
    assert_adds_up(latency)


def many(count: int) -> str:
    calls = "\n".join(
        f"  shop CLIENT SELECT {10 * i + 2}..{10 * i + 10} db.system.name=postgresql server.address=db"
        for i in range(count)
    )
    return f"shop GET /orders 0..{10 * count + 5}\n{calls}"


def test_more_calls_than_usual_are_charged_to_who_makes_them():
    """Forty queries where two are usual, each as quick as ever."""
    latency, causes = explain(many(2), many(40))

    assert [(operation, kind) for operation, kind, _ in told(latency)] == [("GET /orders", "fan_out")]
    assert latency.excess[0].excess_ns > 0.9 * latency.excess_ns
    assert (causes[0].entity.name, causes[0].entity.operation) == ("shop", "GET /orders")
    assert causes[0].rule == "latency.fan_out"


def test_calls_that_used_to_overlap_and_now_take_turns():
    normal = "s A 0..120\n  s INTERNAL B 10..110\n  s INTERNAL C 10..110\n  s INTERNAL D 10..110"
    latency, causes = explain(
        normal, "s A 0..320\n  s INTERNAL B 10..110\n  s INTERNAL C 110..210\n  s INTERNAL D 210..310"
    )

    assert [(operation, kind) for operation, kind, _ in told(latency)] == [("A", "serialised")]
    assert causes[0].rule == "latency.serialised"
    assert_adds_up(latency)


def test_a_reply_by_queue_is_charged_to_the_queue():
    """The request went on when the consumer was done; the message waited 400 ms."""
    text = """
    shop POST /order {root}
      shop PRODUCER publish 10..12 messaging.system=kafka messaging.destination.name=orders
        stock CONSUMER process {consumer} messaging.system=kafka messaging.destination.name=orders
    """
    latency, causes = explain(
        text.format(root="0..60", consumer="15..45"), text.format(root="0..460", consumer="415..445")
    )

    assert told(latency) == [("process", "wait", 400)]
    assert (causes[0].entity.kind, causes[0].entity.name) == ("queue", "orders")
    assert causes[0].rule == "latency.queue_wait"


def test_an_operation_that_was_never_there_is_named_with_little_certainty():
    latency, causes = explain(
        "shop GET /cart 0..100\n  shop INTERNAL render 10..90",
        "shop GET /cart 0..400\n  shop INTERNAL render 10..90\n  shop INTERNAL migrate 90..390",
    )

    assert told(latency) == [("migrate", "unknown", 300)]
    assert causes[0].rule == "latency.new_work"
    assert causes[0].probability < CONFIG.unknown_below


def test_what_nothing_explains_is_said_to_be_unexplained():
    """The root's own time is wide: nothing is abnormal for sure, so nobody is named."""
    root = [draw(f"shop GET /cart 0..{100 + 20 * i}\n  shop INTERNAL render 10..90") for i in range(20)]
    analysis = Learned(*root, count=20).measure(draw("shop GET /cart 0..440\n  shop INTERNAL render 10..90"))
    latency = explain_latency(analysis, 0, CONFIG)

    assert latency.excess_ns > 100 * MS
    assert latency.excess == []
    assert latency.unexplained_ns == latency.excess_ns
    assert latency_candidates(analysis, 0, latency, CONFIG) == []


def test_without_a_baseline_there_is_a_path_and_no_excess():
    analysis = measure(batch(draw(SHOP)))
    latency = explain_latency(analysis, 0, CONFIG)

    assert (latency.expected_ns, latency.excess, latency.excess_ns) == (None, [], 0)
    assert latency.duration_ns == 100 * MS
    assert sum(segment.self_ns for segment in latency.critical_path) == latency.duration_ns
    assert latency_candidates(analysis, 0, latency, CONFIG) == []


def test_of_several_roots_the_real_one_is_explained():
    """The orphan is longer, but the entry of the request is the trace's time."""
    analysis = measure(batch(draw("s late 0..900 parent:gone\ns GET 10..110\n  s work 20..30")))

    assert explain_latency(analysis, 0, CONFIG).duration_ns == 100 * MS


def test_a_small_baseline_lowers_the_certainty():
    slow = SHOP.replace("0..100", "0..400").replace("10..90", "10..390")
    sure, unsure = Learned(draw(SHOP), count=300), Learned(draw(SHOP), count=120)
    found = []
    for learned in (sure, unsure):
        analysis = learned.measure(draw(slow))
        found.append(latency_candidates(analysis, 0, explain_latency(analysis, 0, CONFIG), CONFIG)[0].probability)

    assert found[0] > found[1] > 0.5


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 5), st.floats(1.0, 50.0), st.integers(0, 4))
def test_any_slow_span_adds_up(which, factor, seed):
    """Whatever is stretched, the parts sum to the excess in whole nanoseconds, and no number is nan."""
    learned, drawing = _learned_shop(), draw(SHOP)
    spans = list(drawing.jitter(seed, 0.3).spans)
    victim = spans[which % len(spans)]
    more = (victim.end_ms - victim.start_ms) * (factor - 1)
    stretched = tuple(
        type(span)(
            **{
                **{name: getattr(span, name) for name in span.__dataclass_fields__},
                "start_ms": span.start_ms + (more if span.start_ms > victim.start_ms else 0),
                "end_ms": span.end_ms + (more if span.end_ms >= victim.end_ms else 0),
            }
        )
        for span in spans
    )
    analysis = learned.measure(Drawing(stretched, b"x" * 16))
    latency = explain_latency(analysis, 0, CONFIG)
    causes = latency_candidates(analysis, 0, latency, CONFIG)

    assert_adds_up(latency)
    assert sum(cause.probability for cause in causes) <= 1.0 + 1e-9
    numbers = [value for cause in causes for one in cause.evidence for value in one.numbers.values()]
    assert all(math.isfinite(value) for value in numbers)


_SHOP: list[Learned] = []


def _learned_shop() -> Learned:
    if not _SHOP:
        _SHOP.append(Learned(draw(SHOP), count=120))
    return _SHOP[0]


@settings(deadline=None, max_examples=40)
@given(hostile_trace())
def test_hostile_traces_never_raise(rows):
    analysis = measure(trace_batch([rows]))
    latency = explain_latency(analysis, 0, CONFIG)

    assert latency.duration_ns >= 0
    assert latency_candidates(analysis, 0, latency, CONFIG) == []
