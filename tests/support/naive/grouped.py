"""A trace's spans or log records as a request, written part by part: the twin of `collector.wire.grouped`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

import numpy as np

from analyzer.spans import FLAG_LOG, Rows, TraceBatch

# Field heads (number << 3 | 2). Trace and log requests number these alike (opentelemetry-proto 1.x):
# request.resource_* = 1; resource_*.resource = 1, .scope_* = 2; scope_*.scope = 1, .spans / .log_records = 2.
_RESOURCE_GROUP = b"\x0a"
_RESOURCE = b"\x0a"
_SCOPE_GROUP = b"\x12"
_SCOPE = b"\x0a"
_ITEM = b"\x12"

_Parts: TypeAlias = list[bytes | memoryview]


def grouped(traces: TraceBatch, index: int, *, logs: bool) -> bytes:
    """Write the spans (or log records) of trace `index` as a request; empty when it has none."""
    rows = traces.rows[int(traces.trace_ptr[index]) : int(traces.trace_ptr[index + 1])]
    rows = rows[((rows["flags"] & FLAG_LOG) != 0) == logs]
    rows = rows[np.lexsort((rows["scope"], rows["resource"]))]
    raw = traces.raw.data
    request: _Parts = []
    for resource, of_resource in _runs(rows, "resource"):
        inner: _Parts = []
        for scope, of_scope in _runs(of_resource, "scope"):
            parts = _field(_SCOPE, traces.vocabulary.scopes.raw(scope))
            starts = of_scope["raw_offset"].tolist()
            lengths = of_scope["raw_length"].tolist()
            for start, length in zip(starts, lengths, strict=True):
                parts += (_ITEM, _varint(length), raw[start : start + length])
            inner += _message(_SCOPE_GROUP, parts)
        request += _message(_RESOURCE_GROUP, _field(_RESOURCE, traces.vocabulary.resources.raw(resource)) + inner)
    return b"".join(request)


def _runs(rows: Rows, column: str) -> Iterable[tuple[int, Rows]]:
    """Split sorted rows into runs of one value of `column`."""
    if len(rows) == 0:
        return
    cuts = np.flatnonzero(np.diff(rows[column])) + 1
    for start, stop in zip([0, *cuts], [*cuts, len(rows)], strict=True):
        yield int(rows[column][start]), rows[start:stop]


def _field(head: bytes, message: bytes) -> _Parts:
    """A length-delimited field, left out when the message was never sent."""
    return [head, _varint(len(message)), message] if message else []


def _message(head: bytes, parts: _Parts) -> _Parts:
    body = b"".join(parts)
    return [head, _varint(len(body)), body]


def _varint(value: int) -> bytes:
    written = bytearray()
    while value >= 0x80:
        written.append(value & 0x7F | 0x80)
        value >>= 7
    written.append(value)
    return bytes(written)
