"""What can be said of a node, and what can be wrong with a trace: words only, no kernels behind them."""

from __future__ import annotations

from enum import IntEnum, IntFlag


class NodeFlag(IntFlag):
    """What was found or repaired at one node."""

    ORPHAN = 1 << 0  # its parent id is not in the trace
    SELF_PARENT = 1 << 1
    CYCLE_CUT = 1 << 2  # a cycle of parents was cut here; it is a root now
    NO_TIME = 1 << 3  # start or end is 0 or out of any calendar; not used for latency
    NEGATIVE_DURATION = 1 << 4  # end < start; duration is taken as 0
    SPLIT_ID = 1 << 5  # another span had the same id; both are kept
    SKEW_ADJUSTED = 1 << 6  # moved to fit its parent (clock offset between hosts)
    DETACHED = 1 << 7  # does not block its parent: consumer, or outlives a parent that did not wait
    ERROR_LOG = 1 << 8  # an ERROR log record was written under it
    EXCEPTION_LOG = 1 << 9  # a log record with exception.* was written under it
    OUTLIVES_PARENT = 1 << 10  # ended after its parent (as sent, beyond skew)


class Defect(IntEnum):
    """Columns of `Forest.defects`; each becomes a warning on the answer."""

    SELF_PARENT = 0
    CYCLE = 1
    ROOTLESS = 2
    MULTI_ROOT = 3
    MISSING_PARENT = 4
    DUPLICATE = 5  # exact duplicates, left out
    DUP_SPAN_ID = 6  # same id, other content; both kept
    NEGATIVE_DURATION = 7
    NO_TIME = 8
    TIME_OUT_OF_RANGE = 9
    SKEW_ADJUSTED = 10
    SKEW_INCONSISTENT = 11
    MISSING_SERVICE = 12
    BAD_TEXT = 13
    BAD_PARENT_ID = 14
    TRUNCATED = 15  # spans dropped by a limit, or the SDK dropped attributes
    LOG_WITHOUT_SPAN = 16  # a log names a span that is not here
    OWN_SCOPE = 17  # our own findings came back; left out
    MISSING_NAME = 18


DEFECT_COUNT = len(Defect)
