"""The tables of assembly: what each word means.

Few wide arrays (performance.md, decision 3): one record a trace, one block of counters,
one block of limits. Nothing here runs; it is the vocabulary of the kernels.
"""

from __future__ import annotations

import numba
import numpy as np

from analyzer.spans import SPAN_DTYPE, ReleaseReason, SpanFlag, StatusCode

# One trace, open or remembered. Times are milliseconds modulo 2**32 of the owner's clock: only
# differences are ever taken, so they stay right while no trace is held for 49 days.
TRACE_DTYPE = np.dtype(
    [
        ("trace_id_0", "<u8"),
        ("trace_id_1", "<u8"),
        ("head", "<i4"),  # newest row of the chain, -1: no rows
        ("span_count", "<i4"),  # rows in the chain
        ("released_count", "<i4"),  # of these, released at least once (the oldest of the chain)
        ("early_count", "<i4"),  # of these, part of the first release
        ("byte_count", "<i8"),  # raw bytes of the rows in the chain
        ("first_ms", "<u4"),  # when the trace was opened, or re-opened
        ("last_ms", "<u4"),  # when its newest row came
        ("root_ms", "<u4"),  # when its first root span came; see HAS_ROOT
        ("wait_ms", "<u4"),  # how long to wait after the root, as it was known when the root came
        ("since_ms", "<u4"),  # when it went onto the KEPT or CLOSED list
        ("before", "<i4"),  # neighbours on its list
        ("after", "<i4"),
        ("list", "<i4"),  # which list, -1: none
        ("revision", "<i4"),  # how often it was released
        ("dropped", "<i4"),  # rows counted, not kept
        ("root_operation", "<i4"),  # row of the learned table
        ("holds", "<i4"),  # released batches that have not been let go of
        ("state", "u1"),
        ("flags", "u1"),
        ("reason", "u1"),  # of the last release
        ("pending", "u1"),  # of the release to come, when it is on the DUE list or collected
        ("spread_bin", "u1"),  # 1 + the bin its arrival spread was counted in, 0: not counted
        ("reserved", "u1", (3,)),
    ],
    align=False,
)
assert TRACE_DTYPE.itemsize == 96

# States of a trace.
FREE, OPEN, RELEASED, KEPT, CLOSED = range(5)
# RELEASED: its rows are with the receiver of a batch. KEPT: let go of, rows still here for a late
# span. CLOSED: only the id is remembered.

HAS_ROOT, REOPENED, LIMITED = 1, 2, 4  # flags of a trace; LIMITED: a limit closed it, for good

SHED_NOTHING, SHED_NEW, SHED_KNOWN = range(3)  # KNOWN: no more than what still comes of those left out before

# Lists. The first are the buckets of the timer wheel.
TICK_SHIFT = 4  # a tick is 16 ms
WHEEL = 4096  # buckets: 65 s ahead; later deadlines are looked at again when the wheel comes by
DUE, KEPT_LIST, CLOSED_LIST = WHEEL, WHEEL + 1, WHEEL + 2
LIST_COUNT = WHEEL + 3

# Words of `state`: everything that changes and is not a table.
(
    FREE_HEAD,  # first free trace record, -1: none
    UNTOUCHED,  # trace records from here on were never used
    TICK,  # the wheel's hand
    STARTED,  # 0 until the hand was set
    OPEN_TRACES,  # OPEN or RELEASED
    KEPT_TRACES,
    CLOSED_TRACES,
    RECEIVED,
    OPEN_SPANS,  # linked, not yet released
    OPEN_BYTES,
    HELD_SPANS,  # linked: open, with a receiver, or kept
    HELD_BYTES,
    LATE,
    REOPENINGS,
    DEDUPED,
    DROPPED_OWN_SCOPE,
    DROPPED_TOO_LARGE,
    DROPPED_LIVE_TRACES,
    FORGOTTEN,  # closed ids that left before their window because the table was full
    LET_GO_EARLY,  # kept traces whose rows went because memory was short
    SHEDDING,  # what is left out under stress: SHED_*
    KEEP_BELOW,  # new traces whose hash is below are not
    DROPPED_STRESS,
    SHED_TRACES,  # traces left out, each once as long as it is remembered
) = range(24)
RELEASED_TRACES = 24  # one word a ReleaseReason
REASON_COUNT = len(ReleaseReason)
RELEASED_SPANS = RELEASED_TRACES + REASON_COUNT
STATE_COUNT = RELEASED_SPANS + REASON_COUNT

# Words of `limits`: AssemblyConfig as integers, in this order.
(
    IDLE_MS,
    ROOT_IDLE_MS,
    ROOT_IDLE_MIN_MS,
    ROOT_IDLE_MAX_MS,
    AGE_MAX_MS,
    SPANS_MAX,
    SPANS_PLAIN_MAX,
    BYTES_MAX,
    BYTES_PLAIN_MAX,
    LATE_WINDOW_MS,
    LATE_KEEP_MS,
    CLOSED_MAX,
    ROOT_QUANTILE_PERMILLE,
    ROOT_OBSERVATIONS_MIN,
    SEGMENT_SHIFT,  # rows of a segment, as a power of two
) = range(15)
LIMIT_COUNT = 15

# Columns of a release, one row a trace.
META_REASON, META_REVISION, META_DROPPED, META_LATE, META_SLOT = range(5)
META_COUNT = 5

REASON_ROOT_IDLE = int(ReleaseReason.ROOT_IDLE)
REASON_IDLE = int(ReleaseReason.IDLE)
REASON_MAX_AGE = int(ReleaseReason.MAX_AGE)
REASON_SPAN_LIMIT = int(ReleaseReason.SPAN_LIMIT)
REASON_BYTE_LIMIT = int(ReleaseReason.BYTE_LIMIT)
REASON_MEMORY_PRESSURE = int(ReleaseReason.MEMORY_PRESSURE)

ROW_LOG = int(SpanFlag.LOG)
ROW_ROOT = int(SpanFlag.ROOT)
ROW_EXCEPTION = int(SpanFlag.EXCEPTION)
ROW_OWN_SCOPE = int(SpanFlag.OWN_SCOPE)
STATUS_ERROR = int(StatusCode.ERROR)

MASK_32 = 0xFFFFFFFF

# Types of the signatures.
ROWS = numba.from_dtype(SPAN_DTYPE)[::1]
TRACES = numba.from_dtype(TRACE_DTYPE)[::1]
RAW = numba.uint8[::1]
INDEX = numba.int64[::1]
WORDS = numba.int64[::1]
SEEDS = numba.uint64[::1]
SHED = numba.uint64[:, ::1]
LISTS = numba.int32[:, ::1]
SLOTS = numba.int32[::1]
LEARNED = numba.uint16[:, ::1]
META = numba.int32[:, ::1]
PLACES = numba.int64[:, ::1]
INT = numba.int64
ID = numba.uint64
VOID = numba.void
