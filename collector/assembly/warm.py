"""Load every kernel before the first request; nothing compiles or is looked up later."""

from __future__ import annotations

import numpy as np

from analyzer.spans import Bytes, DetailReader, ReleaseReason, Rows, Vocabulary
from collector.assembly.buffer import Assembler
from collector.assembly.kernels import table
from collector.assembly.release import SEGMENT_BYTES_MIN, AssemblyConfig
from collector.contracts import Signal

_TINY = AssemblyConfig(
    arena_bytes=4 * SEGMENT_BYTES_MIN,
    segment_bytes=SEGMENT_BYTES_MIN,
    open_traces_max=16,
    closed_traces_max=16,
    root_operations_max=1,
    soft_share=0.0,
    hard_share=0.0,
)


class _OneRow:
    """Makes a row that points to the whole request."""

    def decode_into(self, signal: Signal, raw: Bytes, offset: int, length: int, rows: Rows, first_row: int) -> int:
        rows[first_row] = np.zeros(1, rows.dtype)[0]
        rows[first_row]["trace_id_0"] = first_row + 1
        rows[first_row]["raw_offset"], rows[first_row]["raw_length"] = offset, length
        return 1


def warm(vocabulary: Vocabulary, details: DetailReader) -> None:
    """Take one span the whole way through an assembler that is thrown away."""
    assembler = Assembler(_TINY, _OneRow(), vocabulary, details, seed=0)
    assembler.ingest(b"span", Signal.TRACES, 0)
    assembler.peek(bytes(16), 0)
    assembler.oldest_ms()
    for release in (assembler.due(0), assembler.due(60_000), assembler.flush(1, ReleaseReason.SHUTDOWN)):
        if release is not None:
            assembler.peek(release.traces.rows[0]["trace_id_0"].tobytes() + bytes(8), 0)
            assembler.done(release)
    table.rehash(np.zeros(1, np.int64), np.zeros(2, np.int64))
