"""Log-bin histograms of times: insert, decay, quantiles, conformal p. Arrays only.

In: times in ns, slots (rows of the histograms), weights. Out: changed histograms, or p values.
Never allocates per span, never decays bins in place: the owner inserts `weight * 2**(t / half_life)` and
renormalises before that number grows large.

A row is one key: `rows[slot, LAYER, bin]` with the bins of `analyzer.kernels.bins`.
What a look-up needs is kept ready in `views[slot, WHAT]`: count, median, tail scale, and for each bin
how much lies in it or above, so one p value costs two cache lines and no loop.

Truth: tests/support/naive/baselines.py (sorted lists).
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit, types

from analyzer.kernels.bins import BINS, EDGES, bin_of
from analyzer.kernels.options import ARRAYS_ONLY, INLINED

# Layers of a row. Slow: what is normal. Fast: what is.
OWN_SLOW, OWN_FAST, DURATION_SLOW, DURATION_FAST = 0, 1, 2, 3
LAYERS = 4
OWN, DURATION = 0, 1  # views[slot, OWN], from rows[slot, 2 * OWN]

# Columns of a view.
COUNT, MEDIAN, TAIL, CUT, LN_MEDIAN, LN_TOP, TOP = 0, 1, 2, 3, 4, 5, 6
SUSPICION = 7  # of OWN only: share of suspicious ones among the last fifty or so; not from the rows
ABOVE = 8  # views[slot, WHAT, ABOVE + b]: count in bins >= b, for b in 0..BINS
VIEW = 272  # 8 + 257, rounded up to whole cache lines

# Columns of `mass` (float64), per slot; the slow ones in units of the slow scale, the fast ones of the fast.
WEIGHT, REFRESHED, CALLS, ERRORS, FAST_CALLS, FAST_ERRORS = 0, 1, 2, 3, 5, 6

# More observations than this say nothing more of a quantile, and float32 bins must still feel one more.
COUNT_MAX = float(1 << 20)
# A view is renewed when its key has grown by this share.
_GROWTH = 1.1
# Observations at or above a value that make its conformal p trustworthy; with fewer the tail is extrapolated
# from the value that TOP_COUNT observations reach.
TAIL_COUNT = 3.0
TOP_COUNT = 5.0
# Log-scale of the tail is at least this (ln units): narrower than the bins can tell.
_TAIL_MIN = 0.05
_P_MIN = 1e-9
# Where a shift begins: the share of normal times beyond it, and its least distance from the median.
_CUT_P = 0.001
_CUT_RATIO = 1.2

# Suspicious observations teach in full while few of the last ones were suspicious, with the given weight while more
# were, and not at all when they come in a row. Healthy tails come alone (1 in 1 000), incidents do not.
_RECENT = np.float32(1.0 / 50.0)
OPEN_BELOW = 0.03
_SHUT_FROM = 0.08
_SHUT_P = 0.01

_ROWS = types.float32[:, :, ::1]
_VIEWS = types.float32[:, :, ::1]
_MASS = types.float64[:, ::1]
_SLOTS = types.int32[:, ::1]


@njit(types.void(types.float32[::1], types.float32[::1], types.float64), **ARRAYS_ONLY)
def renew_view(row, view, scale):
    """Write what look-ups need of one histogram.

    Parameters
    ----------
    row : float32[BINS]
    view : float32[VIEW]
        Written. Quantiles are straight lines inside their bin, measured from above; nan of an empty row.
    scale : float64
        What one observation weighs.
    """
    # Most rows are filled in a few dozen bins: the empty ends need no sums.
    first = 0
    while first < BINS and row[first] == 0.0:
        first += 1
    last = BINS - 1
    while last > first and row[last] == 0.0:
        last -= 1
    total = 0.0
    for b in range(first, last + 1):
        total += float(row[b])
    view[COUNT] = total / scale
    view[MEDIAN] = np.nan
    view[TAIL] = _TAIL_MIN
    view[ABOVE + last + 1 : ABOVE + BINS + 1] = np.float32(0.0)
    above = 0.0
    upper = -1.0
    middle = -1.0
    cut = last + 1 if total > 0.0 else BINS
    top = -1
    for k in range(last + 1 - first):
        b = last - k
        here = float(row[b])
        above += here
        view[ABOVE + b] = above / scale
        if above < _CUT_P * total:
            cut = b
        if top < 0 and above >= min(TOP_COUNT * scale, total) and above > 0.0:
            top = b
        if upper < 0.0 and here > 0.0 and above >= 0.25 * total:
            upper = EDGES[b] + (EDGES[b + 1] - EDGES[b]) * (above - 0.25 * total) / here
        if middle < 0.0 and here > 0.0 and above >= 0.5 * total:
            middle = EDGES[b] + (EDGES[b + 1] - EDGES[b]) * (above - 0.5 * total) / here
    view[ABOVE : ABOVE + first] = np.float32(above / scale)
    view[CUT] = cut
    if middle >= 0.0:
        view[MEDIAN] = middle
        view[LN_MEDIAN] = math.log(max(middle, 1.0))
        view[LN_TOP] = math.log(EDGES[top + 1])
        view[TOP] = view[ABOVE + top]
        view[CUT] = max(cut, bin_of(np.int64(_CUT_RATIO * middle)) + 1)
        # Between the median and the upper quartile an exponential tail of ln(time) falls by ln 2.
        view[TAIL] = max(_TAIL_MIN, math.log(max(upper, 1.0) / max(middle, 1.0)) / math.log(2.0))


@njit(
    types.int64(_SLOTS, _ROWS, _VIEWS, _MASS, types.float64, types.float64),
    **ARRAYS_ONLY,
)
def refresh(slots, rows, views, mass, slow_scale, count_min):
    """Renew the views of the given slots: those that grew by 10 % since the last time, or all of them.

    Keys with fewer than `count_min` observations are left alone: nobody would believe them yet. Negative: renew all.
    A key with more than `COUNT_MAX` observations is halved on the way.

    Returns
    -------
    int64
        How many were renewed.
    """
    renewed = 0
    for i in range(slots.shape[0]):
        for level in range(slots.shape[1]):
            slot = slots[i, level]
            if slot < 0:
                continue
            weight = mass[slot, WEIGHT]
            grown = weight >= count_min * slow_scale and weight > _GROWTH * mass[slot, REFRESHED]
            if not (grown or count_min < 0.0):
                continue
            if weight > COUNT_MAX * slow_scale:
                for what in range(2):
                    for b in range(BINS):
                        rows[slot, 2 * what, b] *= np.float32(0.5)
                for column in range(FAST_CALLS):
                    mass[slot, column] *= 0.5
            for what in range(2):
                renew_view(rows[slot, 2 * what], views[slot, what], slow_scale)
            mass[slot, REFRESHED] = mass[slot, WEIGHT]
            renewed += 1
    return renewed


@njit(
    types.UniTuple(types.int64, 2)(
        _SLOTS,
        types.int64[::1],
        types.int64[:, ::1],
        types.float32[::1],
        types.boolean[::1],
        _ROWS,
        _VIEWS,
        _MASS,
        types.float64,
        types.float64,
    ),
    **ARRAYS_ONLY,
)
def insert(slots, own_ns, times_ns, weights, failed, rows, views, mass, slow_scale, fast_scale):
    """Learn a batch: both times of every node, at each of its levels.

    Parameters
    ----------
    slots : int32[m, levels]
        Row of each level; -1: none.
    own_ns : int64[m]
    times_ns : int64[2, m]
        Start and end.
    weights : float32[m]
        0: do not learn. Below 1: suspicious. It then teaches in full as long as its key rarely meets such ones, with
        this weight when there were more of late, and not at all when they come in a row. So an incident cannot
        teach itself to be normal, and rare healthy times are not weeded out either, which would make ever
        more of them look rare.
    failed : bool[m]
    rows, views, mass : the histograms, what is known of them, their sums; changed in place.
    slow_scale, fast_scale : float64
        What one observation of now weighs.

    Returns
    -------
    (int64, int64)
        Suspicious observations met, and observations kept out (counted at the first level).
    """
    suspicious = 0
    kept_out = 0
    for i in range(slots.shape[0]):
        given = float(weights[i])
        if not given > 0.0:
            continue
        own = bin_of(own_ns[i])
        duration = bin_of(times_ns[1, i] - times_ns[0, i])
        for level in range(slots.shape[1]):
            slot = slots[i, level]
            if slot < 0:
                continue
            weight = given
            suspicion = views[slot, OWN, SUSPICION]
            if given < 1.0:
                if suspicion < OPEN_BELOW:
                    weight = 1.0
                elif suspicion >= _SHUT_FROM:
                    weight = 0.0
                if level == 0:
                    suspicious += 1
                    kept_out += weight == 0.0
                suspicion += _RECENT
            elif suspicion >= _SHUT_FROM and views[slot, OWN, ABOVE + own] < _SHUT_P * views[slot, OWN, COUNT]:
                weight = 0.0  # the near end of an incident would creep in otherwise, and pull the rest after it
                if level == 0:
                    kept_out += 1
            views[slot, OWN, SUSPICION] = suspicion - _RECENT * suspicion
            slow = np.float32(weight * slow_scale)
            fast = np.float32(fast_scale)
            rows[slot, OWN_SLOW, own] += slow
            rows[slot, OWN_FAST, own] += fast
            rows[slot, DURATION_SLOW, duration] += slow
            rows[slot, DURATION_FAST, duration] += fast
            mass[slot, WEIGHT] += weight * slow_scale
            mass[slot, CALLS] += slow_scale
            mass[slot, FAST_CALLS] += fast_scale
            if failed[i]:
                mass[slot, ERRORS] += slow_scale
                mass[slot, FAST_ERRORS] += fast_scale
    return suspicious, kept_out


@njit(types.float64(types.float32[::1], types.int64, types.float64), **INLINED)
def upper_p(view, value_ns, included):
    """Conformal p of a value: (1 + weight of what was as large) / (1 + weight of all).

    `included` is the weight with which the value itself has been learned already; it is taken out.
    When fewer than `TAIL_COUNT` observations were as large, nothing below about 3 / n can be told by counting;
    then p may be lower by an exponential tail of ln(time) that begins where `TOP_COUNT` observations are left
    and is as steep as the one between the median and the upper quartile. That is exact for Pareto tails and
    too careful for thinner ones; beside a rare second mode it says nothing, because the tail begins there.
    """
    above = max(0.0, float(view[ABOVE + bin_of(value_ns)]) - included)
    count = max(0.0, float(view[COUNT]) - included)
    p = min(1.0, (1.0 + above) / (1.0 + count))
    if above < TAIL_COUNT and count > 0.0 and value_ns > 0:
        beyond = math.log(value_ns) - float(view[LN_TOP])
        if beyond > 0.0:
            return min(p, max(_P_MIN, float(view[TOP]) / count * math.exp(-beyond / float(view[TAIL]))))
    return p


@njit(types.float64(types.float32[::1], types.int64, types.float64), **INLINED)
def lower_p(view, value_ns, included):
    """Conformal p of the lower tail: (1 + weight of what was as small) / (1 + weight of all)."""
    count = float(view[COUNT])
    below = max(0.0, count - float(view[ABOVE + 1 + bin_of(value_ns)]) - included)
    return min(1.0, (1.0 + below) / (1.0 + max(0.0, count - included)))


@njit(
    types.void(
        _SLOTS,
        types.int64[::1],
        types.float32[::1],
        _VIEWS,
        types.int64,
        types.float64[::1],
        types.float32[:, ::1],
        types.float64[::1],
        types.uint8[::1],
    ),
    **ARRAYS_ONLY,
)
def score(slots, values_ns, included, views, what, limits, numbers, expected_ns, levels):
    """Say how unusual each value is at the deepest level that knows enough.

    Parameters
    ----------
    slots : int32[m, 2]
        Rows of the operation and of the operation in its context; -1: none.
    values_ns : int64[m]
    included : float32[m]
        Weight with which each value has been learned already.
    views : float32[capacity, 2, VIEW]
    what : int64
        OWN or DURATION.
    limits : float64[3]
        Fewest observations of the operation; of the context; pseudo-observations the operation lends to a context.
    numbers : float32[3, m]
        Written: upper p, lower p (of durations; 1.0 of own times), count.
    expected_ns : float64[m]
        Written: median; nan where nothing is known.
    levels : uint8[m]
        Written: 0 none, 1 operation, 2 context.

    Notes
    -----
    A context with n observations is a Dirichlet process with the operation as its base and concentration 50:
    p = (n p_context + 50 p_operation) / (n + 50). Medians are averaged with the same weights, on the log scale.
    """
    for i in range(slots.shape[0]):
        numbers[0, i] = 1.0
        numbers[1, i] = 1.0
        numbers[2, i] = 0.0
        expected_ns[i] = np.nan
        levels[i] = 0
        slot = slots[i, 0]
        if slot < 0:
            continue
        own_weight = float(included[i])
        view = views[slot, what]
        numbers[2, i] = max(0.0, view[COUNT] - own_weight)
        if numbers[2, i] < limits[0]:
            continue
        value = values_ns[i]
        p = upper_p(view, value, own_weight)
        # Whether an own time is too short is never asked, and this is done for every span.
        p_low = lower_p(view, value, own_weight) if what == DURATION else 1.0
        median = float(view[MEDIAN])
        levels[i] = 1
        deeper = slots[i, 1]
        if deeper >= 0:
            view = views[deeper, what]
            count = max(0.0, float(view[COUNT]) - own_weight)
            if count >= limits[1] and view[MEDIAN] > 0.0:
                share = count / (count + limits[2])
                p = share * upper_p(view, value, own_weight) + (1.0 - share) * p
                if what == DURATION:
                    p_low = share * lower_p(view, value, own_weight) + (1.0 - share) * p_low
                base = float(views[slot, what, LN_MEDIAN])
                median = math.exp(share * float(view[LN_MEDIAN]) + (1.0 - share) * base)
                numbers[2, i] = count
                levels[i] = 2
        numbers[0, i] = p
        numbers[1, i] = p_low
        expected_ns[i] = median


@njit(
    types.int64(_ROWS, _VIEWS, types.int64, types.float64[:, ::1]),
    **ARRAYS_ONLY,
)
def shifted_share(rows, views, used, shares):
    """Fill shares[slot, what] with the part of the fast horizon that lies beyond p = 0.001 of the slow one.

    Returns
    -------
    int64
        Slots looked at.
    """
    for slot in range(used):
        for what in range(2):
            total = 0.0
            beyond = 0.0
            cut = np.int64(views[slot, what, CUT])
            for b in range(BINS):
                here = float(rows[slot, 2 * what + 1, b])
                total += here
                if b >= cut:
                    beyond += here
            shares[slot, what] = beyond / total if total > 0.0 else 0.0
    return used
