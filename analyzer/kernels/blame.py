"""Where the blame for a failed trace comes to rest: arrays only.

In: the forest of a batch and what failed in it. Out: the state of each failure, and blame that sums to one
for every trace that failed. Never reads text, never raises on data, never recurses; a trace in which
nothing failed costs one look at its flags. Truth: tests/support/naive/errors.py.

Four loops over a failing trace: up (what each node carries to its parent), across (how much of the
parent's failure each child explains), down (entries), down (blame).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import from_dtype, njit, types

from analyzer.error_classes import ErrorClass
from analyzer.forest import NodeFlag
from analyzer.kernels.blame_columns import WORK, Learned, Trees, adopt, has_server, own_ns
from analyzer.kernels.failure_rules import (
    COINCIDENCE,
    LAMBDA_PRIOR,
    OWN_KEY,
    RECOVERED,
    RHO_PRIOR,
    ROOT_WEIGHT,
    TRIED_AGAIN,
    NodeState,
    attempt_of,
    class_compatibility,
    find_slot,
    hash_of,
    mix_key,
    says_fine,
    waited_for,
)
from analyzer.spans import SPAN_DTYPE, SpanKind, StatusCode

_ORPHAN = int(NodeFlag.ORPHAN)
_OK = int(StatusCode.OK)
_SERVER, _CLIENT = int(SpanKind.SERVER), int(SpanKind.CLIENT)
_UNKNOWN = int(ErrorClass.UNKNOWN)
_TIMEOUT, _CANCELLED = int(ErrorClass.TIMEOUT), int(ErrorClass.CANCELLED)
_UNAVAILABLE = int(ErrorClass.UNAVAILABLE)
_ORIGIN, _PROPAGATED, _TRANSFORMED = int(NodeState.ORIGIN), int(NodeState.PROPAGATED), int(NodeState.TRANSFORMED)
_HANDLED_RETRY, _HANDLED_FALLBACK = int(NodeState.HANDLED_RETRY), int(NodeState.HANDLED_FALLBACK)
_IGNORED, _STATE_TIMEOUT, _SLOW = int(NodeState.IGNORED), int(NodeState.TIMEOUT), int(NodeState.SLOW)
_STATE_CANCELLED, _REFUSED = int(NodeState.CANCELLED), int(NodeState.REFUSED)


def _read(scalar: Any, dimensions: int = 1) -> Any:
    return types.Array(scalar, dimensions, "C", readonly=True)


def _write(scalar: Any, dimensions: int = 1) -> Any:
    return types.Array(scalar, dimensions, "C")


@njit(cache=True, nogil=True)
def _chance(learned, key, hits_prior, count_prior):
    slot = find_slot(learned.keys, key)
    if slot < 0:
        return hits_prior / count_prior
    return (hits_prior + learned.counts[slot, 0]) / (count_prior + learned.counts[slot, 1])


@njit(cache=True, nogil=True)
def _up(trees, above, attempt, work, lo, hi):
    """How surely each node carries a failure to its parent, and the longest own time below it."""
    for i in range(hi - 1, lo - 1, -1):
        j, p, r = i - lo, above[i - lo], trees.node_row[i]
        node = work[j]
        own = float(own_ns(trees, i))
        if not math.isnan(trees.expected_ns[i]):
            own = max(0.0, own - trees.expected_ns[i])
        if own > node["best_ns"]:
            node["best_ns"], node["best_node"] = own, i
        if trees.failed[i]:
            node["strength"], node["carried_class"] = 1.0, trees.error_class[i]
            node["leaves"] = max(node["leaves"], 1)
        elif trees.weak[i] and node["strength"] < 0.6:
            # An exception or error log that nobody made a status of; OK says that it was dealt with.
            node["strength"] = 0.1 if trees.rows[r]["status"] == _OK else 0.6
            node["carried_class"] = trees.error_class[i]
        else:
            # Many spans in the middle never set a status: they let a failure through, unless they say OK.
            node["strength"] = 0.0 if says_fine(trees.rows, r) else 0.7 * node["strength"]
        if p < 0:
            continue
        if trees.failed[i]:
            attempt[j] = attempt_of(
                trees.rows, trees.node_row, trees.child_ptr, trees.child, trees.start_ns, trees.end_ns,
                trees.failed, p, i,
            )  # fmt: skip
        if not waited_for(trees.rows, trees.node_row, trees.flags, p, i):
            continue
        over = work[p - lo]
        if node["best_ns"] >= over["best_ns"]:
            over["best_ns"], over["best_node"] = node["best_ns"], node["best_node"]
        if node["strength"] > 0.0 and attempt[j] != RECOVERED:
            over["leaves"] += node["leaves"]
            if node["strength"] > over["strength"]:
                over["strength"], over["carried_class"] = node["strength"], node["carried_class"]


@njit(cache=True, nogil=True)
def _across(trees, learned, above, attempt, work, lo, hi):
    """How much of its parent's failure each node explains (noisy-OR; algorithms 3.1)."""
    for i in range(lo, hi):
        j, p = i - lo, above[i - lo]
        if p < 0 or not waited_for(trees.rows, trees.node_row, trees.flags, p, i):
            continue
        node, over = work[j], work[p - lo]
        r, s = trees.node_row[i], trees.node_row[p]
        duration = trees.end_ns[p] - trees.start_ns[p]
        slack = max(1_000_000, duration // 50)
        remote = trees.rows[r]["kind"] == _SERVER and trees.rows[s]["kind"] == _CLIENT
        outlives = trees.end_ns[i] > trees.end_ns[p] + slack
        if trees.failed[p]:
            why = trees.error_class[p]
            gave_up = why in (_TIMEOUT, _CANCELLED)
            late = remote and outlives and (gave_up or (not trees.failed[i] and why in (_UNKNOWN, _UNAVAILABLE)))
            cut = trees.failed[i] and trees.error_class[i] == _CANCELLED
            running = outlives or trees.end_ns[i] + slack >= trees.end_ns[p]
            filled = trees.end_ns[i] - trees.start_ns[i] >= 0.8 * duration
            waited = gave_up and running and (cut or (not trees.failed[i] and (outlives or filled)))
            if (late or waited) and node["best_ns"] > over["slow_ns"]:
                over["slow_ns"], over["slow_node"] = node["best_ns"], node["best_node"]
            if late:
                over["late"] = 1
        if node["strength"] == 0.0 or attempt[j] == RECOVERED:
            continue
        found = node["carried_class"]
        wanted = trees.error_class[p] if trees.failed[p] else over["carried_class"]
        key = mix_key(
            hash_of(learned.operation_hash, trees.rows[s]["operation"]),
            hash_of(learned.operation_hash, trees.rows[r]["operation"]),
            np.uint64(found),
        )
        rho = _chance(learned, key, RHO_PRIOR[0], RHO_PRIOR[1]) * node["strength"]
        gap = trees.end_ns[p] - trees.end_ns[i]
        closeness = 0.15 + 0.85 * math.exp(-max(gap, 0) / max(2e6, 0.1 * duration))
        if outlives and not remote:
            closeness *= 0.3  # it ended after its parent did: hardly the cause
        if trees.flags[i] & _ORPHAN:
            closeness *= 0.5  # put back by its times only
        fit = closeness * learned.compat[found, wanted] * (0.1 if attempt[j] == TRIED_AGAIN else 1.0)
        weight = rho * fit
        over["fit"] = max(over["fit"], node["strength"] * fit)
        node["weight"] = weight
        over["weights"] += weight
        over["log_not"] += math.log1p(-min(rho, 0.99))
        if weight > over["heaviest"]:
            over["heaviest"], over["heaviest_class"] = weight, found
        if found != _CANCELLED:
            over["explained"] = 1


@njit(cache=True, nogil=True)
def _entries(trees, above, work, lo, hi):
    """Give each failed entry, and each failure that was handled, its part; return whether an entry failed."""
    entries, handled = 0.0, 0.0
    for i in range(lo, hi):
        p = above[i - lo]
        node = work[i - lo]
        entry = p < 0 or not waited_for(trees.rows, trees.node_row, trees.flags, p, i)
        if not entry and node["weight"] > 0.0 and (trees.failed[p] or work[p - lo]["connected"]):
            node["connected"] = 1
        if not trees.failed[i]:
            continue
        if entry:
            seen_whole = p < 0 and not trees.flags[i] & _ORPHAN
            node["mass"] = node["leaves"] * (ROOT_WEIGHT if seen_whole else 1.0)
            entries += node["mass"]
        elif not node["connected"]:
            node["handled_mass"] = 1.0
            handled += 1.0
    for j in range(hi - lo):
        if work[j]["mass"] > 0.0:
            work[j]["mass"] /= entries
        if work[j]["handled_mass"] > 0.0:
            work[j]["handled_mass"] /= handled
    return entries > 0.0


@njit(cache=True, nogil=True)
def _state_of(trees, node, entry, attempt, local, parent, i):
    """What became of the failure of node `i`."""
    if not entry and not node["connected"]:
        if attempt == RECOVERED:
            return _HANDLED_RETRY
        last = trees.child[trees.child_ptr[parent + 1] - 1] if trees.child_ptr[parent + 1] > 0 else i
        return _HANDLED_FALLBACK if last != i and trees.start_ns[last] >= trees.end_ns[i] - 1_000 else _IGNORED
    found = trees.error_class[i]
    if local < 0.5:
        return (
            _PROPAGATED
            if node["heaviest_class"] == found or _UNKNOWN in (found, node["heaviest_class"])
            else _TRANSFORMED
        )
    if found == _TIMEOUT:
        return _STATE_TIMEOUT
    if found == _CANCELLED:
        return _STATE_CANCELLED
    bare = trees.rows[trees.node_row[i]]["kind"] == _CLIENT and not has_server(trees, i)
    return _REFUSED if bare and found == _UNAVAILABLE else _ORIGIN


@njit(cache=True, nogil=True)
def _down(trees, learned, above, attempt, work, state, blame, handled, lo, hi):
    """Push blame from the entries to where it stays."""
    for i in range(lo, hi):
        j, p = i - lo, above[i - lo]
        node = work[j]
        entry = p < 0 or not waited_for(trees.rows, trees.node_row, trees.flags, p, i)
        if not entry and node["weight"] > 0.0 and work[p - lo]["weights"] > 0.0:
            portion = node["weight"] / work[p - lo]["weights"]
            node["mass"] += work[p - lo]["mass"] * portion
            if node["connected"]:
                node["handled_mass"] += work[p - lo]["handled_mass"] * portion
        if not (trees.failed[i] or node["mass"] > 0.0 or node["handled_mass"] > 0.0):
            continue
        local = 1.0
        if trees.failed[i] and node["slow_node"] >= 0 and (node["late"] or not node["explained"]):
            # It gave up waiting: whoever held the time below it is to blame, and its children's failures are not.
            target = node["slow_node"] - lo
            blame[target] += node["mass"]
            handled[target] += node["handled_mass"]
            if node["mass"] + node["handled_mass"] > 0.0:
                state[target] = _SLOW
            node["weights"] = 0.0
            state[j] = _STATE_TIMEOUT
            if entry or node["connected"]:
                continue
        else:
            if node["weights"] > 0.0:
                operation = trees.rows[trees.node_row[i]]["operation"]
                key = mix_key(hash_of(learned.operation_hash, operation), np.uint64(OWN_KEY), np.uint64(0))
                alone = _chance(learned, key, LAMBDA_PRIOR[0], LAMBDA_PRIOR[1]) * math.exp(node["log_not"])
                # A failure of its own at the moment a child failed in the same way would be a coincidence.
                alone *= 1.0 - COINCIDENCE * node["fit"]
                if not trees.failed[i]:
                    alone *= 0.2  # it says nothing of a failure of its own
                local = alone / (alone + node["weights"])
            blame[j] += node["mass"] * local
            handled[j] += node["handled_mass"] * local
            node["mass"] *= 1.0 - local
            node["handled_mass"] *= 1.0 - local
        if trees.failed[i] and state[j] != _SLOW:
            state[j] = _state_of(trees, node, entry, attempt[j], local, p, i)


@njit(
    [
        types.void(
            types.Array(from_dtype(SPAN_DTYPE), 1, "C", readonly=True),
            *(_read(scalar) for scalar in (types.int32, types.int32, types.int64, types.int32, types.int32)),
            *(_read(scalar) for scalar in (types.int64, types.int64, types.uint16, types.boolean, types.boolean)),
            *(_read(scalar) for scalar in (types.uint8, types.float64, types.uint64, types.uint64)),
            *(_read(types.float32, 2), _read(types.float32, 2), types.int64, types.int64),
            *(_write(scalar) for scalar in (types.uint8, types.float32, types.float32, types.uint8)),
            *(_write(types.int32), _write(types.boolean)),
        )
    ],
    cache=True,
    nogil=True,
)
def error_states(
    rows, node_row, parent, trace_ptr, child_ptr, child, start_ns, end_ns, flags, failed, weak,
    error_class, expected_ns, operation_hash, keys, counts, compat, first_trace, last_trace,
    state, blame, handled, attempt, above, fatal,
):  # fmt: skip
    """Say what became of every failure, and spread blame over the nodes of each failing trace.

    Noisy-OR from the entries down (algorithms 3.1): a failed node keeps ``lambda * prod(1 - rho)`` of its
    blame and gives each failed child ``rho * compat * closeness * last attempt``, normalised to one. A node
    that gave up waiting hands its blame to the longest own time among the children that were still
    running, with their times unclipped. Failures that a caller handled have a channel of their own.

    Parameters
    ----------
    rows ... error_class
        Columns of `TraceBatch`, `Forest` and `Analysis`.
    expected_ns : float64[m]
        Usual own time; nan where nothing is known.
    operation_hash : uint64[n_operations]
    keys : uint64[capacity], counts : float32[capacity, 2]
        Learned (times the parent failed, times seen) by key, see `PropagationMemory`; capacity a power of two.
    compat : float32[CLASS_COUNT, CLASS_COUNT]
    first_trace, last_trace : int
        Traces first_trace:last_trace are looked at. The outputs hold their k nodes only.
    state : uint8[k]
        Out: NodeState.
    blame : float32[k]
        Out: sums to 1 over a trace with a failed entry, else 0.
    handled : float32[k]
        Out: sums to 1 over a trace in which a failure was handled, else 0.
    attempt : uint8[k]
        Out: TRIED_AGAIN, RECOVERED or 0.
    above : int32[k]
        Out: parent used, -1 none; differs from `parent` for orphans that were put back.
    fatal : bool[last_trace - first_trace]
        Out: an entry (a root, or a consumer behind a queue) failed.
    """
    base = trace_ptr[first_trace]
    for t in range(first_trace, last_trace):
        low, high = trace_ptr[t], trace_ptr[t + 1]
        fatal[t - first_trace] = False
        for i in range(low, high):
            k = i - base
            state[k], blame[k], handled[k], attempt[k], above[k] = 0, 0.0, 0.0, 0, parent[i]
    trees = Trees(rows, node_row, child_ptr, child, start_ns, end_ns, flags, failed, weak, error_class, expected_ns)
    learned = Learned(operation_hash, keys, counts, compat)
    for t in range(first_trace, last_trace):
        lo, hi = trace_ptr[t], trace_ptr[t + 1]
        failures, orphans = 0, 0
        for i in range(lo, hi):
            failures += failed[i]
            orphans += flags[i] & _ORPHAN != 0
        if failures == 0:
            continue
        work = np.zeros(hi - lo, WORK)
        for j in range(hi - lo):
            work[j]["best_ns"], work[j]["slow_ns"], work[j]["slow_node"] = -1.0, -1.0, -1
        up, tries = above[lo - base : hi - base], attempt[lo - base : hi - base]
        if orphans:
            adopt(trees, up, lo, hi)
        _up(trees, up, tries, work, lo, hi)
        _across(trees, learned, up, tries, work, lo, hi)
        fatal[t - first_trace] = _entries(trees, up, work, lo, hi)
        _down(
            trees, learned, up, tries, work,
            state[lo - base : hi - base], blame[lo - base : hi - base], handled[lo - base : hi - base], lo, hi,
        )  # fmt: skip


def warm() -> None:
    """Load the kernels from the cache, or compile them."""
    one, none, failed = np.zeros(1, np.int32), np.full(1, -1, np.int32), np.ones(1, np.bool_)
    error_states(
        np.zeros(1, SPAN_DTYPE), one, none, np.array([0, 1], np.int64), np.zeros(2, np.int32), none[:0],
        np.zeros(1, np.int64), np.ones(1, np.int64), np.zeros(1, np.uint16), failed, failed, np.zeros(1, np.uint8),
        np.full(1, np.nan), np.zeros(1, np.uint64), np.zeros(2, np.uint64), np.zeros((2, 2), np.float32),
        class_compatibility(), 0, 1, np.zeros(1, np.uint8), np.zeros(1, np.float32), np.zeros(1, np.float32),
        np.zeros(1, np.uint8), none.copy(), np.zeros(1, np.bool_),
    )  # fmt: skip
    # Scenes ask it of one pair at a time, from outside of any kernel.
    waited_for(np.zeros(1, SPAN_DTYPE), one, np.zeros(1, np.uint16), 0, 0)
