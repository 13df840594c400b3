"""The guard: what is let through, what is refused, and at what cost."""

from __future__ import annotations

import random
import tracemalloc

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numba.core import config
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from collector.contracts import Signal
from collector.errors import BadRequestError
from collector.wire.limits import prescan
from collector.wire.request_limits import Prescan, RequestLimits
from tests.collector.wire import strategies
from tests.collector.wire.facts import decoded
from tests.support.load import requests
from tests.support.naive import limits as naive
from tests.support.otlp_seeds import metrics_payload
from tests.support.structure import protobuf_reads

QUICK = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
MIB = 1 << 20
BOMB_BYTES = 16 * MIB


def verdict(payload: bytes, signal: Signal, limits: RequestLimits) -> Prescan | str:
    """The counts, or the reason for refusing."""
    try:
        return prescan(payload, signal, limits)
    except BadRequestError as error:
        return error.reason


def naive_verdict(payload: bytes, signal: Signal, limits: RequestLimits) -> Prescan | str:
    try:
        return naive.prescan(payload, signal, limits)
    except naive.Refused as refused:
        return refused.reason


def refused_for_a_group(payload: bytes, signal: Signal, limits: RequestLimits) -> bool:
    with pytest.raises(naive.Refused) as refused:
        naive.prescan(payload, signal, limits)
    return refused.value.group


def block(tag: int, inside: bytes) -> bytes:
    """One length-delimited field."""
    length, head = len(inside), b""
    while length >= 128:
        head += bytes([length & 127 | 128])
        length >>= 7
    return bytes([tag]) + head + bytes([length]) + inside


def in_a_span(field: bytes) -> bytes:
    """A request of one span that holds the bytes."""
    return block(0x0A, block(0x12, block(0x12, field)))


def nested(kind: str, levels: int) -> bytes:
    """An AnyValue of arrays (or key-value lists) inside one another."""
    value = block(0x0A, b"x")
    for _ in range(levels):
        if kind == "array":
            value = block(0x2A, block(0x0A, value))
        else:
            value = block(0x32, block(0x0A, block(0x0A, b"k") + block(0x12, value)))
    return value


def attribute(value: bytes) -> bytes:
    return block(0x4A, block(0x0A, b"k") + block(0x12, value))


small_limits = st.builds(
    RequestLimits,
    spans_max=st.integers(1, 6),
    messages_max=st.integers(1, 60),
    resources_max=st.integers(1, 3),
    depth_max=st.integers(1, 4),
)


@QUICK
@given(strategies.trace_requests, st.integers(0, 2**32), st.one_of(small_limits, st.just(RequestLimits())))
def test_guard_counts_what_its_twin_counts(request, seed, limits):
    """Legal requests, plainly and oddly written: the same counts, or the same first reason."""
    for payload in (request.SerializeToString(), strategies.written_oddly(request, random.Random(seed))):
        assert naive_verdict(payload, Signal.TRACES, limits) == verdict(payload, Signal.TRACES, limits)


@QUICK
@given(strategies.log_requests, st.one_of(small_limits, st.just(RequestLimits())))
def test_guard_counts_log_records_and_asks_no_ids_of_them(request, limits):
    """A log record needs no trace id; nothing of it is rejected."""
    payload = request.SerializeToString()

    assert naive_verdict(payload, Signal.LOGS, limits) == verdict(payload, Signal.LOGS, limits)


def damage(count: int, seed: int) -> None:
    """The guard, its twin and protobuf agree on damaged requests; groups are refused by us alone."""
    rng = random.Random(seed)
    limits = RequestLimits(depth_max=1000)
    origins = [(payload, Signal.TRACES) for payload, _ in requests(11, 3, 2)[:8]]
    origins.append((in_a_span(attribute(nested("array", 3)) + attribute(nested("list", 2))), Signal.TRACES))
    origins += [(metrics_payload(), Signal.METRICS)] * 3
    for _ in range(count):
        origin, signal = rng.choice(origins)
        payload = strategies.mutated(origin, rng)
        want, group = naive_verdict(payload, signal, limits), False
        if isinstance(want, str):
            group = refused_for_a_group(payload, signal, limits)

        assert verdict(payload, signal, limits) == want
        assert group or protobuf_reads(payload, signal) == isinstance(want, Prescan)


def test_guard_and_protobuf_agree_on_damaged_requests():
    """Two thousand damaged requests: nothing passes that protobuf refuses, nothing is refused that it reads."""
    damage(2_000 if not config.DISABLE_JIT else 200, seed=7)


@pytest.mark.deep
def test_guard_and_protobuf_agree_on_sixty_thousand_damaged_requests():
    """The same, thirty times as long."""
    damage(60_000, seed=8)


def test_metrics_are_counted():
    """Metrics are not analysed, but their structure is checked and they are counted."""
    assert Prescan(count=3) == prescan(metrics_payload(), Signal.METRICS, RequestLimits())


def test_spans_without_usable_ids_are_counted_one_reason_each():
    """Bad ids reject the span, not the request; a span bad in both counts once."""
    good = {"trace_id": b"\1" * 16, "span_id": b"\2" * 8}
    request = ExportTraceServiceRequest()
    spans = request.resource_spans.add().scope_spans.add().spans
    spans.add(**good)
    for trace_id in (b"", bytes(16), b"\1" * 8, b"\1" * 15, b"\1" * 17, b"\1" * 24):
        spans.add(**{**good, "trace_id": trace_id})
    for span_id in (b"", bytes(8), b"\2" * 7, b"\2" * 9):
        spans.add(**{**good, "span_id": span_id})
    spans.add(trace_id=b"", span_id=b"")
    spans.add(**good)
    payload = request.SerializeToString()

    assert Prescan(count=13, bad_trace_id=7, bad_span_id=4) == prescan(payload, Signal.TRACES, RequestLimits())
    assert len(decoded(payload)) == 2


def test_log_records_of_no_trace_are_counted_apart():
    """They are taken, and no row comes of them: without a count the books would not balance."""
    request = ExportLogsServiceRequest()
    records = request.resource_logs.add().scope_logs.add().log_records
    for trace_id in (b"", bytes(16), b"\1" * 15, b"\1" * 16, b"\2" * 16):
        records.add(trace_id=trace_id)
    payload = request.SerializeToString()

    assert Prescan(count=5, untraced=3) == prescan(payload, Signal.LOGS, RequestLimits())
    assert len(decoded(payload, Signal.LOGS)) == 2


@pytest.mark.parametrize(
    ("shape", "unit", "wrap", "reason"),
    [
        ("spans", block(0x12, b""), lambda inside: block(0x0A, block(0x12, inside)), "too_many_spans"),
        ("resources", block(0x0A, b""), lambda inside: inside, "too_many_resources"),
        ("scopes", block(0x12, b""), lambda inside: block(0x0A, inside), "too_many_messages"),
        ("attributes", block(0x4A, b""), in_a_span, "too_many_messages"),
        ("plain attributes", block(0x4A, b"\x0a\x01k\x12\x02\x18\x01"), in_a_span, "too_many_messages"),
        ("events", block(0x5A, b""), in_a_span, "too_many_messages"),
        ("links", block(0x6A, b""), in_a_span, "too_many_messages"),
        (
            "array values",
            block(0x0A, b""),
            lambda inside: in_a_span(attribute(block(0x2A, inside))),
            "too_many_messages",
        ),
        (
            "list values",
            block(0x0A, b""),
            lambda inside: in_a_span(attribute(block(0x32, inside))),
            "too_many_messages",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_structural_bombs_are_refused_without_memory(shape, unit, wrap, reason):
    """16 MiB of the smallest messages of one kind: refused by reason; nothing is allocated for them."""
    limits = (
        RequestLimits() if not config.DISABLE_JIT else RequestLimits(spans_max=50, messages_max=90, resources_max=9)
    )
    payload = wrap(unit * (BOMB_BYTES // len(unit)))
    tracemalloc.start()
    try:
        with pytest.raises(BadRequestError) as refused:
            prescan(payload, Signal.TRACES, limits)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert reason == refused.value.reason
    assert "expected at most" in str(refused.value)
    assert peak_bytes < MIB


@pytest.mark.skipif(config.DISABLE_JIT, reason="16 MiB of steps in the interpreter")
@pytest.mark.parametrize(
    ("unit", "reason"),
    [(b"\xf8\x01\x01", None), (b"\xfa\x01\x00", None), (b"\x0b\x0c", "undecodable"), (b"\x0b", "undecodable")],
    ids=["unknown varints", "unknown blocks", "groups", "open groups"],
)
def test_unknown_fields_are_walked_and_groups_refused(unit, reason):
    """Fields nobody knows are ignored (OTLP: future versions); groups do not exist in OTLP."""
    payload = in_a_span(unit * (BOMB_BYTES // len(unit)))
    found = verdict(payload, Signal.TRACES, RequestLimits())

    assert (Prescan(count=1, bad_trace_id=1) if reason is None else reason) == found


@pytest.mark.parametrize("kind", ["array", "list"])
@pytest.mark.parametrize("levels", [0, 1, 30, 31, 32, 45, 100, 20_000])
def test_values_may_be_nested_32_deep(kind, levels):
    """31 containers around a text are 32 values; more is refused, without recursion."""
    found = verdict(in_a_span(attribute(nested(kind, levels))), Signal.TRACES, RequestLimits())

    assert (Prescan(count=1, bad_trace_id=1) if levels <= 31 else "too_deep") == found


@pytest.mark.parametrize("kind", ["array", "list"])
def test_nesting_is_never_let_through_deeper_than_protobuf_can_read(kind):
    """With the budget wide open, protobuf's own limit of 100 messages holds."""
    wide = RequestLimits(depth_max=1000)
    for levels in range(25, 55):
        payload = in_a_span(attribute(nested(kind, levels)))
        assert protobuf_reads(payload) == isinstance(verdict(payload, Signal.TRACES, wide), Prescan)


@pytest.mark.parametrize(
    "payload",
    [
        b"\x0a",
        b"\x0a\x05ab",
        b"\x0a\x80",
        b"\x00\x00",
        b"\x80\x80\x80\x80\x80\x80\x00",
        b"\x09\x01",
        b"\x0d\x01\x02",
        b"\x08" + b"\x80" * 10 + b"\x01",
        b"\x0a\xff\xff\xff\xff\x0f",
        in_a_span(b"\x7a\x05\x12\x09ab"),
        in_a_span(b"\x4a\x03\x0a\x05k"),
        in_a_span(b"\x6a\x02\x0a\x10"),
        b'{"resourceSpans": []}',
        b"not protobuf",
    ],
    ids=repr,
)
def test_broken_structure_is_undecodable(payload):
    """Cut lengths, long varints, field number 0, other formats: refused, as protobuf refuses them."""
    assert not protobuf_reads(payload)
    assert verdict(payload, Signal.TRACES, RequestLimits()) == "undecodable"


def test_a_refusal_says_what_was_found_expected_and_to_do():
    """The message is for the sender's operator."""
    with pytest.raises(BadRequestError, match=r"12 bytes are not .* expected an OTLP Export request; check"):
        prescan(b"not protobuf", Signal.TRACES, RequestLimits())


def test_text_that_is_not_utf8_does_not_cost_its_neighbours():
    """protobuf refuses the whole request for one bad byte; the guard does not."""
    payload = in_a_span(block(0x0A, b"\1" * 16) + block(0x12, b"\2" * 8) + block(0x2A, b"\xff\xfe"))

    assert Prescan(count=1) == prescan(payload, Signal.TRACES, RequestLimits())
