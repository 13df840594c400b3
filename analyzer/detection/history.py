"""What is usual of an entity: shares, rates, how much they vary, and how far a window is from it.

In: counts of closed windows. Out: p-values, against "as usual, or different by less than is worth an alarm". Learns
with weights. Never raises an alarm.

Variation is learned from window to window: with z the distance of a window from what was expected in units of
binomial (Poisson) noise, E[z**2] = 1 + size * rho, so rho = sum(z**2 - 1) / sum(size), size = n - 1 (the mean count).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from analyzer.detection.config import DetectionConfig
from analyzer.detection.entities import SHARES, Entities
from analyzer.kernels.detection import CALLS, EXTREME, FAILURES, RARE, RAREST, SCORED, SERVED, count_tails

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.intp]
Counts = npt.NDArray[np.float64]

FAILED, SLOW, SLOWEST, UNSERVED, FARTHEST = range(SHARES)
_PRIOR_SHARE = np.array([0.002, 0.05, 0.01, 0.01, 0.002])  # of what nothing is known; as the baselines are calibrated
_PRIOR_COUNT = 50.0
_PRIOR_RHO, _RHO_MIN, _PRIOR_SIZE = 0.01, 2e-4, 200.0
_PRIOR_PHI, _PHI_MIN, _PRIOR_CALLS = 0.02, 0.002, 50.0
_SHARE_MAX = 0.98  # of what nearly always has it, more is no news: calls to a peer that sends no spans are never served
_Z2_MAX = 30.0  # one wild window teaches as much as one thirty times as far off as usual
_SUSPICIOUS_P = 0.001
# A slow change would else be learned before there is enough evidence of it. Of shares less evidence will do: a few rare
# calls among few teach a share, and how much it wavers, far more than the same shift teaches a rate.
SUSPICIOUS_RATE, SUSPICIOUS_SHARE = np.log(20.0), np.log(5.0)


def share_counts(counts: Counts) -> tuple[Floats, Floats]:
    """Return (n, k) : float64[m, SHARES] of rows of counts."""
    calls, scored = counts[:, CALLS], counts[:, SCORED]
    n = np.stack([calls, scored, scored, calls, scored], axis=1)
    lost = calls - counts[:, SERVED]
    k = np.stack([counts[:, FAILURES], counts[:, RARE], counts[:, RAREST], lost, counts[:, EXTREME]], axis=1)
    return n, k


def usual_shares(entities: Entities, rows: Rows) -> Floats:
    """Return float64[m, SHARES]: the learned shares, drawn to the prior while little is known."""
    n, k = entities["share_n"][rows], entities["share_k"][rows]
    shares: Floats = (k + _PRIOR_SHARE * _PRIOR_COUNT) / (n + _PRIOR_COUNT)
    return shares


def upper(count: Floats, mean: Floats, variance: Floats) -> Floats:
    """P(X >= count), any shape."""
    return _tails(count, mean, variance, True)


def lower(count: Floats, mean: Floats, variance: Floats) -> Floats:
    """P(X <= count), any shape."""
    return _tails(count, mean, variance, False)


def _tails(count: Floats, mean: Floats, variance: Floats, above: bool) -> Floats:
    found = np.empty(count.size)
    counts, means, variances = (
        np.ascontiguousarray(array, np.float64).reshape(-1) for array in (count, mean, variance)
    )
    count_tails(counts, means, variances, above, found)
    return found.reshape(count.shape)


def share_rho(entities: Entities, rows: Rows) -> Floats:
    """float64[m, SHARES]: overdispersion, as the intraclass correlation of a beta-binomial count."""
    extra = entities["share_z"][rows] - entities["share_one"][rows]
    rho: Floats = (extra + _PRIOR_RHO * _PRIOR_SIZE) / (entities["share_size"][rows] + _PRIOR_SIZE)
    return np.clip(rho, _RHO_MIN, 0.5)


def _bounded(border: Floats) -> Floats:
    """Shares that are usual up to nearly all are usual up to all."""
    found: Floats = np.where(border > _SHARE_MAX, 1.0, border)
    return found


def own_borders(entities: Entities, rows: Rows, config: DetectionConfig) -> Floats:
    """float64[m, SHARES]: the largest shares that are as usual, by an entity's own history."""
    late, late_add = config.latency_ratio, config.latency_add
    ratio = np.array([config.error_ratio, late, late, config.lost_ratio, late])
    add = np.array([config.error_add, *late_add[:2], config.lost_add, late_add[2]])
    border: Floats = usual_shares(entities, rows) * ratio + add
    # The share of the rarest rests on a handful of hits: a standard error more may be usual, too.
    n, k = entities["share_n"][rows, FARTHEST], entities["share_k"][rows, FARTHEST]
    border[:, FARTHEST] += np.sqrt(k + 1.0) / (n + _PRIOR_COUNT)
    return _bounded(border)


def sibling_borders(entities: Entities, rows: Rows, config: DetectionConfig, used: int) -> tuple[Floats, Floats]:
    """Return (border, calls it rests on), float64[m, SHARES], by the other instances of a service; nan without any.

    Siblings are looked at over the last minutes and in their open windows: whichever share is larger, so that what
    befalls all of them is not held against the first to close its window.
    """
    group = entities.group[:used]
    held = np.flatnonzero(group >= 0)
    sums = np.zeros((4, used, SHARES))
    parts = (
        entities["near_n"][:used],
        entities["near_k"][:used],
        *share_counts(entities["wait_counts"][:used]),
    )
    for place, part in enumerate(parts):
        for column in range(SHARES):
            sums[place, :, column] = np.bincount(group[held], weights=part[held, column], minlength=used)[:used]
    mine = group[rows]
    others = np.maximum(np.stack([sums[place][mine] - part[rows] for place, part in enumerate(parts)]), 0.0)
    lately = (others[1] + _PRIOR_SHARE * _PRIOR_COUNT) / (others[0] + _PRIOR_COUNT)
    now = (others[3] + _PRIOR_SHARE * _PRIOR_COUNT) / (others[2] + _PRIOR_COUNT)
    border = _bounded(np.maximum(lately, now) * config.sibling_ratio + config.sibling_add)
    known = others[0] + others[2]
    return np.where((known >= _PRIOR_COUNT) & (mine >= 0)[:, None], border, np.nan), known


def share_moments(entities: Entities, rows: Rows, n: Floats, border: Floats, known: Floats) -> tuple[Floats, Floats]:
    """Mean and variance of the hits among n calls at the border; nan where n is 0.

    known : float64[m, SHARES]
        Calls the border rests on; it is itself no more certain than that.
    """
    mean = np.where(n > 0, n * border, np.nan)
    variance = mean * (1 - border) * (1 + np.maximum(n - 1, 0) * share_rho(entities, rows))
    return mean, variance * (1 + n / np.maximum(known, 1.0))


def likelihood_ratio(count: Floats, mean: Floats, variance: Floats, factor: float | Floats) -> Floats:
    """Log likelihood ratio of a mean `factor` times as large, both negative binomial of the same shape.

    An e-value for "the mean is at most (factor > 1) or at least (factor < 1) this". Where counts are small a tail
    probability says little, for it is large or tiny and nothing between: this ratio takes what little there is.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        shape = np.where(variance > 1.001 * mean, mean * mean / (variance - mean), 1e3 * mean)
        gain: Floats = count * np.log(factor) - (count + shape) * np.log1p(mean * (factor - 1.0) / (shape + mean))
    return np.where(mean > 0, gain, np.nan)


def rate_variance(entities: Entities, rows: Rows, mean: Floats) -> Floats:
    """Variance of the calls of a window: negative binomial, and what is not known of the rate itself."""
    extra = entities["rate_z"][rows] - entities["rate_one"][rows]
    phi = (extra + _PRIOR_PHI * _PRIOR_CALLS) / (entities["rate_size"][rows] + _PRIOR_CALLS)
    phi = np.clip(phi, _PHI_MIN, 10.0)
    behind = np.maximum(entities["rate_sum"][rows], entities["ratio_calls"][rows])
    unsure = 1.0 / np.maximum(behind, 1.0)
    variance: Floats = mean + (phi + unsure) * mean * mean
    return variance


def learn_shares(
    entities: Entities, rows: Rows, n: Floats, k: Floats, weight: Floats, ticks: Floats, config: DetectionConfig
) -> None:
    """Take closed windows into the shares and their dispersion; `weight` : float64[m, SHARES]."""
    share = usual_shares(entities, rows)
    rho = share_rho(entities, rows)
    size = np.maximum(n - 1, 0.0)
    noise = np.maximum(n * share * (1 - share), 1e-9)
    z2 = np.minimum((k - n * share) ** 2 / noise, _Z2_MAX * (1 + size * rho))
    known = weight * (n > 0) * (entities["share_n"][rows] >= _PRIOR_COUNT)
    # What teaches less lets less time pass, too: or a long alarm would outweigh what was before it.
    kept = 0.5 ** (weight * ticks[:, None] * config.tick_s / config.share_half_life_s)
    for name, gain in (
        ("share_n", weight * n),
        ("share_k", weight * k),
        ("share_z", known * z2),
        ("share_one", known),
        ("share_size", known * size),
    ):
        entities[name][rows] = entities[name][rows] * kept + gain
    near = 0.5 ** (ticks[:, None] * config.tick_s / config.sibling_half_life_s)
    entities["near_n"][rows] = entities["near_n"][rows] * near + n
    entities["near_k"][rows] = entities["near_k"][rows] * near + k


def learn_rates(
    entities: Entities,
    rows: Rows,
    calls: Floats,
    expected: Floats,
    weight: Floats,
    ticks: Floats,
    season: Floats,
    config: DetectionConfig,
) -> None:
    """Take closed windows into the rates and their dispersion. `season` : sum over the ticks of a window."""
    per_tick = entities["rate_sum"][rows] / np.maximum(entities["rate_ticks"][rows], 1e-9)
    stretch_s = config.rate_count / np.maximum(per_tick, 1e-6) * config.tick_s
    half_life_s = np.clip(stretch_s, config.rate_half_life_s, config.share_half_life_s)
    kept = 0.5 ** (weight * ticks * config.tick_s / half_life_s)
    for name, gain in (("rate_sum", calls), ("rate_ticks", ticks), ("rate_season", season)):
        entities[name][rows] = entities[name][rows] * kept + weight * gain
    mean = np.maximum(expected, 1e-9)
    variance = rate_variance(entities, rows, mean)
    z2 = np.minimum((calls - expected) ** 2 / mean, _Z2_MAX * variance / mean)
    known = weight * ((expected > 0) & (entities["age_ticks"][rows] * config.tick_s >= config.cold_s))
    slow = 0.5 ** (weight * ticks * config.tick_s / config.share_half_life_s)
    for name, gain in (("ratio_calls", calls), ("ratio_asked", entities["wait_asked"][rows])):
        entities[name][rows] = entities[name][rows] * slow + weight * gain
    for name, gain in (("rate_z", known * z2), ("rate_one", known), ("rate_size", known * mean)):
        entities[name][rows] = entities[name][rows] * slow + gain


def taught(p: Floats, standing: Floats, suspicious_e: float, config: DetectionConfig) -> Floats:
    """How much a window teaches: less when it is far out of the usual, or when evidence (log e) stands against it."""
    suspicious = (standing > suspicious_e) | (p < _SUSPICIOUS_P)  # nan compares as False
    return np.where(suspicious, config.contamination_weight, 1.0)
