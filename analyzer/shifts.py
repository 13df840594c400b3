"""When a lasting shift of times is accepted as normal.

In: times on two horizons by key, the owner's time. Out: which keys shifted for long enough, changed rows,
announcements. Owner: the thread of the baselines. A shift that comes with errors is never accepted.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from analyzer.config import AnalysisConfig
from analyzer.decayed_rows import DecayedRows
from analyzer.kernels import sketch
from analyzer.new_normal import NewNormal
from analyzer.pair_table import Slots, operation_name

_SHIFT_SHARE = 0.02  # of the fast horizon beyond p = 0.001: twenty times what is normal
_SHIFT_COUNT_MIN = 5.0  # observations on the fast horizon before a shift is anything


def lasting_shifts(
    store: DecayedRows,
    views: npt.NDArray[np.float32],
    usual_errors: npt.NDArray[np.float64],
    count_min: int,
    config: AnalysisConfig,
    now_ns: int,
) -> npt.NDArray[np.bool_]:
    """Say which keys have been elsewhere for `new_normal_s` while their errors stayed as they were.

    Parameters
    ----------
    store : DecayedRows
        `since_ns` is written: when each shift was first seen, 0 where there is none.
    views : float32[capacity, 2, VIEW]
        Renewed just before.
    usual_errors : float64[capacity]
        Written where a shift begins: share of failed calls.
    count_min : int
        Fewest observations on the slow horizon.
    config : AnalysisConfig
    now_ns : int
        The owner's time.

    Returns
    -------
    bool[used, 2]
        Own time, duration.
    """
    used = store.table.used
    shares = np.zeros((used, 2), np.float64)
    sketch.shifted_share(store.rows, views, used, shares)
    slow_scale, fast_scale = store.scales
    mass, since_ns = store.mass[:used], store.since_ns[:used]
    known = (mass[:, sketch.WEIGHT] >= count_min * slow_scale) & (
        mass[:, sketch.FAST_CALLS] >= _SHIFT_COUNT_MIN * fast_scale
    )
    # The fast horizon remembers a shift for a while after it has passed; the last fifty observations do not.
    known &= views[:used, sketch.OWN, sketch.SUSPICION] >= sketch.OPEN_BELOW
    shifted = known[:, None] & (shares > _SHIFT_SHARE)
    usual = mass[:, sketch.ERRORS] / np.maximum(mass[:, sketch.CALLS], 1e-300)
    begins = shifted.any(axis=1) & (since_ns.max(axis=1) == 0)
    usual_errors[:used][begins] = usual[begins]
    since_ns[~shifted] = 0
    since_ns[shifted & (since_ns == 0)] = now_ns
    lasting: npt.NDArray[np.bool_] = shifted & (now_ns - since_ns >= config.new_normal_s * 1e9)
    # Errors as when it began: not more than twice the usual share, give or take one in a hundred.
    present = mass[:, sketch.FAST_ERRORS] / np.maximum(mass[:, sketch.FAST_CALLS], 1e-300)
    return lasting & (present <= 2.0 * usual_errors[:used] + 0.01)[:, None]


def restart(store: DecayedRows, views: npt.NDArray[np.float32], slots: Slots) -> None:
    """Let what the fast horizon holds be the slow one too; the views of the slots are to be renewed."""
    ratio = store.scales[0] / store.scales[1]
    store.rows[slots, 0::2] = store.rows[slots, 1::2] * np.float32(ratio)
    mass = store.mass[slots]
    mass[:, sketch.WEIGHT] = mass[:, sketch.CALLS] = mass[:, sketch.FAST_CALLS] * ratio
    mass[:, sketch.ERRORS] = mass[:, sketch.FAST_ERRORS] * ratio
    store.mass[slots] = mass
    views[slots, sketch.OWN, sketch.SUSPICION] = 0.0


def announce(
    store: DecayedRows,
    slots: Slots,
    lasting: npt.NDArray[np.bool_],
    before_ns: npt.NDArray[np.float32],
    after_ns: npt.NDArray[np.float32],
) -> list[NewNormal]:
    """Say what shifted, in medians; the contexts of an operation follow it, unsaid.

    Parameters
    ----------
    store : DecayedRows
    slots : int32[n]
    lasting : bool[n, 2]
    before_ns, after_ns : float32[n, 2]
        Medians of own time and duration.
    """
    if store.vocabulary is None:
        return []
    found = []
    for i, slot in enumerate(slots.tolist()):
        key = int(store.table.keys[slot])
        if key & 0xFFFFFFFF == 0:
            what = sketch.OWN if lasting[i, sketch.OWN] else sketch.DURATION
            name = operation_name(store.vocabulary, key >> 32)
            medians = float(before_ns[i, what]), float(after_ns[i, what])
            since_ns = int(store.since_ns[slot, what])
            found.append(NewNormal(*name, ("own time", "duration")[what], *medians, since_ns))
    return found
