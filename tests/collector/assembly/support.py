"""Two decoders for tests, and an assembler's release in words.

`WireFake` decodes OTLP with the naive twin. `RecordDecoder` reads fixed-size records, fast enough
for a million rows and for the interpreted mode.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from analyzer.spans import Bytes, ReleaseReason, Rows, SpanFlag, TraceBatch, Vocabulary
from collector.assembly import Assembler, AssemblyConfig
from collector.contracts import Released, Signal
from collector.wire.detail import read_detail
from tests.support.drawing import Drawing
from tests.support.naive.assembler import Left, Row
from tests.support.naive.decode import decode_logs, decode_traces
from tests.support.naive.vocabulary import vocabulary

KIB = 1 << 10
SMALL = AssemblyConfig(arena_bytes=64 * KIB, segment_bytes=4 * KIB, open_traces_max=10_000)


class WireFake:
    """Decodes OTLP; the span bytes stand in the arena where the request stood."""

    def __init__(self) -> None:
        self.vocabulary = vocabulary()

    def decode_into(self, signal: Signal, raw: Bytes, offset: int, length: int, rows: Rows, first_row: int) -> int:
        assert len(raw) >= offset + length + 16
        decode = decode_logs if signal == Signal.LOGS else decode_traces
        batch = decode(raw[offset : offset + length].tobytes(), self.vocabulary)
        if first_row + len(batch.rows) > len(rows):
            return -1
        raw[offset : offset + len(batch.raw)] = batch.raw
        made = batch.rows.copy()
        made["raw_offset"] += offset
        rows[first_row : first_row + len(made)] = made
        return len(made)


def record_dtype(size: int) -> np.dtype[np.void]:
    return np.dtype(
        {
            "names": ["trace_0", "trace_1", "span", "parent", "start", "end", "operation", "flags", "status", "kind"],
            "formats": ["<u8", "<u8", "<u8", "<u8", "<i8", "<i8", "<u4", "<u4", "u1", "u1"],
            "offsets": [0, 8, 16, 24, 32, 40, 48, 52, 56, 57],
            "itemsize": size,
        }
    )


class RecordDecoder:
    """Reads records of `size` bytes each."""

    def __init__(self, size: int = 64) -> None:
        self.size = size
        self._dtype = record_dtype(size)

    def decode_into(self, signal: Signal, raw: Bytes, offset: int, length: int, rows: Rows, first_row: int) -> int:
        records = np.frombuffer(raw, self._dtype, length // self.size, offset)
        count = len(records)
        if first_row + count > len(rows):
            return -1
        made = rows[first_row : first_row + count]
        made["trace_id_0"], made["trace_id_1"] = records["trace_0"], records["trace_1"]
        made["span_id"], made["parent_id"] = records["span"], records["parent"]
        made["start_ns"], made["end_ns"] = records["start"], records["end"]
        made["operation"], made["flags"] = records["operation"], records["flags"]
        made["status"], made["kind"] = records["status"], records["kind"]
        made["resource"] = 0
        made["raw_length"] = self.size
        made["raw_offset"] = offset + np.arange(count) * self.size
        made["next"] = -1
        return count


def records(
    traces: Iterable[int],
    spans: Iterable[int] | int = 1,
    *,
    root: Iterable[bool] | bool = False,
    status: Iterable[int] | int = 0,
    flags: Iterable[int] | int = 0,
    operation: int = 1,
    start: Iterable[int] | int = 0,
    size: int = 64,
) -> bytes:
    """A request: one record for each trace number."""
    numbers = np.asarray(list(traces), np.uint64)
    made = np.zeros(len(numbers), record_dtype(size))
    made["trace_0"], made["trace_1"] = numbers, numbers ^ np.uint64(0xABCDEF)
    made["span"] = spans
    made["operation"] = operation
    made["status"] = status
    made["start"] = start
    made["flags"] = np.asarray(flags, np.uint32) | np.asarray(root, np.uint32) * np.uint32(SpanFlag.ROOT)
    return made.tobytes()


def as_rows(payload: bytes, size: int = 64) -> list[Row]:
    """The records of a request as the twin takes them."""
    rows = []
    for i in range(0, len(payload), size):
        raw = payload[i : i + size]
        record = np.frombuffer(raw, record_dtype(size))[0]
        flags = int(record["flags"])
        rows.append(
            Row(
                trace_id=raw[:16],
                raw=raw,
                operation=int(record["operation"]),
                is_root=bool(flags & SpanFlag.ROOT) and not flags & SpanFlag.LOG,
                is_error=int(record["status"]) == 2 or bool(flags & SpanFlag.EXCEPTION),
                is_own=bool(flags & SpanFlag.OWN_SCOPE),
                identity=tuple(raw),
            )
        )
    return rows


def trace_id(number: int) -> bytes:
    return number.to_bytes(8, "little") + (number ^ 0xABCDEF).to_bytes(8, "little")


def new_assembler(config: AssemblyConfig = SMALL, size: int = 64, seed: int = 1) -> Assembler:
    return Assembler(config, RecordDecoder(size), vocabulary(), read_detail, seed)


def wire_assembler(config: AssemblyConfig = SMALL) -> tuple[Assembler, Vocabulary]:
    decoder = WireFake()
    return Assembler(config, decoder, decoder.vocabulary, read_detail, 1), decoder.vocabulary


def put(assembler: Assembler, drawing: Drawing, now_ms: int) -> None:
    """Send a whole drawing: its spans, then its logs."""
    traces, logs = drawing.requests()
    assembler.ingest(traces, Signal.TRACES, now_ms)
    assembler.ingest(logs, Signal.LOGS, now_ms)


def in_words(traces: TraceBatch, late_counts: Iterable[int] | None = None) -> list[Left]:
    """A batch as the twin tells it; reads every row's bytes."""
    late = list(late_counts) if late_counts is not None else [0] * traces.trace_count
    left = []
    for t in range(traces.trace_count):
        rows = traces.rows[traces.trace_ptr[t] : traces.trace_ptr[t + 1]]
        raws = tuple(
            traces.raw[row["raw_offset"] : row["raw_offset"] + np.int64(row["raw_length"])].tobytes() for row in rows
        )
        ids = {row["trace_id_0"].tobytes() + row["trace_id_1"].tobytes() for row in rows}
        assert len(ids) == 1, "a trace in a batch has rows of two traces, or none"
        left.append(
            Left(
                ids.pop(),
                ReleaseReason(int(traces.reasons[t])),
                int(traces.revisions[t]),
                int(traces.dropped[t]),
                late[t],
                raws,
            )
        )
    return left


def take(assembler: Assembler, now_ms: int, traces_max: int = 1024) -> list[Left]:
    """Everything that is due, let go of at once."""
    left = []
    for released in releases(assembler, now_ms, traces_max):
        left += in_words(released.traces, released.late_counts)
        assembler.done(released)
    return left


def releases(assembler: Assembler, now_ms: int, traces_max: int = 1024) -> Iterator[Released]:
    while (released := assembler.due(now_ms, traces_max)) is not None:
        yield released


def leave(assembler: Assembler, now_ms: int) -> list[tuple[bytes, str, int]]:
    """What is due, as (trace id, reason, rows)."""
    return [(one.trace_id, one.reason.name, len(one.raws)) for one in take(assembler, now_ms)]
