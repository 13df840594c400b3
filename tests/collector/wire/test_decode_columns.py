"""Each column of a row, one truth at a time."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from analyzer import error_classes, spans
from analyzer.error_classes import ErrorClass
from analyzer.spans import NO_RPC_STATUS, PeerKind, SpanFlag
from collector.wire.scan.tables import KEYS
from tests.collector.wire.building import IDS, flags_of, one, put, put_pair, request_of, with_attributes
from tests.collector.wire.facts import decoded, expected


@pytest.mark.parametrize(
    ("column", "key", "value", "want"),
    [
        ("error_type", "error.type", "TimeoutError", "TimeoutError"),
        ("exception_type", "exception.type", "TimeoutError", "TimeoutError"),
        *[("http_status", key, 503, 503) for key in spans.HTTP_STATUS_KEYS],
        *[("http_status", key, "503", 503) for key in spans.HTTP_STATUS_KEYS],
        *[("rpc_status", key, 14, 14) for key in spans.RPC_STATUS_KEYS],
        *[("rpc_status", key, "UNAVAILABLE", 14) for key in spans.RPC_STATUS_KEYS],
        *[("resend_count", key, 3, 3) for key in spans.RESEND_KEYS],
        *[("system", key, "postgresql", "postgresql") for key in spans.DATABASE_SYSTEM_KEYS],
        *[("system", key, "kafka", "kafka") for key in spans.MESSAGING_SYSTEM_KEYS],
        *[("system", key, "grpc", "grpc") for key in spans.RPC_SYSTEM_KEYS],
        *[("peer", key, "bank", "bank") for key in spans.PEER_PRECEDENCE],
    ],
)
def test_every_convention_name_old_and_new_fills_its_column(column, key, value, want):
    """One attribute, one column."""
    assert want == one(with_attributes((key, value)))[column]


@pytest.mark.parametrize(
    ("column", "keys", "best", "other"),
    [
        ("http_status", spans.HTTP_STATUS_KEYS, 503, 200),
        ("rpc_status", spans.RPC_STATUS_KEYS, 14, 0),
        ("resend_count", spans.RESEND_KEYS, 3, 1),
        ("system", spans.DATABASE_SYSTEM_KEYS, "mysql", "other_sql"),
        ("system", spans.RPC_SYSTEM_KEYS, "grpc", "dubbo"),
        ("peer", spans.PEER_PRECEDENCE, "best", "other"),
    ],
)
def test_the_best_key_wins_wherever_it_stands(column, keys, best, other):
    """New names before old ones, whatever order they were written in."""
    for first, second in pairwise(keys):
        assert best == one(with_attributes((first, best), (second, other)))[column]
        assert best == one(with_attributes((second, other), (first, best)))[column]


def test_peer_kind_follows_the_system():
    """A database before a queue before a service."""
    assert one()["peer_kind"] == PeerKind.NONE
    assert one(with_attributes(("server.address", "bank")))["peer_kind"] == PeerKind.SERVICE
    assert one(with_attributes(("rpc.system", "grpc")))["peer_kind"] == PeerKind.SERVICE
    assert one(with_attributes(("messaging.system", "kafka"), ("peer.service", "x")))["peer_kind"] == PeerKind.QUEUE
    assert one(with_attributes(("messaging.system", "k"), ("db.system", "redis")))["peer_kind"] == PeerKind.DATABASE


@pytest.mark.parametrize(
    ("value", "want"),
    [
        (1, 1),
        (599, 599),
        (600, 0),
        (0, 0),
        (-1, 0),
        (2**63 - 1, 0),
        ("404", 404),
        ("abc", 0),
        ("", 0),
        (True, 0),
        (4.0, 0),
    ],
)
def test_http_status_is_1_to_599(value, want):
    """Numbers, or texts of digits; anything else is none."""
    assert want == one(with_attributes(("http.response.status_code", value)))["http_status"]


def test_rpc_codes_by_number_and_by_name_in_any_case():
    """0 to 16, or the name; else none."""
    for code, name in enumerate(error_classes.RPC_NAMES):
        for value in (code, str(code), name, name.lower(), name.title()):
            assert code == one(with_attributes(("rpc.grpc.status_code", value)))["rpc_status"]
    for value in (17, -1, "17", "NOT_A_CODE", "OKAY", "O", True):
        assert one(with_attributes(("rpc.grpc.status_code", value)))["rpc_status"] == NO_RPC_STATUS


@pytest.mark.parametrize("key", [key.decode() for key in KEYS])
def test_keys_that_only_look_like_ours_fill_nothing(key):
    """Another first byte, one byte more, one byte less, another case."""
    blank = one()
    for near in ("#" + key[1:], key + "x", key[1:], key[:-1], key.upper()):
        found = one(with_attributes((near, "503")))
        assert found.pop("attribute_count") == 1
        changed = {column for column in found if found[column] != blank.get(column)}
        assert changed <= {"raw", "raw_length", "attribute_count"}


def test_the_last_of_equal_keys_wins_and_is_flagged():
    """OTLP forbids equal keys; senders send them."""
    found = one(with_attributes(("error.type", "first"), ("error.type", "second")))

    assert found["error_type"] == "second"
    assert flags_of(found) == SpanFlag.DUPLICATE_KEY


@pytest.mark.parametrize(
    ("resource", "service", "flag"),
    [
        ({"service.name": "shop"}, "shop", SpanFlag(0)),
        ({"host.name": "h"}, "", SpanFlag.NO_SERVICE),
        ({"service.name": ""}, "", SpanFlag.EMPTY_SERVICE),
        ({"service.name": 7}, "", SpanFlag.SERVICE_NOT_TEXT),
        ({"service.name": True}, "", SpanFlag.SERVICE_NOT_TEXT),
    ],
)
def test_service_name_missing_empty_and_of_another_type_are_told_apart(resource, service, flag):
    """reliability.md shape 29."""
    found = one(resource=resource)

    assert service == found["service"]
    assert flag == flags_of(found)


def test_parent_ids_of_wrong_length_are_missing_and_no_root():
    """Shape 13: empty or zero is a root; a wrong length is a defect."""

    def parent(value):
        def change(span):
            span.parent_span_id = value

        return SpanFlag(one(change)["flags"])

    assert parent(b"") == SpanFlag.ROOT
    assert parent(bytes(8)) == SpanFlag.ROOT
    assert SpanFlag(0) == parent(b"\3" * 8)
    assert parent(b"\3" * 7) == SpanFlag.BAD_PARENT_ID
    assert parent(b"\3" * 16) == SpanFlag.BAD_PARENT_ID


def test_kind_and_status_out_of_range_are_unspecified():
    """Shape 36: enums are open; we know six kinds and three codes."""
    for kind in (6, 7, -1, 2**31 - 1):

        def change(span, kind=kind):
            span.kind = kind
            span.status.code = kind

        found = one(change)
        assert (found["kind"], found["status"]) == (0, 0)


def test_times_beyond_63_bits_wrap_to_negative():
    """Shape 22: kept as sent, never an overflow."""

    def change(span):
        span.start_time_unix_nano = 2**63
        span.end_time_unix_nano = 2**64 - 1

    found = one(change)
    assert (found["start_ns"], found["end_ns"]) == (-(2**63), -1)


def with_fields(*fields):
    """A request of one span with raw protobuf fields behind its own; the plain twin must agree."""
    span = Span(name="work", **IDS).SerializeToString() + b"".join(fields)
    payload = span
    for tag in (0x12, 0x12, 0x0A):  # Span in ScopeSpans in ResourceSpans
        payload = bytes([tag, len(payload)]) + payload
    columns = ("raw", "raw_length", "resource", "scope")  # the twin writes these its own way
    found = [{key: value for key, value in record.items() if key not in columns} for record in decoded(payload)]
    wanted = [{key: value for key, value in record.items() if key not in columns} for record in expected(payload)]
    assert found == wanted
    return found


@pytest.mark.parametrize(
    ("fields", "rows"),
    [
        ([b"\x0a\x10" + b"\3" * 16], 1),
        ([b"\x0a\x08" + b"\3" * 8], 0),
        ([b"\x0a\x00"], 0),
        ([b"\x0a\x00", b"\x0a\x10" + b"\3" * 16], 1),
        ([b"\x12\x08" + b"\3" * 8], 1),
        ([b"\x12\x07" + b"\3" * 7], 0),
        ([b"\x12\x07" + b"\3" * 7, b"\x12\x08" + b"\3" * 8], 1),
        ([b"\x22\x07" + b"\3" * 7, b"\x22\x00"], 1),
        ([b"\x22\x08" + b"\3" * 8, b"\x22\x07" + b"\3" * 7], 1),
    ],
)
def test_the_last_of_two_ids_counts(fields, rows):
    """protobuf: the last one wins, whether it is usable or not."""
    assert len(with_fields(*fields)) == rows


def test_enums_are_32_bits_wide_whatever_was_sent():
    """A varint of 2**32 + 3 is 3; status 2**32 + 2 is an error; lost counts of 2**32 are none."""
    wide = b"\x83\x80\x80\x80\x10"
    (found,) = with_fields(b"\x30" + wide, b"\x7a\x06\x18\x82\x80\x80\x80\x10", b"\x50\x80\x80\x80\x80\x10")

    assert (found["kind"], found["status"]) == (3, 2)
    assert SpanFlag.TRUNCATED not in flags_of(found)


def test_a_status_in_two_parts_is_merged():
    """Code from one, message from the other."""
    (found,) = with_fields(b"\x7a\x02\x18\x02", b"\x7a\x09\x12\x07timeout")

    assert (found["status"], found["message_class"]) == (2, ErrorClass.TIMEOUT)


def test_a_later_value_of_another_type_takes_an_exceptions_text_away():
    """The last of equal keys wins in events as well."""

    def change(span):
        exception_event(span, exception__type="First", exception__message="read timed out")
        put_pair(span.events[0], "exception.type", 7)
        put_pair(span.events[0], "exception.message", "")

    found = one(change)
    assert (found["exception_type"], found["message_class"]) == ("", ErrorClass.NONE)
    assert flags_of(found) == SpanFlag.EXCEPTION


def test_a_key_value_may_say_its_value_twice():
    """protobuf merges the two: the later member of the oneof wins, an empty one changes nothing."""
    pair = b"\x0a\x0aerror.type"
    for values, want in (
        ([b"\x12\x03\x0a\x01a", b"\x12\x03\x0a\x01b"], "b"),
        ([b"\x12\x03\x0a\x01a", b"\x12\x00"], "a"),
        ([b"\x12\x03\x0a\x01a", b"\x12\x02\x18\x05"], ""),
        ([b"\x12\x05\x18\x05\x0a\x01c"], "c"),
    ):
        body = pair + b"".join(values)
        (found,) = with_fields(b"\x4a" + bytes([len(body)]) + body)
        assert found["error_type"] == want


def exception_event(span, **attributes):
    event = span.events.add(name="exception")
    put(event, **attributes)


def test_the_last_exception_event_speaks():
    """The one that ended the span; its own attributes speak before any event."""

    def events(span):
        exception_event(span, exception__type="First", exception__message="read timed out")
        exception_event(span, exception__type="Last", exception__message="connection refused", exception__escaped=True)
        span.events.add(name="cache.miss")

    def own(span):
        events(span)
        put(span, exception__type="Own")

    found = one(events)
    assert (
        found["exception_type"],
        found["message_class"],
        found["event_count"],
    ) == ("Last", ErrorClass.UNAVAILABLE, 3)
    assert flags_of(found) == SpanFlag.EXCEPTION | SpanFlag.ESCAPED
    found = one(own)
    assert (found["exception_type"], found["message_class"]) == ("Own", ErrorClass.NONE)
    assert flags_of(found) == SpanFlag.EXCEPTION


def test_every_error_word_is_found_in_any_case_at_any_place():
    """The first row of the list that is in the message wins."""
    for word, _ in error_classes.KEYWORDS:
        for text in (word.decode(), f"Ein {word.decode().upper()} é", "x" * (256 - len(word)) + word.decode()):

            def change(span, text=text):
                span.status.message = text

            assert error_classes.message_class(text.encode()) == one(change)["message_class"] != ErrorClass.NONE


def test_words_behind_the_first_256_bytes_are_not_looked_for():
    """The search is bounded, whatever is sent."""

    def change(span):
        span.status.message = "x" * 250 + "timeout"

    assert one(change)["message_class"] == ErrorClass.NONE


@pytest.mark.parametrize(
    ("trace_state", "weight"),
    [
        ("ot=th:8", 2.0),
        ("vendor=1, ot=rv:0123;th:c", 4.0),
        ("ot=th:0", 1.0),
        ("ot=th:ffffffffffffff", float(2**56)),
        ("ot=th:G", None),
        ("ot=th:123456789012345", None),
        ("xot=th:8", None),
        ("ot=th:" + "0" * 100_000, None),
    ],
)
def test_the_sampling_threshold_gives_the_weight(trace_state, weight):
    """OpenTelemetry probability sampling: weight = 1 / (1 - T / 2**56)."""

    def change(span):
        span.trace_state = trace_state

    found = one(change)
    assert np.float32(weight or 1.0) == found["weight"]
    assert (SpanFlag.THRESHOLD if weight else SpanFlag(0)) == flags_of(found)


def test_our_own_scope_is_marked():
    """Findings that come back must not be analysed again (shape 45)."""
    assert flags_of(one(scope="firstfault")) == SpanFlag.OWN_SCOPE
    assert SpanFlag(0) == flags_of(one(scope="firstfault2"))


def test_flags_of_sampling_remote_parent_and_loss():
    """W3C sampled bit, remote parent, and what the SDK dropped."""

    def change(span):
        span.flags = 0x301
        span.dropped_events_count = 1

    assert flags_of(one(change)) == SpanFlag.SAMPLED | SpanFlag.REMOTE_PARENT | SpanFlag.TRUNCATED


def test_counts_saturate():
    """Shapes 33 to 35: counters say "at least"."""

    def change(span):
        for _ in range(300):
            span.events.add()
        put(span, http__request__resend_count=1000)

    found = one(change)
    assert (found["event_count"], found["resend_count"]) == (255, 255)


def test_a_bad_span_is_skipped_and_its_neighbours_live():
    """Shapes 11 and 12."""

    def bad(span):
        span.span_id = bytes(8)

    payload = request_of(lambda span: None, bad, lambda span: None)

    assert len(decoded(payload)) == 2


def test_long_names_are_cut_between_code_points():
    """Shape 31: at most 1 KiB of a name is a name; the whole stands in the span's bytes."""

    def change(span):
        span.name = "a" * 1023 + "é" * 10

    assert one(change)["name"] == "a" * 1023


def bad_utf8(payload):
    return payload.replace(b"work", b"w\xffrk")


def test_text_that_is_not_utf8_is_kept_shown_and_flagged():
    """Shape 32: U+FFFD where it is shown, a flag on the row, the other spans untouched."""

    def other(span):
        span.name = "fine"

    first, second = decoded(bad_utf8(request_of(lambda span: None, other)))

    assert (first["name"], flags_of(first)) == ("w\ufffdrk", SpanFlag.BAD_TEXT)
    assert ("fine", SpanFlag(0)) == (second["name"], flags_of(second))
