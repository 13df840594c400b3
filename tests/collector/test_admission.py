"""The gate: every request ends under exactly one outcome, and is acknowledged only when handed over."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from collector.admission import CROWDED_WAITS_MAX, FULL_WAIT_S, FULL_WAITS_MAX, RETRY_AFTER_S, Gate
from collector.contracts import Admission, Encoding, Signal
from collector.errors import BadRequestError, OverloadedError, QuotaError, RefusedError
from collector.wire.request_limits import Prescan, RequestLimits
from tests.support.doors import RecordingHandover
from tests.support.fakes.clock import ManualClock


def _guard(payload: bytes, signal: Signal, limits: RequestLimits) -> Prescan:
    """A request is written as "good bad_trace bad_span"; "?" cannot be read, "!" meets a bug of ours."""
    if payload == b"?":
        raise BadRequestError("cannot be read", "too_many_spans")
    if payload.startswith(b"!"):
        raise ZeroDivisionError("our bug")
    good, bad_trace_id, bad_span_id = (int(word) for word in payload.split())
    return Prescan(good + bad_trace_id + bad_span_id, bad_trace_id, bad_span_id)


def _json(payload: bytes, signal: Signal, limits: RequestLimits) -> bytes:
    return payload.removeprefix(b"json:")


@pytest.fixture
def handover() -> RecordingHandover:
    return RecordingHandover()


@pytest.fixture
def gate(handover: RecordingHandover) -> Gate:
    found = Gate(handover, prescan=_guard, translate_json=_json, clock=ManualClock(), seed=7, pause=_no_pause)
    found.open()
    return found


def _no_pause(seconds: float) -> None:
    """The wait for room is over at once."""


def _take(gate: Gate, payload: bytes, signal: Signal = Signal.TRACES) -> Admission:
    return gate.take(payload, signal, Encoding.PROTOBUF, "grpc")


def _refused(gate: Gate, payload: bytes, signal: Signal = Signal.TRACES) -> RefusedError:
    with pytest.raises(RefusedError) as caught:
        _take(gate, payload, signal)
    return caught.value


def test_a_good_request_is_handed_over_and_counted(gate: Gate, handover: RecordingHandover):
    assert _take(gate, b"3 0 0") == Admission(3)
    assert handover.taken == [(Signal.TRACES, b"3 0 0")]
    assert gate.snapshot() == {"receiver_accepted_spans|otlp|grpc": 3}


def test_log_records_have_their_own_counters(gate: Gate):
    _take(gate, b"2 0 0", Signal.LOGS)

    assert gate.snapshot() == {"receiver_accepted_log_records|otlp|grpc": 2}


def test_bad_spans_are_rejected_with_the_reason_and_how_often(gate: Gate, handover: RecordingHandover):
    admission = _take(gate, b"5 2 1")

    assert (admission.accepted_count, admission.rejected_count) == (5, 3)
    assert admission.message == (
        "3 of 8 spans rejected: 2 with a trace id that is not 16 bytes or is all zero, "
        "1 with a span id that is not 8 bytes or is all zero; the others were taken"
    )
    assert gate.snapshot() == {
        "receiver_accepted_spans|otlp|grpc": 5,
        "receiver_rejected_spans|otlp|grpc|bad_trace_id": 2,
        "receiver_rejected_spans|otlp|grpc|bad_span_id": 1,
    }


@pytest.mark.parametrize("payload", [b"0 0 0", b"0 2 0"])
def test_a_request_without_a_good_span_is_not_handed_over(gate: Gate, handover: RecordingHandover, payload: bytes):
    """And is no reason to refuse: empty requests succeed (OTLP 1.11, Full Success)."""
    handover.has_room = False

    assert _take(gate, payload).accepted_count == 0
    assert handover.taken == []


def test_json_is_translated_first(gate: Gate, handover: RecordingHandover):
    gate.take(b"json:1 0 0", Signal.TRACES, Encoding.JSON, "http")

    assert handover.taken == [(Signal.TRACES, b"1 0 0")]


def test_metrics_are_counted_and_ignored(gate: Gate, handover: RecordingHandover):
    assert _take(gate, b"anything", Signal.METRICS) == Admission(0)
    assert (handover.taken, gate.snapshot()) == ([], {"receiver_ignored_requests|otlp|grpc|metrics": 1})


def test_what_cannot_be_read_is_counted_as_a_request(gate: Gate):
    """How many spans it holds, nobody knows."""
    error = _refused(gate, b"?")

    assert (type(error), gate.snapshot()) == (
        BadRequestError,
        {"receiver_refused_requests|otlp|grpc|too_many_spans": 1},
    )


def test_no_room_is_overload_and_nothing_is_taken(gate: Gate, handover: RecordingHandover):
    handover.has_room = False

    error = _refused(gate, b"3 1 0")

    assert isinstance(error, OverloadedError)
    assert RETRY_AFTER_S[0] <= error.retry_after_s <= RETRY_AFTER_S[1]
    assert gate.snapshot() == {
        "receiver_refused_requests|otlp|grpc|full": 1,
        "receiver_refused_spans|otlp|grpc|full": 4,
    }


def test_a_full_ring_is_given_a_moment(handover: RecordingHandover):
    """Room that comes within the moment spares the client a second sending."""
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        handover.has_room = len(pauses) == 3  # and only then

    gate = Gate(handover, prescan=_guard, translate_json=_json, seed=7, pause=pause)
    gate.open()
    handover.has_room = False

    assert _take(gate, b"3 0 0").accepted_count == 3
    assert (pauses, len(handover.taken)) == ([FULL_WAIT_S] * 3, 1)
    assert gate.snapshot() == {"receiver_accepted_spans|otlp|grpc": 3, "receiver_delayed_requests|otlp|grpc": 1}

    handover.has_room = False
    assert _refused(gate, b"1 0 0").reason == "full"
    assert len(pauses) == 3 + FULL_WAITS_MAX


def test_after_waiting_in_vain_refusals_come_soon(handover: RecordingHandover):
    pauses: list[float] = []
    clock = ManualClock()
    gate = Gate(handover, prescan=_guard, translate_json=_json, clock=clock, seed=7, pause=pauses.append)
    gate.open()
    handover.has_room = False

    waits = []
    for later_s in (0, 1, 1, 60):
        clock.advance(later_s)
        pauses.clear()
        assert _refused(gate, b"1 0 0").reason == "full"
        waits.append(len(pauses))

    assert waits == [FULL_WAITS_MAX, CROWDED_WAITS_MAX, CROWDED_WAITS_MAX, FULL_WAITS_MAX]


def test_who_waits_for_room_while_the_gate_drains_is_refused(handover: RecordingHandover):
    gate = Gate(handover, prescan=_guard, translate_json=_json, seed=7, pause=lambda _: gate.drain())
    gate.open()
    handover.has_room = False

    assert (_refused(gate, b"1 0 0").reason, handover.taken) == ("draining", [])


def test_retry_delays_are_spread(gate: Gate, handover: RecordingHandover):
    """All clients told the same second would come at the same second."""
    handover.has_room = False

    delays = [_refused(gate, b"1 0 0").retry_after_s for _ in range(20)]  # type: ignore[attr-defined]

    assert len(set(delays)) == 20


def test_a_refusal_of_the_handover_passes_through(gate: Gate, handover: RecordingHandover):
    """A full disk, a tenant over its share: their reason, their delay."""
    handover.faults.append(QuotaError("over", retry_after_s=9))

    error = _refused(gate, b"1 0 0")

    assert (type(error), error.retry_after_s) == (QuotaError, 9)  # type: ignore[attr-defined]
    assert gate.snapshot()["receiver_refused_spans|otlp|grpc|quota"] == 1


def test_before_it_is_opened_the_gate_says_starting(handover: RecordingHandover):
    gate = Gate(handover, prescan=_guard, translate_json=_json, seed=7)

    assert _refused(gate, b"1 0 0").reason == "starting"
    gate.open()
    assert _take(gate, b"1 0 0").accepted_count == 1


def test_after_drain_nothing_is_offered_any_more(gate: Gate, handover: RecordingHandover):
    gate.drain()

    assert (_refused(gate, b"2 0 0").reason, handover.taken) == ("draining", [])
    gate.open()
    assert (gate.is_open, _refused(gate, b"2 0 0").reason) == (False, "draining")
    assert gate.snapshot()["receiver_refused_spans|otlp|grpc|draining"] == 4


def test_drain_waits_for_the_request_that_is_being_handed_over(gate: Gate, handover: RecordingHandover):
    """When drain returns, what was acknowledged was handed over."""
    inside, go = threading.Event(), threading.Event()
    offer = handover.offer

    def slow(payload: bytes, signal: Signal) -> bool:
        inside.set()
        go.wait(10)
        return offer(payload, signal)

    handover.offer = slow  # type: ignore[method-assign]
    with ThreadPoolExecutor(2) as threads:
        taken = threads.submit(_take, gate, b"1 0 0")
        inside.wait(10)
        drained = threads.submit(gate.drain)
        assert not drained.done()
        go.set()

        assert taken.result(10) == Admission(1)
        drained.result(10)
    assert len(handover.taken) == 1


def test_our_bug_is_worth_one_more_try_then_poison(gate: Gate, caplog: pytest.LogCaptureFixture):
    reasons = [_refused(gate, payload).reason for payload in (b"!a", b"!b", b"!a", b"!a")]

    assert reasons == ["internal", "internal", "poison", "poison"]
    assert gate.snapshot() == {
        "receiver_failed_requests|otlp|grpc|internal": 2,
        "receiver_failed_requests|otlp|grpc|poison": 2,
    }
    assert len(caplog.records) == 1  # one a second, however often it happens


def test_the_suspects_are_bounded(gate: Gate):
    """A stranger who finds a bug cannot make the list grow: the oldest suspect is forgotten."""
    assert _refused(gate, b"!first").reason == "internal"
    for number in range(64):
        _refused(gate, b"!%d" % number)

    assert _refused(gate, b"!first").reason == "internal"


def test_a_bug_is_logged_once_a_second(handover: RecordingHandover, caplog: pytest.LogCaptureFixture):
    clock = ManualClock()
    gate = Gate(handover, prescan=_guard, translate_json=_json, clock=clock, seed=7)
    for later_s in (0, 0.999_999_999, 0.000_000_001):
        clock.advance(later_s)
        _refused(gate, b"!")

    assert len(caplog.records) == 2


def test_many_threads_lose_no_count(gate: Gate, handover: RecordingHandover):
    """wire = accepted + rejected + refused, to the span; the handover takes many threads at once."""

    def offer(payload: bytes, signal: Signal) -> bool:
        handover.taken.append((signal, payload))
        return len(handover.taken) % 3 > 0

    handover.offer = offer  # type: ignore[method-assign]

    def send(number: int) -> None:
        with contextlib.suppress(RefusedError):
            _take(gate, b"%d 1 2" % (number % 5))

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(send, range(1000)))

    counts = gate.snapshot()
    assert sum(value for key, value in counts.items() if "_spans|" in key) == sum(n % 5 + 3 for n in range(1000))


def _masking(handover: RecordingHandover, mask: Callable[[bytes, Signal], bytes], bytes_max: int = 100) -> Gate:
    limits = RequestLimits(bytes_max=bytes_max)
    gate = Gate(handover, prescan=_guard, translate_json=_json, limits=limits, mask=mask, clock=ManualClock())
    gate.open()
    return gate


def test_what_is_handed_over_goes_through_the_mask(handover: RecordingHandover):
    gate = _masking(handover, lambda payload, signal: payload + f" {signal.name}".encode())

    assert _take(gate, b"3 0 0", Signal.LOGS) == Admission(3)
    assert handover.taken == [(Signal.LOGS, b"3 0 0 LOGS")]


@pytest.mark.parametrize(("masked", "reason"), [(b"", "unmaskable"), (b"x" * 101, "too_large")])
def test_what_cannot_be_masked_is_refused_and_nothing_is_written(
    handover: RecordingHandover, masked: bytes, reason: str
):
    gate = _masking(handover, lambda payload, signal: masked)

    assert _refused(gate, b"3 0 0").reason == reason
    assert handover.taken == []
    assert gate.snapshot()[f"receiver_refused_spans|otlp|grpc|{reason}"] == 3
