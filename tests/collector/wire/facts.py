"""Two decoders of the same bytes, made comparable: ids become words."""

from __future__ import annotations

from typing import Any

from google.protobuf.message import DecodeError
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from analyzer.spans import FLAG_LOG, SPAN_DTYPE, SpanBatch, Vocabulary
from analyzer.strings import new_vocabulary
from collector.contracts import Signal
from collector.errors import BadRequestError
from collector.wire.decode import Decoder
from collector.wire.limits import prescan
from collector.wire.request_limits import RequestLimits
from tests.support.naive.decode import decode_logs, decode_traces
from tests.support.naive.vocabulary import vocabulary as naive_vocabulary

_TEXTS = ("name", "service", "error_type", "exception_type", "peer", "system")
_WIDE = RequestLimits(spans_max=10_000_000, messages_max=10_000_000, resources_max=10_000_000)


def small_vocabulary() -> Vocabulary:
    """Tables that need little memory: tests make many."""
    return new_vocabulary(
        strings_max=4096,
        string_bytes_max=1 << 18,
        operations_max=4096,
        resources_max=1024,
        resource_bytes_max=1 << 18,
        scopes_max=1024,
        scope_bytes_max=1 << 18,
        seed=1,
    )


def facts(batch: SpanBatch, *, raw: bool = True) -> list[dict[str, Any]]:
    """Every column of every row in words; with `raw`, the bytes the row points at."""
    words = batch.vocabulary
    found = []
    for row in batch.rows:
        record: dict[str, Any] = {}
        for column in SPAN_DTYPE.names or ():
            value = row[column].item()
            if column in _TEXTS:
                value = words.strings.text(value)
            elif column == "operation":
                service, name, kind = words.operations.key(value)
                value = (words.strings.text(service), words.strings.text(name), kind)
            elif column == "resource":
                value = words.resources.raw(value)
            elif column == "scope":
                value = words.scopes.raw(value)
            record[column] = value
        offset, length = record.pop("raw_offset"), record["raw_length"]
        if raw:
            record["raw"] = batch.raw[offset : offset + length].tobytes()
        if record["flags"] & FLAG_LOG:
            del record["span_id"]  # a content hash, which the twin does not make
        found.append(record)
    return found


def decoded(payload: bytes, signal: Signal = Signal.TRACES) -> list[dict[str, Any]]:
    """What the scanner makes of a request."""
    return facts(Decoder(small_vocabulary()).decode(payload, signal, _WIDE))


def expected(payload: bytes, signal: Signal = Signal.TRACES) -> list[dict[str, Any]]:
    """What the plain twin makes of it."""
    decode = decode_logs if signal == Signal.LOGS else decode_traces
    return facts(decode(payload, naive_vocabulary()))


def without_bytes(facts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Drop what depends on how a message was written, not on what it says."""
    found = []
    for record in facts:
        record = {key: value for key, value in record.items() if key not in ("raw", "raw_length", "scope")}
        record["resource"] = Resource.FromString(record["resource"]).SerializeToString(deterministic=True)
        found.append(record)
    return found


def check_broken(payload: bytes, signal: Signal) -> bool:
    """Whatever the guard lets through is decoded, and as protobuf reads it when protobuf reads it."""
    try:
        counted = prescan(payload, signal, RequestLimits())
    except BadRequestError:
        return False
    found = decoded(payload, signal)
    if signal != Signal.METRICS:
        assert counted.count - counted.rejected - counted.untraced == len(found)
    try:
        want = expected(payload, signal)
    except DecodeError:  # text that is not UTF-8: we live with it, protobuf does not
        return True
    assert without_bytes(want) == without_bytes(found)
    return True
