"""How unusual the closed windows of some entities are.

In: their counts, what is usual of them. Out: p-values and likelihood ratios per stream. Never decides or learns.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analyzer.detection import history
from analyzer.detection.config import DetectionConfig
from analyzer.detection.entities import DOWN, ERRORS, LATENCY, LOST, STREAMS, UP, Entities
from analyzer.kernels.detection import CALLS, EDGE, INNER, INSTANCE, OPERATION

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.intp]

MORE, GONE = 2.5, 0.3  # what a likelihood ratio bets on: so many times the border of the usual
_RARE, _FAR_MORE = 0.01, 10.0  # half of the bet where next to nothing fails: a few failures are many times the usual
SHARE_OF = {ERRORS: history.FAILED, LATENCY: history.SLOW, LOST: history.UNSERVED}
_KIND = np.uint64(62)
_FACTORS_UP, _FACTORS_DOWN = (1.3, 6.0), (0.1, 0.77)
_EDGE_MORE, _EDGE_GONE = 1.4, 0.75  # of edges, which are no less usual than their callers: small changes count
_OVERRATED = (2.0, 1.3)  # who has just raised an alarm looks worse than it is: of rises, of falls
_COUNT_OF_SHARE = [0, 1, 1, 0]  # calls or scored times, of the four shares


@dataclass(frozen=True, slots=True)
class Seen:
    """m windows, closed.

    p : float64[m, STREAMS]       against "as usual, or nearly so"; nan: nothing to compare
    ratio : float64[m, STREAMS]   log likelihood ratio of a change to the border of the usual; nan alike
    still : float64[m, STREAMS]   the same for streams in alarm: of "as when it was raised" to the middle of the usual
    shares : float64[m, SHARES]   p-values of the shares
    """

    p: Floats
    ratio: Floats
    still: Floats
    shares: Floats


def look(entities: Entities, rows: Rows, counts: Floats, n: Floats, k: Floats, config: DetectionConfig) -> Seen:
    """Compare the closed windows of some entities with what is usual of them, and of their siblings.

    Parameters
    ----------
    rows : intp[m]
    counts : float64[m, COLUMNS]
    n, k : float64[m, SHARES]
        Of these counts (`history.share_counts`).
    """
    kind = entities.keys[rows] >> _KIND
    old = entities["age_ticks"][rows] * config.tick_s >= config.cold_s
    warm = old[:, None] & (entities["total"][rows][:, _COUNT_OF_SHARE] >= config.cold_count)
    border, known = _borders(entities, rows, kind, warm, config)
    mean, variance = history.share_moments(entities, rows, n, border, known)
    shares = history.upper(k, mean, variance)
    p, ratio, still = (np.full((len(rows), STREAMS), np.nan) for _ in range(3))
    seen = Seen(p, ratio, still, shares)
    seen.p[:, ERRORS] = shares[:, history.FAILED]
    seen.p[:, LATENCY] = np.minimum(1.0, 2.0 * np.minimum(shares[:, history.SLOW], shares[:, history.SLOWEST]))
    seen.p[:, LOST] = shares[:, history.UNSERVED]
    alarmed = entities["alarmed"][rows] > 0
    middle = np.where((kind == INSTANCE)[:, None], border / config.sibling_ratio, history.usual_shares(entities, rows))
    for stream, share in SHARE_OF.items():
        hits, usual = k[:, share], np.where(np.isnan(border[:, share]), np.nan, n[:, share] * middle[:, share])
        seen.ratio[:, stream] = _either(hits, mean[:, share], variance[:, share], border[:, share])
        _compare(entities, seen, rows, stream, hits, usual, usual * variance[:, share] / mean[:, share], alarmed)
        seen.ratio[border[:, share] * MORE >= 1.0, stream] = np.nan  # a share cannot be more than one
    # A few calls that take very long hardly move the share of the rare ones, but they do that of the rarest.
    far = history.SLOWEST
    tail = _either(k[:, far], mean[:, far], variance[:, far], border[:, far])
    seen.ratio[:, LATENCY] = np.where(np.isnan(tail), seen.ratio[:, LATENCY], _mixed(seen.ratio[:, LATENCY], tail))
    whole = entities["wait_looked"][rows] == entities["wait_ticks"][rows]
    calls = counts[:, CALLS]
    edge = kind == EDGE
    enough = entities["total"][rows, CALLS] >= np.where(edge, config.cold_calls, config.cold_count)
    rated = (kind != INSTANCE) & ~is_inner(entities.keys[rows]) & old & enough
    expected = np.where(rated & whole, entities["wait_expected"][rows], np.nan)
    expected = np.where(expected > 0, expected, np.nan)
    mixed = np.exp(entities["wait_mix"][rows])
    near = np.where(edge, config.edge_ratio * mixed, config.rate_ratio)
    more, gone = np.where(edge, _EDGE_MORE, MORE), np.where(edge, _EDGE_GONE, GONE)
    for stream, mean_calls in ((UP, expected * near), (DOWN, expected / near)):
        spread = history.rate_variance(entities, rows, mean_calls)
        tails = history.upper if stream == UP else history.lower
        seen.p[:, stream] = tails(calls, mean_calls, spread)
        seen.ratio[:, stream] = history.likelihood_ratio(calls, mean_calls, spread, more if stream == UP else gone)
        spread = history.rate_variance(entities, rows, expected)
        _compare(entities, seen, rows, stream, calls, expected, spread, alarmed)
    # A window that closed early was chosen for its many calls: as many looks as it has ticks, and no sign of few.
    early = entities["wait_ticks"][rows] < entities["due"][rows]
    seen.p[early, UP] = np.minimum(1.0, seen.p[early, UP] * entities["due"][rows][early])
    seen.p[early, DOWN] = np.where(np.isnan(seen.p[early, DOWN]), np.nan, 1.0)
    return seen


def _either(hits: Floats, mean: Floats, variance: Floats, border: Floats) -> Floats:
    """float64[m]: log of the mean of two likelihood ratios, which is an e-value as they are."""
    more = history.likelihood_ratio(hits, mean, variance, MORE)
    far = history.likelihood_ratio(hits, mean, variance, _FAR_MORE)
    far = np.where(border < _RARE, far, more)
    return _mixed(more, far)


def _mixed(one: Floats, other: Floats) -> Floats:
    """float64[m]: log of the mean of two e-values given by their logs; nan where there is nothing to compare."""
    with np.errstate(invalid="ignore"):
        mean_of_both: Floats = np.logaddexp(one, other) - np.log(2.0)
    return mean_of_both


def is_inner(keys: npt.NDArray[np.uint64]) -> npt.NDArray[np.bool_]:
    """bool[m]: operations that are called within traces; what is asked of them is told by the edges."""
    found: npt.NDArray[np.bool_] = (keys >> np.uint64(31)) == ((OPERATION << 62) | INNER) >> 31
    return found


def _borders(
    entities: Entities, rows: Rows, kind: npt.NDArray[np.uint64], warm: npt.NDArray[np.bool_], config: DetectionConfig
) -> tuple[Floats, Floats]:
    """The largest shares that are as usual, float64[m, SHARES], and the calls they rest on; nan: nothing is known."""
    border = np.where(warm, history.own_borders(entities, rows, config), np.nan)
    known = entities["share_n"][rows]
    pods = np.flatnonzero(kind == INSTANCE)
    if len(pods):
        beside, near = history.sibling_borders(entities, rows[pods], config, entities.used)
        young = entities["age_ticks"][rows[pods]] * config.tick_s < config.warm_up_s
        beside[young, history.SLOW] = np.nan
        beside[young, history.SLOWEST] = np.nan
        # An old instance must be worse than its siblings and worse than it was itself.
        border[pods] = np.where(np.isnan(beside), np.nan, np.fmax(beside, border[pods]))
        known[pods] = near
    border[(kind != EDGE) & (kind != OPERATION), history.UNSERVED] = np.nan
    return border, known


def _compare(
    entities: Entities,
    seen: Seen,
    rows: Rows,
    stream: int,
    count: Floats,
    mean: Floats,
    variance: Floats,
    alarmed: npt.NDArray[np.bool_],
) -> None:
    """Fill the likelihood ratios that say whether the alarms of one stream go on."""
    at = np.flatnonzero(alarmed[:, stream])
    if len(at):
        factor = 1.0 + (entities["factor"][rows[at], stream] - 1.0) / _OVERRATED[stream == DOWN]
        factor = np.clip(factor, *(_FACTORS_DOWN if stream == DOWN else _FACTORS_UP))
        seen.still[at, stream] = history.likelihood_ratio(count[at], mean[at], variance[at], factor)
