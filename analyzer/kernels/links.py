"""Span ids -> parents, inside one trace. Arrays only.

In: the spans of one trace as local columns (`Local` order: index 0..n). Out: the local index of every
span's parent. The common way is a hash table. When ids repeat (at-least-once export, shared ids of
Zipkin, a broken SDK), or somebody chose ids that fall on each other, the way is a sort: slower, but
bounded for any input.

Truth: tests/support/naive/forest.py.
"""

from __future__ import annotations

import numpy as np
from numba import njit, types

from analyzer.kernels.node_bits import CYCLE_CUT, ORPHAN, SELF_PARENT, SPLIT_ID
from analyzer.kernels.options import ARRAYS_ONLY, INLINED
from analyzer.kernels.sorting import sort_indices
from analyzer.spans import SpanFlag, SpanKind

# A span further than this from its place in the table: ids were chosen to collide, so sort instead.
# A table half full of a million random ids stays below 100.
PROBES_MAX = 256

ROOT = -1  # parent of a span without a parent id
_UNKNOWN = -2  # the parent id is not in the trace
_SELF = -3
_BAD_PARENT_ID = int(SpanFlag.BAD_PARENT_ID)
_CLIENT, _SERVER = int(SpanKind.CLIENT), int(SpanKind.SERVER)
_HALF = np.uint64(32)
_LOW = np.uint64(0xFFFFFFFF)
_ZERO = np.uint64(0)

_I32, _I64, _U64 = types.int32[::1], types.int64[::1], types.uint64[::1]


@njit(types.int64(types.uint64, types.int64), **INLINED)
def _home(word, mask):
    """Place of an id in the table. 32-bit mixing in 64-bit arithmetic: never overflows, in any mode."""
    h = np.int64(((word >> _HALF) ^ word) & _LOW)
    h = ((h ^ (h >> 16)) * 0x45D9F3B) & 0xFFFFFFFF
    h = ((h ^ (h >> 16)) * 0x45D9F3B) & 0xFFFFFFFF
    return (h ^ (h >> 16)) & mask


@njit(types.int64(types.uint64, _U64, _I32, types.int64, types.int64), **ARRAYS_ONLY)
def find_hashed(word, ids, table, mask, probes):
    """Local index of the span with this id, -1 when there is none."""
    place = _home(word, mask)
    for _ in range(probes):
        found = table[place]
        if found < 0:
            return -1
        if ids[found] == word:
            return np.int64(found)
        place = (place + 1) & mask
    return -1


@njit(types.int64(types.uint64, _U64, types.int64), **ARRAYS_ONLY)
def find_sorted(word, ids, count):
    """Local index of the first span with this id in sorted `ids`, -1 when there is none."""
    low, high = np.int64(0), np.int64(count)
    while low < high:
        middle = (low + high) // 2
        if ids[middle] < word:
            low = middle + 1
        else:
            high = middle
    return low if low < count and ids[low] == word else np.int64(-1)


@njit(types.UniTuple(types.int64, 2)(_U64, types.int64, _I32), **ARRAYS_ONLY)
def hash_ids(ids, count, table):
    """Put the ids of one trace into the table.

    Returns
    -------
    mask : int
        Size of the part of the table that is used, less one.
    probes : int
        How far a search must look at most; 0 when an id repeats or the ids collide too often.
    """
    size = np.int64(8)
    while size < 2 * count:
        size *= 2
    mask = size - 1
    for place in range(size):
        table[place] = -1
    furthest = np.int64(0)
    for i in range(count):
        place = _home(ids[i], mask)
        probes = np.int64(1)
        while table[place] >= 0:
            if ids[table[place]] == ids[i] or probes == PROBES_MAX:
                return mask, np.int64(0)
            place = (place + 1) & mask
            probes += 1
        table[place] = i
        furthest = max(furthest, probes)
    return mask, furthest


@njit(types.int64(types.uint64, types.uint64, types.boolean), **INLINED)
def _unlinked(word, parent_word, bad_parent):
    """What a span's parent is when no other span need be looked for; 0: look for it."""
    if bad_parent:
        return _UNKNOWN
    if parent_word == _ZERO:
        return ROOT
    return _SELF if word == parent_word else 0


@njit(
    types.void(_U64, _U64, _I64, types.int64, _I32, types.int64, types.int64, _I32),
    **ARRAYS_ONLY,
)
def link_hashed(ids, parent_ids, span_flags, count, table, mask, probes, parent):
    """Fill `parent` by the table; ROOT, or _UNKNOWN and _SELF for `settle_roots`."""
    for i in range(count):
        found = _unlinked(ids[i], parent_ids[i], (span_flags[i] & _BAD_PARENT_ID) != 0)
        if found == 0:
            found = find_hashed(parent_ids[i], ids, table, mask, probes)
            if found < 0:
                found = np.int64(_UNKNOWN)
        parent[i] = found


@njit(
    types.void(_U64, _U64, _I64, _I64, types.int64, _I32, _I32),
    **ARRAYS_ONLY,
)
def link_sorted(ids, parent_ids, span_flags, kind, count, anchor, parent):
    """Fill `parent` when ids repeat. The columns are sorted by id; spans of one id stand together.

    A CLIENT and a SERVER of one id are the two halves of one call (Zipkin): the server becomes the child
    of the client, and what names the id as its parent was called by the server. Of any other spans that
    share an id, the first (by start, end, content) gets the children.

    Parameters
    ----------
    anchor : int32[...]
        Written, for the first span of each id: the span that gets the children of the id.
    """
    first = np.int64(0)
    while first < count:
        last, client, server = first, np.int64(-1), np.int64(-1)
        while last < count and ids[last] == ids[first]:
            if kind[last] == _CLIENT and client < 0:
                client = last
            elif kind[last] == _SERVER and server < 0:
                server = last
            last += 1
        anchor[first] = server if client >= 0 and server >= 0 else first
        for i in range(first, last):
            # Marks the halves that hang under their client; a real parent id cannot be negative.
            parent[i] = client if client >= 0 and kind[i] == _SERVER else -1
        first = last
    for i in range(count):
        if parent[i] >= 0:
            continue
        found = _unlinked(ids[i], parent_ids[i], (span_flags[i] & _BAD_PARENT_ID) != 0)
        if found == 0:
            group = find_sorted(parent_ids[i], ids, count)
            found = np.int64(anchor[group]) if group >= 0 else np.int64(_UNKNOWN)
        parent[i] = found


@njit(types.UniTuple(types.int64, 3)(types.int64, _I32, _I64), **ARRAYS_ONLY)
def settle_roots(count, parent, node_flags):
    """Make roots of spans whose parent is missing or themselves, and say so in their flags.

    Returns
    -------
    entries : int
        Spans without a parent id, and those that name themselves.
    self_parents, missing_parents : int
    """
    entries, self_parents, missing = np.int64(0), np.int64(0), np.int64(0)
    for i in range(count):
        if parent[i] >= 0:
            continue
        if parent[i] == _UNKNOWN:
            node_flags[i] |= ORPHAN
            missing += 1
        else:
            entries += 1
            if parent[i] == _SELF:
                node_flags[i] |= SELF_PARENT
                self_parents += 1
        parent[i] = ROOT
    return entries, self_parents, missing


@njit(types.int64(_U64, _I64, types.int64, _I64), **ARRAYS_ONLY)
def mark_split_ids(ids, kind, count, node_flags):
    """Flag spans that share an id (columns sorted by id); return how many are too many.

    One CLIENT and one SERVER are how Zipkin writes a call, not a defect.
    """
    extra = np.int64(0)
    first = np.int64(0)
    while first < count:
        last = first + 1
        while last < count and ids[last] == ids[first]:
            last += 1
        if last - first > 1:
            for i in range(first, last):
                node_flags[i] |= SPLIT_ID
            pair = last - first == 2 and kind[first] + kind[first + 1] == _CLIENT + _SERVER
            if not (pair and (kind[first] == _CLIENT or kind[first] == _SERVER)):
                extra += last - first - 1
        first = last
    return extra


@njit(
    types.int64(types.int64, _I32, types.boolean[::1], _I64, _I64, _I32, _I64),
    **ARRAYS_ONLY,
)
def cut_cycles(count, parent, reached, start, id_key, mark, node_flags):
    """Cut every cycle of parents at its span with the smallest (start, span id); return how many.

    Parameters
    ----------
    reached : bool[...]
        Spans that hang under a root already; no cycle goes through them.
    mark : int32[...]
        Overwritten: 0 not walked, otherwise the walk (its first span, plus one) that met the span first.
    """
    cycles = np.int64(0)
    for i in range(count):
        mark[i] = 0
    for i in range(count):
        if reached[i] or mark[i] != 0:
            continue
        at = np.int64(i)
        while at >= 0 and not reached[at] and mark[at] == 0:
            mark[at] = i + 1
            at = np.int64(parent[at])
        if at < 0 or reached[at] or mark[at] != i + 1:
            continue  # ran into a walk that was settled before
        least, step = at, np.int64(parent[at])
        while step != at:
            if (start[step], id_key[step], step) < (start[least], id_key[least], least):
                least = step
            step = np.int64(parent[step])
        parent[least] = ROOT
        node_flags[least] |= CYCLE_CUT
        cycles += 1
    return cycles


@njit(
    types.int64(_U64, _I64, types.int64, _I32, _I32, _I64, _I64, _I64, types.int64[:, ::1]),
    **ARRAYS_ONLY,
)
def sort_by_content(ids, id_key, count, order, scratch, first, second, third, content):
    """Order spans by (span id, start, end, parent, kind, service, content) and leave exact duplicates out.

    Two rows are exact duplicates when all but the content is equal: the same span sent twice, perhaps
    with more said the second time. The copy that says most stands first and stays.

    Parameters
    ----------
    id_key : int64[...]
        The span ids, as signed numbers of the same order.
    content : int64[count, 8]
        Per span, as sent: start, end, parent id, kind and service, and four words of content.
    order : int32[...]
        Written: the local indices of the spans that stay, in order.

    Returns
    -------
    int
        How many stay.
    """
    for i in range(count):
        order[i] = i
    # Three stable passes, the least significant keys first.
    for i in range(count):
        first[i], second[i], third[i] = content[i, 5], content[i, 6], content[i, 7]
    sort_indices(order, scratch, 0, count, first, second, third)
    for i in range(count):
        first[i], second[i], third[i] = content[i, 2], content[i, 3], content[i, 4]
    sort_indices(order, scratch, 0, count, first, second, third)
    for i in range(count):
        first[i], second[i], third[i] = id_key[i], content[i, 0], content[i, 1]
    sort_indices(order, scratch, 0, count, first, second, third)
    kept = np.int64(0)
    for k in range(count):
        i = order[k]
        if kept > 0:
            j = order[kept - 1]
            same = ids[i] == ids[j]
            for column in range(4):
                same = same and content[i, column] == content[j, column]
            if same:
                continue
        order[kept] = i
        kept += 1
    return kept
