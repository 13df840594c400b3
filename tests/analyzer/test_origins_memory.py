"""What is learned of how failures travel: counts that decay, are bounded, and survive a restart by name."""

from __future__ import annotations

import numpy as np
import pytest

from analyzer.config import AnalysisConfig
from analyzer.error_classes import ErrorClass
from analyzer.origins import PropagationMemory, explain_errors, spread_blame
from analyzer.origins.memory import DEADLINE_COUNT_MIN, DEADLINE_KEYS_MAX, DEADLINE_SAMPLES
from tests.support.drawing import Drawing, batch, draw
from tests.support.naive.analysis import measure
from tests.support.naive.vocabulary import vocabulary

CONFIG = AnalysisConfig()
HANDLED = """
    a  root          0..100
      a  CLIENT opt    10..20 ERROR http.response.status_code=500 peer.service=ads
"""
HOUR_NS = 3_600 * 10**9


def many(text: str, count: int) -> list[Drawing]:
    return [draw(text, seed=1000 + i) for i in range(count)]


def operation(traces, name: str) -> int:  # type: ignore[no-untyped-def]
    words = traces.vocabulary
    return next(i for i in range(len(words.operations)) if words.strings.text(words.operations.key(i)[1]) == name)


def test_an_optional_call_is_learned_to_be_optional():
    """Its failures never failed the parent: rho falls, and a fatal failure is not blamed on it."""
    traces = batch(many(HANDLED, 60))
    memory = PropagationMemory()
    memory.learn(measure(traces), 1)
    fatal = measure(
        batch(
            draw(
                """
                a  root          0..100 ERROR
                  a  CLIENT opt    10..99 ERROR http.response.status_code=500 peer.service=ads
                """
            ),
            words=traces.vocabulary,
        )
    )

    before = spread_blame(fatal, PropagationMemory()).share[1]
    after = spread_blame(fatal, memory).share[1]

    assert memory.rho(operation(traces, "root"), operation(traces, "opt"), ErrorClass.INTERNAL) == pytest.approx(8 / 70)
    assert after < before


REFUSED = """
    shop  POST /order        0..50 http.response.status_code=402
      shop  CLIENT POST        2..48 ERROR http.response.status_code=402 server.address=bank
        bank  POST /charge       4..46 http.response.status_code=402
          bank  process            5..45 ERROR !CardDeclined: "insufficient funds" error.type=CardDeclined
"""


def test_a_failure_that_passes_spans_without_a_mark_is_not_learned_to_be_handled():
    """A server's 402 is no failure of its own, and no sign that the failure below ended there."""
    traces = batch(many(REFUSED, 90))
    memory = PropagationMemory()
    memory.learn(measure(traces), 1)

    rho = memory.rho(operation(traces, "POST /charge"), operation(traces, "process"), ErrorClass.BUSINESS)
    assert rho == pytest.approx(98 / 100)
    assert memory.own(operation(traces, "POST")) == pytest.approx(1 / 10)  # never seen without a failure below it


@pytest.mark.parametrize(("above", "handled"), [("ERROR", 0), ("http.response.status_code=200", 60), ("", 60)])
def test_what_a_silent_span_did_with_a_failure_the_span_above_says(above: str, handled: int):
    """A piece of work without a status: its server failed, or went on, or says nothing either."""
    traces = batch(many(f"a GET / 0..50 {above}\n  a work 1..49\n    a CLIENT call 2..48 ERROR peer.service=b", 60))
    memory = PropagationMemory()
    memory.learn(measure(traces), 1)

    rho = memory.rho(operation(traces, "work"), operation(traces, "call"), ErrorClass.UNKNOWN)
    assert rho == pytest.approx((68 - handled) / 70)


def test_a_refusal_told_many_times_is_still_told_of_its_origin():
    """Also when the server on its way has failed by itself meanwhile, as damaged traces make it seem."""
    damaged = [draw("bank POST /charge 0..9 ERROR", seed=5000 + i) for i in range(100)]
    traces = batch([*many(REFUSED, 400), *damaged])
    memory = PropagationMemory()
    memory.learn(measure(traces), 1)

    story = explain_errors(measure(batch(draw(REFUSED), words=traces.vocabulary)), 0, memory, CONFIG)

    assert story.business
    assert [one.operation for one in story.candidates[0].origin_spans] == ["process"]


def test_an_operation_that_never_fails_alone_is_trusted():
    traces = batch(many("a x 0..10", 90))
    memory = PropagationMemory()
    memory.learn(measure(traces), 1)

    assert memory.own(operation(traces, "x")) == pytest.approx(1 / 100)


def test_counts_decay():
    """Half of them is left after a half-life."""
    traces = batch(many("a x 0..10", 90))
    memory = PropagationMemory(half_life_s=3_600)
    memory.learn(measure(traces), HOUR_NS)
    memory.learn(measure(batch(draw("b y 0..1"), words=traces.vocabulary)), 2 * HOUR_NS)

    assert memory.own(operation(traces, "x")) == pytest.approx(1 / 55)


def test_what_decayed_leaves_its_place():
    traces = batch(many("a x 0..10", 2))
    memory = PropagationMemory(keys_max=16, half_life_s=1)
    memory.learn(measure(traces), HOUR_NS)
    memory.learn(measure(batch(draw("b y 0..1"), words=traces.vocabulary)), 2 * HOUR_NS)

    assert int((memory.keys != 0).sum()) == 1


def test_a_full_memory_refuses_and_counts():
    memory = PropagationMemory(keys_max=16)
    memory.learn(measure(batch([draw(f"a x{i} 0..1", seed=i) for i in range(40)])), 1)

    assert (int((memory.keys != 0).sum()), memory.refused) == (16, 24)


def test_it_is_loaded_by_name():
    """Another process numbers its operations in another order."""
    traces = batch(many(HANDLED, 60))
    memory = PropagationMemory()
    memory.learn(measure(traces), 7)
    words = vocabulary()
    batch(draw("z zz 0..1\n  a CLIENT opt 0..1"), words=words)
    again = batch(draw(HANDLED), words=words)

    loaded = PropagationMemory.load(memory.save(traces.vocabulary))
    loaded.operation_hashes(words)

    assert loaded.rho(operation(again, "root"), operation(again, "opt"), ErrorClass.INTERNAL) == pytest.approx(8 / 70)
    assert loaded.save(words) == memory.save(traces.vocabulary)


@pytest.mark.parametrize("raw", [b"", b"FFPM1\n", b"FFPM1\n\xff\xff\x00\x00{}", b"garbage" * 9])
def test_broken_bytes_are_refused_in_words(raw: bytes):
    with pytest.raises(ValueError, match="propagation memory"):
        PropagationMemory.load(raw)


def test_bytes_cut_short_are_refused():
    traces = batch(many(HANDLED, 3))
    memory = PropagationMemory()
    memory.learn(measure(traces), 1)

    with pytest.raises(ValueError, match="expected"):
        PropagationMemory.load(memory.save(traces.vocabulary)[:-3])


def test_a_deadline_is_read_from_error_durations():
    """Nine of ten calls were given up after 500 ms."""
    drawings = [
        draw(f"a root 0..900 ERROR\n  a CLIENT GET 0..{500 + i % 3} ERROR error.type=timeout peer.service=b", seed=i)
        for i in range(18)
    ]
    drawings += [
        draw(f"a root 0..900\n  a CLIENT GET 0..{50 + 70 * i} ERROR peer.service=b", seed=90 + i) for i in range(2)
    ]
    traces = batch(drawings)
    memory = PropagationMemory()
    memory.learn(measure(traces), 1)
    late = measure(
        batch(
            draw(
                """
                a  root        0..900 ERROR
                  a  CLIENT GET  0..500 ERROR error.type=timeout peer.service=b
                    b  handle      2..800
                """
            ),
            words=traces.vocabulary,
        )
    )

    story = explain_errors(late, 0, memory, CONFIG)

    assert memory.deadline_ns(late, 1, 0.6) == 501_000_000
    assert [one.numbers["deadline_ms"] for one in story.candidates[0].evidence if "deadline_ms" in one.numbers] == [
        501.0
    ]


def test_scattered_error_durations_are_no_deadline():
    drawings = [
        draw(f"a root 0..900\n  a CLIENT GET 0..{20 + 40 * i} ERROR error.type=timeout peer.service=b", seed=i)
        for i in range(20)
    ]
    analysis = measure(batch(drawings))
    memory = PropagationMemory()
    memory.learn(analysis, 1)

    assert memory.deadline_ns(analysis, 1, 0.6) is None


def test_few_error_durations_are_no_deadline():
    analysis = measure(
        batch(many("a root 0..900\n  a CLIENT GET 0..500 ERROR error.type=timeout", DEADLINE_COUNT_MIN - 1))
    )
    memory = PropagationMemory()
    memory.learn(analysis, 1)

    assert memory.deadline_ns(analysis, 1, 0.6) is None


def test_deadlines_are_bounded():
    memory = PropagationMemory()
    words = vocabulary()
    for part in range(9):
        drawings = [
            draw(f"a root 0..9\n  a CLIENT c{part}x{i} 0..5 ERROR error.type=timeout", seed=part * 256 + i)
            for i in range(256)
        ]
        memory.learn(measure(batch(drawings, words=words)), 1)
    for _ in range(2):
        memory.learn(
            measure(batch(many("a root 0..9\n  a CLIENT same 0..5 ERROR error.type=timeout", 60), words=words)), 1
        )
    sizes = [len(samples) for samples in memory._deadlines.values()]

    assert (len(sizes), max(sizes)) == (DEADLINE_KEYS_MAX, DEADLINE_SAMPLES)


def blamed(clean: str, broken: str) -> list[tuple[str, str]]:
    """Who is blamed for `broken` after `clean` was seen: in the same process, and in one that loaded what it learned."""
    traces = batch(many(clean, 3))
    memory = PropagationMemory()
    memory.learn(measure(traces), 1)
    loaded = PropagationMemory.load(memory.save(traces.vocabulary))
    stories = (
        explain_errors(measure(batch(draw(broken), words=traces.vocabulary)), 0, memory, CONFIG),
        explain_errors(measure(batch(draw(broken))), 0, loaded, CONFIG),
    )
    return [(story.candidates[0].entity.kind, story.candidates[0].entity.name) for story in stories]


def test_the_callee_is_known_by_its_calls():
    """server.address says a host name; the service that answers it was seen in clean traces."""
    clean = """
        a  root        0..100
          a  CLIENT GET  5..95 server.address=10.0.0.7
            stock  GET /    8..90
    """
    refused = """
        a  root        0..100 ERROR
          a  CLIENT GET  5..95 ERROR server.address=10.0.0.7 !ConnectError: "connection refused"
    """

    assert blamed(clean, refused) == [("service", "stock")] * 2


def test_no_callee_is_made_up_when_one_name_calls_several():
    """An HTTP client calls everybody under one name; an address that is a number stays what is known."""
    clean = """
        a  root        0..100
          a  CLIENT POST 5..45 server.address=10.0.0.7
            stock  GET /    8..40
          a  CLIENT POST 50..95 server.address=10.0.0.8
            bank   GET /    52..90
    """
    refused = """
        a  root        0..100 ERROR
          a  CLIENT POST 5..95 ERROR server.address=10.0.0.8 !ConnectError: "connection refused"
    """

    assert blamed(clean, refused) == [("service", "10.0.0.8")] * 2


def test_learning_does_not_change_what_it_reads():
    analysis = measure(batch(many(HANDLED, 2)))
    rows = analysis.traces.rows.copy()
    PropagationMemory(keys_max=16).learn(analysis, 1)

    assert np.array_equal(rows, analysis.traces.rows)
