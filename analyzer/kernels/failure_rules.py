"""The rules that say what a failure may have to do with another, and the keys under which they are learned.

In: rows, forest columns, hashes. Out: one answer each: waited for or not, an attempt of a retried call or
not, how well two classes fit. Arrays only. Truth: tests/support/naive/errors.py.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np
import numpy.typing as npt
from numba import njit, types

from analyzer.error_classes import ErrorClass
from analyzer.forest import NodeFlag
from analyzer.kernels.options import ARRAYS_ONLY
from analyzer.spans import NO_RPC_STATUS, SpanKind, StatusCode


class NodeState(IntEnum):
    """What became of a failure at one node."""

    NONE = 0
    ORIGIN = 1  # failed, and nothing below explains it
    PROPAGATED = 2  # passed a child's failure on
    TRANSFORMED = 3  # passed it on as another class
    HANDLED_RETRY = 4  # a later attempt of the same call succeeded
    HANDLED_FALLBACK = 5  # the caller did something else and went on
    IGNORED = 6  # the caller went on as if nothing had happened
    TIMEOUT = 7  # gave up waiting
    CANCELLED = 8  # told to stop: a victim
    REFUSED = 9  # no server answered
    SLOW = 10  # it holds the time that somebody's deadline ran out of, whether it failed in the end or not


TRIED_AGAIN, RECOVERED = 1, 2  # values of `attempt`

CLASS_COUNT = len(ErrorClass)
PROBE_MAX = 32  # slots looked at before a key counts as not there
SIBLINGS_MAX = 512  # more children than this are a fan-out, not retries; bounds the work per failure
ORPHANS_MAX = 64  # orphans of one failing trace that are put back under a caller; bounds the work per trace
ROOT_WEIGHT = 4.0  # a failed root counts this many times a failed background consumer
RHO_PRIOR = (8.0, 10.0)  # a failed call fails its caller: Beta(8, 2) (algorithms 3.1)
LAMBDA_PRIOR = (1.0, 10.0)  # a span fails by itself: Beta(1, 9)
COINCIDENCE = 0.9  # how much less likely a failure of its own is beside a child's that fits perfectly; without it
# blame would leak by 2 % a level, and the deep call chains of real services would end below "cannot tell"
OWN_KEY = 0x9E3779B97F4A7C15  # stands for "no child" in the key of an operation's own failures

_DETACHED = int(NodeFlag.DETACHED)
_OK = int(StatusCode.OK)
_PRODUCER, _CONSUMER = int(SpanKind.PRODUCER), int(SpanKind.CONSUMER)


def class_compatibility() -> npt.NDArray[np.float32]:
    """How well a child's class explains its parent's: float32[child class, parent class], 1 is best.

    The starting values of algorithms 3.1; a cancelled child explains nothing but a cancelled parent.
    """
    table = np.full((CLASS_COUNT, CLASS_COUNT), 0.7, np.float32)
    system = [ErrorClass.UNAVAILABLE, ErrorClass.INTERNAL, ErrorClass.TIMEOUT, ErrorClass.EXHAUSTED]
    for child in (ErrorClass.TIMEOUT, ErrorClass.UNAVAILABLE, ErrorClass.EXHAUSTED, ErrorClass.DATA):
        table[child, system] = 0.9
    table[ErrorClass.THROTTLED, system] = 0.9
    table[ErrorClass.INTERNAL, [ErrorClass.CLIENT, ErrorClass.AUTH]] = 0.3
    table[[ErrorClass.CLIENT, ErrorClass.AUTH], :] = 0.5
    table[ErrorClass.CLIENT, system] = 0.3
    table[:, ErrorClass.BUSINESS] = 0.2
    table[:, ErrorClass.CANCELLED] = 0.3
    table[:, [ErrorClass.UNKNOWN, ErrorClass.NONE]] = 0.9
    table[ErrorClass.UNKNOWN, :] = 0.8
    table[ErrorClass.CANCELLED, :] = 0.02
    np.fill_diagonal(table, 1.0)
    return table


@njit("uint64(uint64, uint64, uint64)", **ARRAYS_ONLY)
def mix_key(a, b, c):
    """One key of two hashes (already well mixed) and a small number; never 0, which marks a free slot."""
    x = (a << np.uint64(1) | a >> np.uint64(63)) ^ (b << np.uint64(31) | b >> np.uint64(33))
    x ^= (c << np.uint64(44)) ^ (c << np.uint64(7)) ^ c
    return x if x != np.uint64(0) else np.uint64(1)


@njit([types.int64(types.Array(types.uint64, 1, "C", readonly=True), types.uint64)], **ARRAYS_ONLY)
def find_slot(keys, key):
    """Slot of `key`: >= 0 found; -1 - slot: free for it; -1 - len(keys): neither within PROBE_MAX."""
    mask = len(keys) - 1
    at = np.int64(key & np.uint64(mask))
    for _ in range(min(PROBE_MAX, len(keys))):
        if keys[at] == key:
            return at
        if keys[at] == np.uint64(0):
            return np.int64(-1 - at)
        at = (at + 1) & mask
    return np.int64(-1 - len(keys))


@njit(**ARRAYS_ONLY)
def hash_of(operation_hash, operation):
    """Hash of an operation's names; 0 for an operation that came after the table was made."""
    return operation_hash[operation] if operation < len(operation_hash) else np.uint64(0)


@njit(**ARRAYS_ONLY)
def waited_for(rows, node_row, flags, parent, i):
    """Whether `parent` could have failed because of `i`: not so for a consumer on the far side of a queue."""
    r, above = node_row[i], node_row[parent]
    if rows[r]["kind"] != _CONSUMER:
        return True
    apart = rows[above]["kind"] == _PRODUCER or rows[above]["service"] != rows[r]["service"]
    return not (apart or flags[i] & _DETACHED)


@njit(**ARRAYS_ONLY)
def says_fine(rows, r):
    """Whether a span that did not fail says that all went well; else it says nothing, and lets a failure through."""
    http = rows[r]["http_status"]
    return rows[r]["status"] == _OK or 0 < http < 400 or rows[r]["rpc_status"] == 0


@njit(**ARRAYS_ONLY)
def answers_error(rows, r):
    """Whether a span answered its caller with an error, marked as failed or not: a server's 4xx is not."""
    rpc = rows[r]["rpc_status"]
    return rows[r]["http_status"] >= 400 or (rpc != 0 and rpc != NO_RPC_STATUS)


@njit(**ARRAYS_ONLY)
def attempt_of(rows, node_row, child_ptr, child, start_ns, end_ns, failed, parent, i):
    """Place of failed child `i` among the attempts of one call: 0, TRIED_AGAIN (in vain) or RECOVERED.

    Attempts are siblings with the same operation and peer, one after another, none of which succeeded
    before; a success must be the last of them. A loop over items, where some fail and others do not, is
    no retry, unless the later call says so itself (http.request.resend_count).
    """
    first, last = child_ptr[parent], child_ptr[parent + 1]
    if last - first < 2 or last - first > SIBLINGS_MAX:
        return 0
    r = node_row[i]
    slack = min(1_000_000, (end_ns[i] - start_ns[i]) // 20)
    ok_before, ok_after, failed_after, overlapping, resent = 0, 0, 0, 0, False
    last_start, last_failed = start_ns[i], True
    for k in range(first, last):
        d = child[k]
        s = node_row[d]
        if d == i or rows[s]["operation"] != rows[r]["operation"] or rows[s]["peer"] != rows[r]["peer"]:
            continue
        if start_ns[d] >= end_ns[i] - slack:
            resent |= rows[s]["resend_count"] > 0
            if failed[d]:
                failed_after += 1
            else:
                ok_after += 1
            if start_ns[d] >= last_start:
                last_start, last_failed = start_ns[d], failed[d]
        elif end_ns[d] <= start_ns[i] + slack:
            ok_before += not failed[d]
        else:
            overlapping += 1
    if ok_after + failed_after == 0 or overlapping > 0 or (ok_before > 0 and not resent):
        return 0
    if ok_after == 0:
        return TRIED_AGAIN
    return RECOVERED if resent or (ok_after == 1 and not last_failed) else 0
