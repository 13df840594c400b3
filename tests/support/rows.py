"""Rows without a wire: spans given as keywords, ids and times as small numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from analyzer.spans import NO_RPC_STATUS, SPAN_DTYPE, Rows, SpanDetail, TraceBatch, Vocabulary
from tests.support.naive.vocabulary import vocabulary


def no_detail(raw: memoryview, *, log: bool) -> SpanDetail:
    return SpanDetail()


def few_words() -> Vocabulary:
    """String and resource ids 2 and 3 name two services; all other ids but 0 and 1 name nothing."""
    words = vocabulary()
    for name in ("nobody", "front", "back"):
        resource = Resource()
        pair = resource.attributes.add()
        pair.key, pair.value.string_value = "service.name", name
        words.resources.intern(resource.SerializeToString())  # type: ignore[attr-defined]
        if name != "nobody":
            words.strings.intern(name.encode())
    return words


def empty_rows(count: int) -> Rows:
    """Rows as a decoder leaves them before it fills them."""
    rows = np.zeros(count, SPAN_DTYPE)
    rows["rpc_status"], rows["next"], rows["weight"] = NO_RPC_STATUS, -1, 1.0
    rows["service"] = rows["resource"] = 2
    return rows


def span_rows(spans: Sequence[Mapping[str, Any]]) -> Rows:
    """One row per mapping; `id`, `parent`, `start`, `end` are short for the columns."""
    names = {"id": "span_id", "parent": "parent_id", "start": "start_ns", "end": "end_ns"}
    rows = empty_rows(len(spans))
    for row, span in zip(rows, spans, strict=True):
        for key, value in span.items():
            row[names.get(key, key)] = value
    return rows


def trace_batch(parts: Iterable[Rows], words: Vocabulary | None = None) -> TraceBatch:
    """Traces of rows; every trace gets an id of its own."""
    traces = list(parts)
    counts = [len(part) for part in traces]
    rows = np.concatenate([*traces, empty_rows(0)])
    rows["trace_id_0"] = np.repeat(np.arange(1, len(counts) + 1, dtype=np.uint64), counts)
    return TraceBatch(
        rows=rows,
        trace_ptr=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        reasons=np.zeros(len(counts), np.uint8),
        revisions=np.ones(len(counts), np.int32),
        dropped=np.zeros(len(counts), np.int32),
        raw=np.zeros(0, np.uint8),
        vocabulary=words or few_words(),
        details=no_detail,
    )


def tree_rows(parents: npt.ArrayLike, start: npt.ArrayLike, end: npt.ArrayLike, **columns: npt.ArrayLike) -> Rows:
    """One trace from arrays: parents as positions (-1: root), ids by position."""
    above = np.asarray(parents, np.int64)
    rows = empty_rows(len(above))
    # Odd multiples spread over the whole word, as the ids of real SDKs do.
    ids = np.arange(1, len(above) + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    rows["span_id"] = ids
    rows["parent_id"] = np.where(above < 0, np.uint64(0), ids[np.maximum(above, 0)])
    rows["start_ns"], rows["end_ns"] = start, end
    for name, values in columns.items():
        rows[name] = values
    return rows
