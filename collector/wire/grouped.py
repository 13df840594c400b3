"""Serialised spans or log records -> one OTLP request, under the resources and scopes they came with.

In: rows and the bytes they point to. Out: bytes. Kernels, and what they need of Python: the texts of the few
resources and scopes. A request is measured first and written once, into memory of just its size.
"""

from __future__ import annotations

import numpy as np
from numba import from_dtype, njit, types

from analyzer.spans import FLAG_LOG, SPAN_DTYPE, Bytes, TraceBatch

# Trace and log requests number these alike (opentelemetry-proto 1.x), number << 3 | 2:
# request.resource_* = 1; resource_*.resource = 1, .scope_* = 2; scope_*.scope = 1, .spans / .log_records = 2.
_FIRST, _SECOND = np.uint8(0x0A), np.uint8(0x12)
_FLAG_LOG = np.uint32(FLAG_LOG)

_ROWS = types.Array(from_dtype(SPAN_DTYPE), 1, "C", readonly=True)
_BYTES = types.Array(types.uint8, 1, "C", readonly=True)
_WORDS = types.Array(types.int64, 1, "C")


@njit(types.UniTuple(_WORDS, 2)(_ROWS, types.boolean), cache=True, nogil=True)
def _runs(rows, logs):
    """Rows of one signal by resource and scope, and where runs of one pair start; the last "start" is the end."""
    count = 0
    chosen = np.empty(rows.size, np.int64)
    for i in range(rows.size):
        if ((rows[i]["flags"] & _FLAG_LOG) != 0) == logs:
            chosen[count] = i
            count += 1
    keys = np.empty(count, np.int64)
    for i in range(count):
        row = rows[chosen[i]]
        keys[i] = np.int64(row["resource"]) << 32 | np.int64(row["scope"])
    by_key = np.argsort(keys, kind="mergesort")  # stable
    order, starts = np.empty(count, np.int64), np.empty(count + 1, np.int64)
    runs = 0
    for i in range(count):
        order[i] = chosen[by_key[i]]
        if i == 0 or keys[by_key[i]] != keys[by_key[i - 1]]:
            starts[runs] = i
            runs += 1
    starts[runs] = count
    return order, starts[: runs + 1]


@njit(types.int64(types.int64), cache=True, nogil=True)
def _varint_length(value):
    length = 1
    while value >= 0x80:
        value >>= 7
        length += 1
    return length


@njit(cache=True, nogil=True, inline="always")
def _put_head(out, at, head, length):
    """A field's head and the length of what follows; where that goes."""
    out[at] = head
    at += 1
    while length >= 0x80:
        out[at] = np.uint8(length & 0x7F | 0x80)
        length >>= 7
        at += 1
    out[at] = np.uint8(length)
    return at + 1


@njit(cache=True, nogil=True, inline="always")
def _put(out, at, data, start, length):
    out[at : at + length] = data[start : start + length]
    return at + length


@njit(types.int64(_WORDS, types.int64), cache=True, nogil=True)
def _field_length(ends, i):
    """What the text `i` takes as a field; nothing when it is empty: it was never sent."""
    length = ends[i + 1] - ends[i]
    return length + 1 + _varint_length(length) if length else 0


@njit(cache=True, nogil=True, inline="always")
def _put_text(out, at, texts, ends, i):
    length = ends[i + 1] - ends[i]
    return _put(out, _put_head(out, at, _FIRST, length), texts, ends[i], length) if length else at


@njit(types.uint8[::1](_ROWS, _BYTES, _WORDS, _WORDS, _BYTES, _WORDS), cache=True, nogil=True)
def _written(rows, raw, order, starts, texts, ends):
    """The request. The resource of run r is text 2 r, its scope text 2 r + 1; `ends` starts with 0."""
    runs = starts.size - 1
    scope_length = np.zeros(runs, np.int64)  # of the message, without its head
    group_length = np.zeros(runs, np.int64)  # of the message, at the first run of a resource
    total = head = 0
    for r in range(runs):
        length = _field_length(ends, 2 * r + 1)
        for i in range(starts[r], starts[r + 1]):
            item = np.int64(rows[order[i]]["raw_length"])
            length += 1 + _varint_length(item) + item
        scope_length[r] = length
        if r == 0 or rows[order[starts[r]]]["resource"] != rows[order[starts[head]]]["resource"]:
            head = r
            group_length[r] = _field_length(ends, 2 * r)
        group_length[head] += 1 + _varint_length(length) + length
    for r in range(runs):
        if group_length[r]:
            total += 1 + _varint_length(group_length[r]) + group_length[r]

    out = np.empty(total, np.uint8)
    at = 0
    for r in range(runs):
        if group_length[r]:  # never 0 where a group begins: it has a scope's group in it
            at = _put_head(out, at, _FIRST, group_length[r])
            at = _put_text(out, at, texts, ends, 2 * r)
        at = _put_head(out, at, _SECOND, scope_length[r])
        at = _put_text(out, at, texts, ends, 2 * r + 1)
        for i in range(starts[r], starts[r + 1]):
            row = rows[order[i]]
            length = np.int64(row["raw_length"])
            at = _put_head(out, at, _SECOND, length)
            at = _put(out, at, raw, np.int64(row["raw_offset"]), length)
    return out


def grouped(traces: TraceBatch, index: int, *, logs: bool) -> bytes:
    """Write the spans (or log records) of trace `index` as a request; empty when it has none."""
    rows = traces.rows[int(traces.trace_ptr[index]) : int(traces.trace_ptr[index + 1])]
    order, starts = _runs(rows, logs)
    if not order.size:
        return b""
    first = rows[order[starts[:-1]]]
    resources, scopes = traces.vocabulary.resources, traces.vocabulary.scopes
    resource_ids, scope_ids = first["resource"].tolist(), first["scope"].tolist()
    scope_texts = {scope: scopes.raw(scope) for scope in set(scope_ids)}  # all services share a few libraries
    texts: list[bytes] = []
    for resource, scope in zip(resource_ids, scope_ids, strict=True):
        texts += (resources.raw(resource), scope_texts[scope])
    ends = np.cumsum([0, *map(len, texts)])
    written: Bytes = _written(rows, traces.raw, order, starts, np.frombuffer(b"".join(texts), np.uint8), ends)
    return written.tobytes()
