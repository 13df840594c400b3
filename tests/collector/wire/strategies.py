"""Requests for property tests: legal ones, oddly written ones, broken ones."""

from __future__ import annotations

import random
from collections.abc import Sequence

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import (
    AnyValue,
    ArrayValue,
    InstrumentationScope,
    KeyValue,
    KeyValueList,
)
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, Status

from analyzer import error_classes
from collector.wire.scan.tables import KEYS

_OUR_KEYS = [key.decode() for key in KEYS]
# Same length and same last 8 bytes as a key of ours, another beginning; and other near misses.
_NEAR_KEYS = [("x" + key[1:]) for key in _OUR_KEYS] + [key + "s" for key in _OUR_KEYS] + [key[1:] for key in _OUR_KEYS]
_OTHER_KEYS = ["", "a", "http.route", "thread.id", "db.query.text", "k" * 31, "k" * 32, "k" * 200]

_words = st.sampled_from([word.decode() for word, _ in error_classes.KEYWORDS])
_messages = st.one_of(
    st.sampled_from(["", "the query failed", "Connection Refused by peer", "DEADLINE_EXCEEDED", "x" * 300 + "timeout"]),
    st.builds(lambda a, word, b: a + word.upper() + b, st.text(max_size=12), _words, st.text(max_size=12)),
    st.builds(lambda n, word: "y" * n + word, st.integers(230, 260), _words),
    st.builds(lambda a, b: a[:-1] + b, _words, _words),
)
_codes = st.sampled_from(
    ["0", "5", "16", "17", "200", "404", "503", "599", "600", "0503", "1234567890", "\uff14\uff10\uff14", "-1", "2e2"]
)
_names = st.sampled_from(
    ["OK", "ok", "Unavailable", "DEADLINE_EXCEEDED", "deadline_exceedeD", "unauthenticated", "\u0131nternal", "INTERNA"]
)
_texts = st.one_of(
    st.sampled_from(["", "true", "shop", "payment", "firstfault", "é" * 600, "a" * 1023 + "é", "n" * 127, "n" * 128]),
    st.text(max_size=24),
    _codes,
    _names,
    _messages,
)
_integers = st.one_of(
    st.sampled_from([0, 1, 16, 17, 200, 255, 256, 500, 599, 600, -1, 2**63 - 1, -(2**63)]),
    st.integers(-(2**63), 2**63 - 1),
)

values = st.recursive(
    st.one_of(
        st.builds(lambda v: AnyValue(string_value=v), _texts),
        st.builds(lambda v: AnyValue(int_value=v), _integers),
        st.builds(lambda v: AnyValue(bool_value=v), st.booleans()),
        st.builds(lambda v: AnyValue(double_value=v), st.floats()),
        st.builds(lambda v: AnyValue(bytes_value=v), st.binary(max_size=9)),
        st.just(AnyValue()),
    ),
    lambda inner: st.one_of(
        st.builds(lambda v: AnyValue(array_value=ArrayValue(values=v)), st.lists(inner, max_size=3)),
        st.builds(
            lambda v: AnyValue(kvlist_value=KeyValueList(values=[KeyValue(key="k", value=x) for x in v])),
            st.lists(inner, max_size=3),
        ),
    ),
    max_leaves=4,
)
keys = st.one_of(
    st.sampled_from(_OUR_KEYS),
    st.sampled_from(_OUR_KEYS),
    st.sampled_from(_NEAR_KEYS),
    st.sampled_from(_OTHER_KEYS),
    st.text(max_size=8),
)
pairs = st.one_of(
    st.builds(lambda key, value: KeyValue(key=key, value=value), keys, values),
    st.builds(lambda key: KeyValue(key=key), keys),
)
_exception_pairs = st.builds(
    lambda key, value: KeyValue(key=key, value=value),
    st.sampled_from(["exception.type", "exception.message", "exception.escaped", "exception.stacktrace"]),
    st.one_of(
        st.builds(lambda v: AnyValue(string_value=v), st.one_of(_messages, st.sampled_from(["true", "false"]))),
        st.builds(lambda v: AnyValue(bool_value=v), st.booleans()),
    ),
)

_ids_16 = st.one_of(
    st.binary(min_size=16, max_size=16),
    st.binary(min_size=16, max_size=16),
    st.sampled_from(
        [b"", bytes(16), b"\1" * 8, b"\1" * 15, b"\1" * 17, b"\1" * 24, b"\1" + bytes(15), bytes(15) + b"\1"]
    ),
)
_ids_8 = st.one_of(
    st.binary(min_size=8, max_size=8),
    st.binary(min_size=8, max_size=8),
    st.sampled_from([b"", bytes(8), b"\1", b"\1" * 7, b"\1" * 9, bytes(7) + b"\1"]),
)
_times = st.one_of(st.integers(0, 2**64 - 1), st.sampled_from([0, 1, 2**63 - 1, 2**63, 2**64 - 1]))
_enums = st.one_of(st.integers(0, 6), st.sampled_from([-1, 7, 25, 2**31 - 1, -(2**31)]))
_small_counts = st.sampled_from([0, 0, 0, 1, 2**32 - 1])
_trace_states = st.one_of(
    st.sampled_from(
        [
            "",
            "ot=th:8",
            "ot=th:fd70a4",
            "ot=rv:ab;th:c ,x=1",
            "x=1, \tot=th:ffffffffffffff\t",
            "ot=th:0",
            "ot=th:",
            "ot=th:F",
            "ot=th:123456789012345",
            "ot=th:g;th:4",
            "ot",
            "ot=",
            "xot=th:8",
            "ot=;;th:8",
            "ot=th:8,ot=th:4",
            "a=th:8",
            "ot=th:8:9",
            ",,,",
            "\u00a0ot=th:8",
        ]
    ),
    st.text(alphabet="ot=th:;,0123abcdef \t", max_size=40),
)

events = st.one_of(
    st.builds(
        Span.Event,
        name=st.sampled_from(["exception", "exception", "exceptioN", "exceptions", "cache.miss", ""]),
        time_unix_nano=_times,
        attributes=st.lists(st.one_of(_exception_pairs, pairs), max_size=4),
    )
)
links = st.builds(
    Span.Link,
    trace_id=_ids_16,
    span_id=_ids_8,
    attributes=st.lists(pairs, max_size=1),
)
spans = st.builds(
    Span,
    trace_id=_ids_16,
    span_id=_ids_8,
    parent_span_id=_ids_8,
    trace_state=_trace_states,
    flags=st.sampled_from([0, 1, 0x100, 0x200, 0x300, 0x301, 2**32 - 1]),
    name=_texts,
    kind=_enums,
    start_time_unix_nano=_times,
    end_time_unix_nano=_times,
    attributes=st.lists(pairs, max_size=6),
    dropped_attributes_count=_small_counts,
    events=st.lists(events, max_size=3),
    dropped_events_count=_small_counts,
    links=st.lists(links, max_size=2),
    dropped_links_count=_small_counts,
    status=st.one_of(st.none(), st.builds(Status, code=_enums, message=_messages)),
)
_service_pairs = st.builds(
    lambda value: KeyValue(key="service.name", value=value),
    st.one_of(values, st.builds(lambda v: AnyValue(string_value=v), _texts)),
)
resources = st.one_of(
    st.none(),
    st.builds(Resource, attributes=st.lists(st.one_of(_service_pairs, pairs), max_size=4)),
)
scopes = st.one_of(
    st.none(),
    st.builds(
        InstrumentationScope,
        name=st.sampled_from(["", "firstfault", "firstfaulT", "firstfault.x", "io.opentelemetry"]),
        version=st.sampled_from(["", "1.0"]),
        attributes=st.lists(pairs, max_size=1),
    ),
)
trace_requests = st.builds(
    lambda groups: ExportTraceServiceRequest(resource_spans=groups),
    st.lists(
        st.builds(
            ResourceSpans,
            resource=resources,
            schema_url=st.sampled_from(["", "https://opentelemetry.io/schemas/1.40.0"]),
            scope_spans=st.lists(
                st.builds(ScopeSpans, scope=scopes, spans=st.lists(spans, max_size=4)),
                max_size=2,
            ),
        ),
        max_size=3,
    ),
)
logs = st.builds(
    LogRecord,
    time_unix_nano=_times,
    observed_time_unix_nano=_times,
    severity_number=_enums,
    severity_text=_texts,
    body=st.one_of(st.none(), values, st.builds(lambda v: AnyValue(string_value=v), _messages)),
    attributes=st.lists(st.one_of(_exception_pairs, pairs), max_size=4),
    flags=st.sampled_from([0, 1, 256]),
    trace_id=_ids_16,
    span_id=_ids_8,
    event_name=_texts,
)
log_requests = st.builds(
    lambda groups: ExportLogsServiceRequest(resource_logs=groups),
    st.lists(
        st.builds(
            ResourceLogs,
            resource=resources,
            scope_logs=st.lists(
                st.builds(ScopeLogs, scope=scopes, log_records=st.lists(logs, max_size=4)),
                max_size=2,
            ),
        ),
        max_size=3,
    ),
)


def written_oddly(message: Message, rng: random.Random) -> bytes:
    """The same message as nobody writes it, and everybody may.

    Fields in any order, tags and lengths longer than needed, fields nobody knows in between, a value
    given twice (the last one counts), a sub-message in two parts (they are merged).
    """
    pieces: list[list[bytes]] = []
    for field, value in message.ListFields():
        items = list(value) if field.is_repeated else [value]
        written = [_field(field, item, rng) for item in items]
        if not field.is_repeated and rng.random() < 0.3:
            written = _twice(field, value, rng)
        pieces.append(written)
    if rng.random() < 0.4:
        pieces.append([_unknown(rng)])
    return b"".join(_shuffled(pieces, rng))


def _shuffled(pieces: Sequence[list[bytes]], rng: random.Random) -> list[bytes]:
    """Mix the fields, keeping the order inside each."""
    order = [i for i, piece in enumerate(pieces) for _ in piece]
    rng.shuffle(order)
    places = [iter(piece) for piece in pieces]
    return [next(places[i]) for i in order]


def _field(field: FieldDescriptor, value: object, rng: random.Random) -> bytes:
    if field.message_type is not None:
        assert isinstance(value, Message)
        return _tag(field.number, 2, rng) + _block(written_oddly(value, rng), rng)
    if field.type in (FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BYTES):
        raw = value.encode() if isinstance(value, str) else value
        assert isinstance(raw, bytes)
        return _tag(field.number, 2, rng) + _block(raw, rng)
    # Numbers: let protobuf write them, then write the tag our way.
    alone = field.containing_type._concrete_class()
    setattr(alone, field.name, value)
    raw = alone.SerializeToString()
    tag = raw[0] if raw[0] < 128 else raw[0] & 127 | raw[1] << 7
    return _tag(field.number, tag & 7, rng) + raw[1 if raw[0] < 128 else 2 :]


def _twice(field: FieldDescriptor, value: object, rng: random.Random) -> list[bytes]:
    if field.message_type is not None and field.containing_oneof is None:
        assert isinstance(value, Message)
        first, second = type(value)(), type(value)()
        second.CopyFrom(value)
        for part, given in value.ListFields():
            if part.is_repeated and len(given) > 1:
                second.ClearField(part.name)
                getattr(first, part.name).extend(given[:1])
                getattr(second, part.name).extend(given[1:])
            elif part.message_type is None and rng.random() < 0.5:
                second.ClearField(part.name)
                setattr(first, part.name, given)
        return [_field(field, first, rng), _field(field, second, rng)]
    if field.type == FieldDescriptor.TYPE_STRING:
        return [_field(field, "not this one", rng), _field(field, value, rng)]
    if field.type == FieldDescriptor.TYPE_BYTES:
        return [_field(field, b"\7" * rng.choice((0, 3, 8, 16)), rng), _field(field, value, rng)]
    return [_field(field, value, rng)]


def _unknown(rng: random.Random) -> bytes:
    number = rng.choice((21, 30, 100, 5000, 2**29 - 1))
    return rng.choice(
        (
            _tag(number, 0, rng) + _varint(rng.getrandbits(64), 0),
            _tag(number, 1, rng) + rng.randbytes(8),
            _tag(number, 2, rng) + _block(rng.randbytes(rng.randint(0, 150)), rng),
            _tag(number, 5, rng) + rng.randbytes(4),
        )
    )


def _tag(number: int, wire_type: int, rng: random.Random) -> bytes:
    return _varint(number << 3 | wire_type, rng.choice((0, 0, 0, 1, 3)), 5)


def _block(raw: bytes, rng: random.Random) -> bytes:
    return _varint(len(raw), rng.choice((0, 0, 0, 1, 3)), 5) + raw


def _varint(value: int, extra: int, length_max: int = 10) -> bytes:
    """A varint, `extra` bytes longer than needed."""
    groups = []
    while True:
        groups.append(value & 127)
        value >>= 7
        if not value:
            break
    groups += [0] * min(extra, length_max - len(groups))
    return bytes([group | 128 for group in groups[:-1]] + [groups[-1]])


def mutated(raw: bytes, rng: random.Random) -> bytes:
    """A request with a few bytes turned, lost, doubled or put in."""
    work = bytearray(raw)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        if not work:
            break
        place = rng.randrange(len(work))
        kind = rng.randrange(7)
        if kind == 0:
            work[place] ^= 1 << rng.randrange(8)
        elif kind == 1:
            work[place] = rng.choice((0, 1, 2, 3, 0x0A, 0x12, 0x4A, 0x7F, 0x80, 0xFF, rng.randrange(256)))
        elif kind == 2:
            del work[place:]
        elif kind == 3:
            del work[place : place + rng.randint(1, 9)]
        elif kind == 4:
            work[place:place] = rng.randbytes(rng.randint(1, 9))
        elif kind == 5:
            other = rng.randrange(len(work))
            work[place:place] = work[other : other + rng.randint(1, 40)]
        else:
            work[place : place + 1] = bytes([work[place] | 128]) + bytes([0x80] * rng.randint(0, 9)) + b"\0"
    return bytes(work)
