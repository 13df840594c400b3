"""Where a series changed. In: numbers in order of time, one row per series. Out: places and heights. Knows no spans."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def cusum(gains: Floats) -> tuple[Floats, npt.NDArray[np.int64]]:
    """Return the highest rise of the running sum of each series, and where that rise began.

    Parameters
    ----------
    gains : float64[m, n]
        Log likelihood ratio of "changed" to "not changed" of every step; 0 where there is nothing to say.

    Returns
    -------
    height : float64[m]
        Largest sum of consecutive gains; 0 when no gain is positive.
    onset : int64[m]
        First step of that rise; n when the height is 0.

    Notes
    -----
    Page's CUSUM with the arg-min of the running sum as the estimate of the change (Page 1954).
    """
    sums = np.concatenate([np.zeros((len(gains), 1)), np.cumsum(gains, axis=1)], axis=1)
    lowest = np.minimum.accumulate(sums, axis=1)
    heights = sums - lowest
    top = np.argmax(heights, axis=1)
    rows = np.arange(len(gains))
    height = heights[rows, top]
    # The last step at which the sum stood at its lowest: a tie before that says nothing of a change.
    reached = (sums == lowest[rows, top][:, None]) & (np.arange(sums.shape[1]) <= top[:, None])
    onset = sums.shape[1] - 1 - np.argmax(reached[:, ::-1], axis=1)
    return height, np.where(height > 0, onset, gains.shape[1]).astype(np.int64)


def page_hinkley(values: Floats, drift: float) -> tuple[Floats, npt.NDArray[np.int64]]:
    """Return how far each series has risen above its own running mean, and since which step.

    For changes that come gradually (a leak, a slow loss of traffic), on logarithms of rates; for falls give `-values`.

    Parameters
    ----------
    values : float64[m, n]
    drift : float
        Rise per step that is usual; larger is calmer.

    Returns
    -------
    height : float64[m]
        Page-Hinkley statistic at the last step: sum of (value - mean so far - drift) above its minimum.
    onset : int64[m]
        Step after that minimum; n when the height is 0.
    """
    steps = np.arange(1, values.shape[1] + 1)
    means = np.cumsum(values, axis=1) / steps
    sums = np.concatenate([np.zeros((len(values), 1)), np.cumsum(values - means - drift, axis=1)], axis=1)
    last = sums[:, -1:]
    onset = sums.shape[1] - 1 - np.argmin(sums[:, ::-1], axis=1)
    height = (last - sums.min(axis=1, keepdims=True))[:, 0]
    return height, np.where(height > 0, onset, values.shape[1]).astype(np.int64)
