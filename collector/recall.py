"""What was stored of a trace and what came since, as one trace.

In: what the store found, the rows of a release. Out: both joined, nothing twice; and whether the release had
anything that was not stored. Spans come again after a crash (the journal is read back) and from clients whose
acknowledgement was lost.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from analyzer.spans import DetailReader, SpanFlag, TraceBatch, Vocabulary
from collector.contracts import Found, Signal
from collector.offline import TraceReader
from collector.wire.encode import encode_logs, encode_traces


@dataclass(frozen=True, slots=True)
class Recalled:
    """One trace (`traces` holds no other), at the revision after the stored one.

    is_news : it has rows that were not stored
    """

    traces: TraceBatch
    is_news: bool


def join(found: Found, traces: TraceBatch, index: int) -> Recalled | None:
    """Join the stored bytes of a trace with its rows in a release; None when its spans were not kept."""
    if found.trace_otlp is None or found.answer is None:
        return None
    reader = TraceReader(traces.vocabulary, details=traces.details)
    known = reader.add(found.trace_otlp, Signal.TRACES)
    if found.logs_otlp:
        known += reader.add(found.logs_otlp, Signal.LOGS)
    for payload, signal in ((encode_traces(traces, index), Signal.TRACES), (encode_logs(traces, index), Signal.LOGS)):
        if payload:
            reader.add(payload, signal)
    whole = reader.batch()
    kept = _first_of_each(whole)
    revision = max(int(traces.revisions[index]), found.answer.revision + 1)
    return Recalled(
        replace(
            whole,
            rows=whole.rows[kept],
            trace_ptr=np.array([0, len(kept)], np.int64),
            revisions=np.array([revision], np.int32),
            reasons=traces.reasons[index : index + 1],
        ),
        is_news=len(kept) > known,
    )


def reread(found: Found, vocabulary: Vocabulary, details: DetailReader) -> TraceBatch | None:
    """Read a stored trace again, at the revision after the stored one; None when its spans were not kept."""
    if found.trace_otlp is None or found.answer is None:
        return None
    reader = TraceReader(vocabulary, details=details)
    reader.add(found.trace_otlp, Signal.TRACES)
    if found.logs_otlp:
        reader.add(found.logs_otlp, Signal.LOGS)
    return replace(reader.batch(), revisions=np.array([found.answer.revision + 1], np.int32))


def _first_of_each(whole: TraceBatch) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Positions of rows whose span (or log record) did not come before, in order."""
    rows = whole.rows
    columns = (rows["span_id"], rows["start_ns"], rows["kind"], rows["flags"] & int(SpanFlag.LOG))
    same = np.stack([column.astype(np.uint64) for column in columns], axis=1)
    _, first = np.unique(same, axis=0, return_index=True)
    return np.sort(first)
