"""When a lasting change of shape is accepted as normal: a call that is gone, a loop that is longer.

In: counts on two horizons, the owner's time. Out: changed counts, announcements. Owner: the memory's thread.
"""

from __future__ import annotations

import numpy as np

from analyzer.config import AnalysisConfig
from analyzer.decayed_rows import DecayedRows
from analyzer.kernels.call_shapes import COUNT_UPPER, FAST, FAST_MISSED, GAPS, PRESENT
from analyzer.kernels.expected_calls import RISE, RISE_COUNT
from analyzer.new_normal import CallGone
from analyzer.pair_table import Slots, operation_name

_GONE_SHARE = 0.5  # of recent executions without a call, however few they are
_MORE_SHARE = 0.05  # of recent executions with far more like calls than usual
_MORE_COUNT_MIN = 5.0


def accept_lost_calls(
    store: DecayedRows, first: Slots, pairs: Slots, config: AnalysisConfig, now_ns: int
) -> list[CallGone]:
    """Stop expecting calls that have been missing for `new_normal_s`, and say so.

    Parameters
    ----------
    store : DecayedRows
        Changed.
    first, pairs : int32[used + 1], int32[...]
        Expected calls (`kernels.expected_calls.expect`); to be drawn up anew when anything is returned.
    config : AnalysisConfig
    now_ns : int
        The owner's time.
    """
    if store.vocabulary is None:
        return []
    gone = []
    fast = store.scales[1]
    owners = np.repeat(np.arange(len(first) - 1), np.diff(first))
    recent = store.mass[owners, FAST]
    missed = store.mass[pairs, FAST_MISSED]
    share = missed / np.maximum(recent, 1e-300)
    executions = np.maximum(store.mass[owners, PRESENT], 1e-300)
    usual = recent * (1.0 - store.mass[pairs, PRESENT] / executions)
    lost = (missed >= RISE_COUNT * fast + RISE * usual) | ((share > _GONE_SHARE) & (recent >= fast))
    since_ns = store.since_ns[pairs, 0]
    since_ns = np.where(lost, np.where(since_ns == 0, now_ns, since_ns), 0)
    lasting = lost & (now_ns - since_ns >= config.new_normal_s * 1e9)
    store.since_ns[pairs, 0] = np.where(lasting, 0, since_ns)
    for at in np.flatnonzero(lasting).tolist():
        slot, owner = int(pairs[at]), int(owners[at])
        rest = 1.0 - min(1.0, float(share[at]))
        store.mass[slot, PRESENT] = store.mass[owner, PRESENT] * rest
        key = int(store.table.keys[slot])
        caller = operation_name(store.vocabulary, key >> 32)
        callee = operation_name(store.vocabulary, key & 0xFFFFFFFF)
        gone.append(CallGone(*caller[:2], *callee[:2], 1.0 - rest, int(since_ns[at])))
    return gone


def accept_counts(store: DecayedRows, config: AnalysisConfig, now_ns: int) -> int:
    """Let a number of like calls that has been far above the usual for `new_normal_s` be the usual one.

    Returns
    -------
    int
        How many pairs of (operation, callee) have a new usual number.
    """
    used = store.table.used
    counts = store.rows[:used, :, :GAPS]
    slow = counts[:, 0].cumsum(axis=1, dtype=np.float64)
    usual = COUNT_UPPER[(slow < 0.95 * slow[:, -1:]).sum(axis=1)]
    recent = counts[:, 1].sum(axis=1, dtype=np.float64)
    far = config.repeated_calls_ratio * usual[:, None] <= COUNT_UPPER
    far &= config.repeated_calls_min <= COUNT_UPPER
    share = np.where(far, counts[:, 1], 0).sum(axis=1) / np.maximum(recent, 1e-300)
    more = (share > _MORE_SHARE) & (recent >= _MORE_COUNT_MIN * store.scales[1])
    since_ns = store.since_ns[:used, 1]
    since_ns[~more] = 0
    since_ns[more & (since_ns == 0)] = now_ns
    lasting = np.flatnonzero(more & (now_ns - since_ns >= config.new_normal_s * 1e9))
    ratio = store.scales[0] / store.scales[1]
    store.rows[lasting, 0, :GAPS] = store.rows[lasting, 1, :GAPS] * np.float32(ratio)
    since_ns[lasting] = 0
    return len(lasting)
