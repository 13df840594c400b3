"""The plain twin of the wire decoder: protobuf parses, Python fills the rows.

Truth for `collector.wire.decode`: every column of every row must be equal, string ids up to
the order in which strings were first met. Not here, because protobuf refuses such bytes as a whole:
text that is not UTF-8 (`SpanFlag.BAD_TEXT`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from analyzer import error_classes, spans
from analyzer.spans import SPAN_DTYPE, PeerKind, SpanBatch, SpanFlag, Vocabulary

TEXT_MAX = 1024  # bytes of an interned text; more is cut between code points

_SLOTS = {
    key
    for keys in (
        spans.ERROR_TYPE_KEYS,
        spans.EXCEPTION_TYPE_KEYS,
        spans.EXCEPTION_MESSAGE_KEYS,
        spans.HTTP_STATUS_KEYS,
        spans.RPC_STATUS_KEYS,
        spans.RESEND_KEYS,
        spans.DATABASE_SYSTEM_KEYS,
        spans.MESSAGING_SYSTEM_KEYS,
        spans.RPC_SYSTEM_KEYS,
        spans.PEER_PRECEDENCE,
    )
    for key in keys
}


def decode_traces(payload: bytes, vocabulary: Vocabulary) -> SpanBatch:
    """Rows of the spans with usable ids; `raw` holds the Span messages one after another."""
    request = ExportTraceServiceRequest.FromString(payload)
    records: list[dict[str, Any]] = []
    raw = bytearray()
    for resource_spans in request.resource_spans:
        resource, service, service_flags = _resource(resource_spans.resource, vocabulary)
        for scope_spans in resource_spans.scope_spans:
            scope = vocabulary.scopes.intern(scope_spans.scope.SerializeToString())  # type: ignore[attr-defined]
            own = SpanFlag.OWN_SCOPE if scope_spans.scope.name == spans.OWN_SCOPE_NAME else SpanFlag(0)
            for span in scope_spans.spans:
                if len(span.trace_id) != 16 or not any(span.trace_id):
                    continue
                if len(span.span_id) != 8 or not any(span.span_id):
                    continue
                record = _span(span, service, vocabulary)
                record["flags"] |= int(service_flags | own)
                _place(record, span.SerializeToString(), raw, resource, scope, service)
                records.append(record)
    return SpanBatch(_rows(records), np.frombuffer(bytes(raw), np.uint8), vocabulary)


def decode_logs(payload: bytes, vocabulary: Vocabulary) -> SpanBatch:
    """Rows of the log records that carry a trace id."""
    request = ExportLogsServiceRequest.FromString(payload)
    records: list[dict[str, Any]] = []
    raw = bytearray()
    for resource_logs in request.resource_logs:
        resource, service, service_flags = _resource(resource_logs.resource, vocabulary)
        for scope_logs in resource_logs.scope_logs:
            scope = vocabulary.scopes.intern(scope_logs.scope.SerializeToString())  # type: ignore[attr-defined]
            own = SpanFlag.OWN_SCOPE if scope_logs.scope.name == spans.OWN_SCOPE_NAME else SpanFlag(0)
            for log in scope_logs.log_records:
                if len(log.trace_id) != 16 or not any(log.trace_id):
                    continue
                record = _log(log, vocabulary)
                record["flags"] |= int(service_flags | own)
                _place(record, log.SerializeToString(), raw, resource, scope, service)
                records.append(record)
    return SpanBatch(_rows(records), np.frombuffer(bytes(raw), np.uint8), vocabulary)


def _place(record: dict[str, Any], message: bytes, raw: bytearray, resource: int, scope: int, service: int) -> None:
    record.update(raw_offset=len(raw), raw_length=len(message), resource=resource, scope=scope, service=service)
    raw += message


def _rows(records: list[dict[str, Any]]) -> np.ndarray[Any, Any]:
    rows = np.zeros(len(records), SPAN_DTYPE)
    rows["rpc_status"] = spans.NO_RPC_STATUS
    rows["next"] = -1
    rows["weight"] = 1.0
    for i, record in enumerate(records):
        for column, value in record.items():
            rows[column][i] = value
    return rows


def _resource(message: Any, vocabulary: Vocabulary) -> tuple[int, int, SpanFlag]:
    resource = vocabulary.resources.intern(message.SerializeToString())  # type: ignore[attr-defined]
    named = [pair.value for pair in message.attributes if pair.key == "service.name"]
    if not named:
        return resource, 0, SpanFlag.NO_SERVICE
    value = named[-1]
    if value.WhichOneof("value") != "string_value":
        return resource, 0, SpanFlag.SERVICE_NOT_TEXT
    if not value.string_value:
        return resource, 0, SpanFlag.EMPTY_SERVICE
    return resource, _intern(vocabulary, value.string_value.encode()), SpanFlag(0)


def _intern(vocabulary: Vocabulary, text: bytes) -> int:
    """Intern the first `TEXT_MAX` bytes of a text, without the half of a code point at the cut."""
    return vocabulary.strings.intern(text[:TEXT_MAX].decode("utf-8", "ignore").encode())


def _slots(attributes: Any) -> tuple[dict[str, Any], bool]:
    """Values of the slot keys, the last of equal keys; and whether a slot key stood twice."""
    found: dict[str, Any] = {}
    twice = False
    for pair in attributes:
        if pair.key in _SLOTS:
            twice |= pair.key in found
            kind = pair.value.WhichOneof("value")
            found[pair.key] = getattr(pair.value, kind) if kind in ("string_value", "int_value") else None
    return found, twice


def _text(found: dict[str, Any], keys: tuple[str, ...]) -> bytes:
    """The first key whose value is a non-empty string."""
    for key in keys:
        value = found.get(key)
        if isinstance(value, str) and value:
            return value.encode()
    return b""


def _number(found: dict[str, Any], keys: tuple[str, ...]) -> int | None:
    """The first key whose value is an integer, or a string of 1 to 9 digits."""
    for key in keys:
        value = found.get(key)
        if isinstance(value, int):
            return value
        if isinstance(value, str) and 0 < len(value) <= 9 and value.isascii() and value.isdigit():
            return int(value)
    return None


def _rpc_status(found: dict[str, Any]) -> int:
    """The first key that holds a code: a number 0..16, or its name in any case."""
    for key in spans.RPC_STATUS_KEYS:
        number = _number(found, (key,))
        if number is not None and 0 <= number <= 16:
            return number
        value = found.get(key)
        if isinstance(value, str) and value.isascii() and value.upper() in error_classes.RPC_NAMES:
            return error_classes.RPC_NAMES.index(value.upper())
    return spans.NO_RPC_STATUS


def _word(raw: bytes) -> int:
    return int.from_bytes(raw, "little")


def _signed(value: int) -> int:
    return value - (1 << 64) if value >= 1 << 63 else value


def _exception(found: dict[str, Any]) -> tuple[bytes, bytes]:
    return _text(found, spans.EXCEPTION_TYPE_KEYS), _text(found, spans.EXCEPTION_MESSAGE_KEYS)


def _common(found: dict[str, Any], vocabulary: Vocabulary) -> dict[str, Any]:
    database = _text(found, spans.DATABASE_SYSTEM_KEYS)
    messaging = _text(found, spans.MESSAGING_SYSTEM_KEYS)
    rpc = _text(found, spans.RPC_SYSTEM_KEYS)
    peer = _text(found, spans.PEER_PRECEDENCE)
    if database:
        peer_kind = PeerKind.DATABASE
    elif messaging:
        peer_kind = PeerKind.QUEUE
    elif peer or rpc:
        peer_kind = PeerKind.SERVICE
    else:
        peer_kind = PeerKind.NONE
    http = _number(found, spans.HTTP_STATUS_KEYS)
    resend = _number(found, spans.RESEND_KEYS)
    return {
        "error_type": _intern(vocabulary, _text(found, spans.ERROR_TYPE_KEYS)),
        "peer": _intern(vocabulary, peer),
        "system": _intern(vocabulary, database or messaging or rpc),
        "peer_kind": peer_kind,
        "http_status": http if http is not None and 0 < http < 600 else 0,
        "rpc_status": _rpc_status(found),
        "resend_count": min(max(resend or 0, 0), 255),
    }


def _span(span: Any, service: int, vocabulary: Vocabulary) -> dict[str, Any]:
    flags = SpanFlag(0)
    found, twice = _slots(span.attributes)
    exception_type, exception_message = _exception(found)
    if exception_type or exception_message:
        flags |= SpanFlag.EXCEPTION
    else:
        for event in span.events:
            if event.name == "exception":
                flags |= SpanFlag.EXCEPTION
                values, _ = _slots(event.attributes)
                exception_type, exception_message = _exception(values)
                for pair in event.attributes:
                    if pair.key == "exception.escaped" and (pair.value.bool_value or pair.value.string_value == "true"):
                        flags |= SpanFlag.ESCAPED
    if twice:
        flags |= SpanFlag.DUPLICATE_KEY
    if len(span.parent_span_id) not in (0, 8):
        flags |= SpanFlag.BAD_PARENT_ID
    parent = _word(span.parent_span_id) if len(span.parent_span_id) == 8 else 0
    if parent == 0 and not flags & SpanFlag.BAD_PARENT_ID:
        flags |= SpanFlag.ROOT
    if span.flags & 0x300 == 0x300:
        flags |= SpanFlag.REMOTE_PARENT
    if span.flags & 1:
        flags |= SpanFlag.SAMPLED
    if span.dropped_attributes_count or span.dropped_events_count or span.dropped_links_count:
        flags |= SpanFlag.TRUNCATED
    if not span.name:
        flags |= SpanFlag.NO_NAME
    threshold = sampling_threshold(span.trace_state)
    if threshold is not None:
        flags |= SpanFlag.THRESHOLD
    kind = span.kind if 0 <= span.kind <= 5 else 0
    name = _intern(vocabulary, span.name.encode())
    message = (span.status.message or "").encode() or exception_message
    return {
        "trace_id_0": _word(span.trace_id[:8]),
        "trace_id_1": _word(span.trace_id[8:]),
        "span_id": _word(span.span_id),
        "parent_id": parent,
        "start_ns": _signed(span.start_time_unix_nano),
        "end_ns": _signed(span.end_time_unix_nano),
        "name": name,
        "operation": vocabulary.operations.intern(service, name, kind),  # type: ignore[attr-defined]
        "exception_type": _intern(vocabulary, exception_type),
        "kind": kind,
        "status": span.status.code if 0 <= span.status.code <= 2 else 0,
        "message_class": error_classes.message_class(message),
        "event_count": min(len(span.events), 255),
        "link_count": min(len(span.links), 65535),
        "attribute_count": min(len(span.attributes), 65535),
        "weight": 1.0 if threshold is None else threshold,
        "flags": int(flags),
        **_common(found, vocabulary),
    }


def sampling_threshold(trace_state: str) -> float | None:
    """Weight 1 / probability from `ot=th:<1..14 hex digits>`; None when it is not there.

    The rejection threshold T is the digits padded with zeros to 56 bits; probability = 1 - T / 2**56
    (OpenTelemetry: tracestate probability sampling).
    """
    for member in trace_state.split(","):
        key, _, value = member.strip(" \t").partition("=")
        if key == "ot":
            for pair in value.split(";"):
                name, _, digits = pair.partition(":")
                if name == "th" and 0 < len(digits) <= 14 and all(c in "0123456789abcdef" for c in digits):
                    threshold = int(digits.ljust(14, "0"), 16)
                    return float(2**56) / float(2**56 - threshold)  # never 0 below, unlike 1 - threshold / 2**56
    return None


def _log(log: Any, vocabulary: Vocabulary) -> dict[str, Any]:
    flags = SpanFlag.LOG
    found, twice = _slots(log.attributes)
    exception_type, exception_message = _exception(found)
    if exception_type or exception_message:
        flags |= SpanFlag.EXCEPTION
    if twice:
        flags |= SpanFlag.DUPLICATE_KEY
    if log.flags & 1:
        flags |= SpanFlag.SAMPLED
    body = log.body.string_value.encode() if log.body.WhichOneof("value") == "string_value" else b""
    time = _signed(log.time_unix_nano or log.observed_time_unix_nano)
    return {
        "trace_id_0": _word(log.trace_id[:8]),
        "trace_id_1": _word(log.trace_id[8:]),
        "span_id": 0,  # a content hash in the real decoder; not compared
        "parent_id": _word(log.span_id) if len(log.span_id) == 8 else 0,
        "start_ns": time,
        "end_ns": time,
        "name": _intern(vocabulary, log.event_name.encode()),
        "operation": 0,
        "exception_type": _intern(vocabulary, exception_type),
        "status": 2 if log.severity_number >= 17 else 0,
        "severity": min(max(log.severity_number, 0), 24),
        "message_class": error_classes.message_class(exception_message or body),
        "attribute_count": min(len(log.attributes), 65535),
        "flags": int(flags),
        **_common(found, vocabulary),
    }
