"""Lists of trace records: wheel buckets, due, kept, closed. A record is on one list at most.

`lists[which]` is (first, last); the links stand in the records. First in, first out.
"""

from __future__ import annotations

from numba import njit


@njit(nogil=True)
def append(traces, lists, which, slot):
    """Put a record that is on no list at the end of one."""
    last = lists[which, 1]
    traces[slot]["before"] = last
    traces[slot]["after"] = -1
    traces[slot]["list"] = which
    if last < 0:
        lists[which, 0] = slot
    else:
        traces[last]["after"] = slot
    lists[which, 1] = slot


@njit(nogil=True)
def unlink(traces, lists, slot):
    """Take a record off its list; nothing happens when it is on none."""
    which = traces[slot]["list"]
    if which < 0:
        return
    before = traces[slot]["before"]
    after = traces[slot]["after"]
    if before < 0:
        lists[which, 0] = after
    else:
        traces[before]["after"] = after
    if after < 0:
        lists[which, 1] = before
    else:
        traces[after]["before"] = before
    traces[slot]["list"] = -1
