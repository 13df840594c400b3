"""What the loops of `blame.py` work on: the columns of a batch, what was learned, scratch per node.

Arrays only. Also the two questions about a subtree that only the forest can answer: whose time it was,
and under which caller a lost child belongs.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit

from analyzer.error_classes import ErrorClass
from analyzer.forest import NodeFlag
from analyzer.kernels.failure_rules import ORPHANS_MAX
from analyzer.spans import PeerKind, SpanKind

_ORPHAN = int(NodeFlag.ORPHAN)
_SERVER, _CLIENT, _SERVICE = int(SpanKind.SERVER), int(SpanKind.CLIENT), int(PeerKind.SERVICE)
_TIMEOUT, _CANCELLED = int(ErrorClass.TIMEOUT), int(ErrorClass.CANCELLED)


class Trees(NamedTuple):
    """The columns every loop needs."""

    rows: Any
    node_row: Any
    child_ptr: Any
    child: Any
    start_ns: Any
    end_ns: Any
    flags: Any
    failed: Any
    weak: Any
    error_class: Any
    expected_ns: Any


class Learned(NamedTuple):
    """What was learned, and the table of classes."""

    operation_hash: Any
    keys: Any
    counts: Any
    compat: Any


# One row per node of the trace at hand.
WORK = np.dtype(
    [
        ("strength", np.float64),  # how surely the node carries a failure up, 0 to 1
        ("weight", np.float64),  # how much of its parent's failure it explains
        ("weights", np.float64),  # sum over its children
        ("heaviest", np.float64),  # the largest of them
        ("fit", np.float64),  # how well the best of its children fits its failure in time and class
        ("log_not", np.float64),  # sum of log(1 - rho) over its children
        ("best_ns", np.float64),  # longest own time in its subtree, over what is usual
        ("slow_ns", np.float64),  # longest own time among children that ran when it gave up
        ("mass", np.float64),
        ("handled_mass", np.float64),
        ("best_node", np.int32),
        ("slow_node", np.int32),
        ("leaves", np.int32),  # failed spans below it (itself included) with no failure below them
        ("carried_class", np.uint8),
        ("heaviest_class", np.uint8),
        ("late", np.uint8),  # a server below it went on after it had given up
        ("explained", np.uint8),  # a child other than a cancelled one carries a failure to it
        ("connected", np.uint8),  # its failure went on to a failed node above
    ],
    align=True,
)


@njit(cache=True, nogil=True)
def own_ns(trees, i):
    """Time of `i` in which none of its children ran; children are sorted by start."""
    covered, until = 0, trees.start_ns[i]
    for k in range(trees.child_ptr[i], trees.child_ptr[i + 1]):
        c = trees.child[k]
        low, high = max(trees.start_ns[c], until), min(trees.end_ns[c], trees.end_ns[i])
        if high > low:
            covered += high - low
            until = high
    return trees.end_ns[i] - trees.start_ns[i] - covered


@njit(cache=True, nogil=True)
def has_server(trees, i):
    for k in range(trees.child_ptr[i], trees.child_ptr[i + 1]):
        if trees.rows[trees.node_row[trees.child[k]]]["kind"] == _SERVER:
            return True
    return False


@njit(cache=True, nogil=True)
def _may_have_called(trees, p, i):
    """Whether failed `p` was waiting while lost child `i` ran, or gave up while it still did."""
    slack = max(1_000_000, (trees.end_ns[p] - trees.start_ns[p]) // 50)
    if trees.start_ns[i] + slack < trees.start_ns[p] or trees.start_ns[i] > trees.end_ns[p]:
        return False
    found = trees.error_class[p]
    if trees.end_ns[i] > trees.end_ns[p] + slack and found != _TIMEOUT and found != _CANCELLED:
        return False
    caller = trees.rows[trees.node_row[p]]
    if caller["kind"] != _CLIENT:
        return not trees.flags[p] & _ORPHAN  # two lost children of one lost parent are no caller and callee
    # Below a call stands another service, never a database; and one that answered is not missing.
    other = caller["service"] != trees.rows[trees.node_row[i]]["service"]
    return other and caller["peer_kind"] <= _SERVICE and not has_server(trees, p)


@njit(cache=True, nogil=True)
def adopt(trees, above, lo, hi):
    """Put orphans back under the failed caller that was waiting while they ran.

    A CLIENT without a server below it is taken before any other; then the shortest. Only callers that
    stand before the orphan are taken, so that every loop still meets parents first (algorithms 3.0.4).
    """
    seen = 0
    for i in range(lo, hi):
        if above[i - lo] >= 0 or not trees.flags[i] & _ORPHAN:
            continue
        seen += 1
        if seen > ORPHANS_MAX:
            return
        best, best_call, best_ns = -1, False, 0
        for p in range(lo, i):
            if not trees.failed[p] or not _may_have_called(trees, p, i):
                continue
            call = trees.rows[trees.node_row[p]]["kind"] == _CLIENT
            length = trees.end_ns[p] - trees.start_ns[p]
            if best < 0 or (call and not best_call) or (call == best_call and length < best_ns):
                best, best_call, best_ns = p, call, length
        above[i - lo] = best
