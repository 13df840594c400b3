"""How unusual the closed windows of some entities are.

In: their counts, what is usual of them. Out: p-values and likelihood ratios per stream. Never decides or learns.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analyzer.detection import history
from analyzer.detection.config import DetectionConfig
from analyzer.detection.entities import BET_STREAM, BETS, DOWN, ERRORS, LATENCY, LOST, SHARES, STREAMS, UP, Entities
from analyzer.kernels.detection import CALLS, EDGE, INNER, INSTANCE, OPERATION

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.intp]

MORE, GONE = 2.5, 0.3  # what a likelihood ratio bets on: so many times the border of the usual
_RARE, _FAR_MORE = 0.01, 10.0  # a bet more where next to nothing fails: a few failures are many times the usual
_LATE = [history.SLOW, history.SLOWEST, history.FARTHEST]  # all three speak of latency
# Share and factor of the bets on shares, in the order of `BET_STREAM`. A few calls that take very long hardly move the
# share of the rare ones, but they do that of the rarest.
_ON_SHARES = (
    (history.FAILED, MORE),
    (history.FAILED, _FAR_MORE),
    (history.SLOW, MORE),
    (history.SLOWEST, MORE),
    (history.FARTHEST, MORE),
    (history.FARTHEST, _FAR_MORE),
    (history.UNSERVED, MORE),
)
SHARE_OF = {ERRORS: history.FAILED, LATENCY: history.SLOW, LOST: history.UNSERVED}
_KIND = np.uint64(62)
_FACTORS_UP, _FACTORS_DOWN = (1.3, 6.0), (0.1, 0.77)
_EDGE_MORE, _EDGE_GONE = 1.4, 0.75  # of edges, which are no less usual than their callers: small changes count
_OVERRATED = (2.0, 1.3)  # who has just raised an alarm looks worse than it is: of rises, of falls
_COUNT_OF_SHARE = [0, 1, 1, 0, 1]  # calls or scored times, of the shares


@dataclass(frozen=True, slots=True)
class Seen:
    """m windows, closed.

    p : float64[m, STREAMS]       against "as usual, or nearly so"; nan: nothing to compare
    ratio : float64[m, BETS]      log likelihood ratio of a change to the border of the usual; nan alike
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
    edge = kind == EDGE
    enough = np.full((len(rows), SHARES), config.cold_count)
    enough[np.ix_(edge, _LATE)] = config.cold_times
    warm = old[:, None] & (entities["total"][rows][:, _COUNT_OF_SHARE] >= enough)
    border, known = _borders(entities, rows, kind, warm, config)
    mean, variance = history.share_moments(entities, rows, n, border, known)
    shares = history.upper(k, mean, variance)
    p, ratio, still = (np.full((len(rows), width), np.nan) for width in (STREAMS, BETS, STREAMS))
    seen = Seen(p, ratio, still, shares)
    seen.p[:, ERRORS] = shares[:, history.FAILED]
    seen.p[:, LATENCY] = np.minimum(1.0, len(_LATE) * shares[:, _LATE].min(axis=1))
    seen.p[:, LOST] = shares[:, history.UNSERVED]
    alarmed = entities["alarmed"][rows] > 0
    middle = np.where((kind == INSTANCE)[:, None], border / config.sibling_ratio, history.usual_shares(entities, rows))
    for stream, share in SHARE_OF.items():
        hits, usual = k[:, share], np.where(np.isnan(border[:, share]), np.nan, n[:, share] * middle[:, share])
        _compare(entities, seen, rows, stream, hits, usual, usual * variance[:, share] / mean[:, share], alarmed)
    for bet, (share, factor) in enumerate(_ON_SHARES):
        most = np.where(border[:, share] < _RARE, factor, MORE)
        seen.ratio[:, bet] = history.likelihood_ratio(k[:, share], mean[:, share], variance[:, share], most)
        seen.ratio[border[:, share] * MORE >= 1.0, bet] = np.nan  # a share cannot be more than one
    whole = entities["wait_looked"][rows] == entities["wait_ticks"][rows]
    calls = counts[:, CALLS]
    enough = entities["total"][rows, CALLS] >= np.where(edge, config.cold_calls, config.cold_count)
    rated = (kind != INSTANCE) & ~is_within(entities.keys[rows]) & old & enough
    expected = np.where(rated & whole, entities["wait_expected"][rows], np.nan)
    expected = np.where(expected > 0, expected, np.nan)
    mixed = np.exp(entities["wait_mix"][rows])
    near = np.where(edge, config.edge_ratio * mixed, config.rate_ratio)
    more, gone = np.where(edge, _EDGE_MORE, MORE), np.where(edge, _EDGE_GONE, GONE)
    for stream, mean_calls in ((UP, expected * near), (DOWN, expected / near)):
        spread = history.rate_variance(entities, rows, mean_calls)
        tails = history.upper if stream == UP else history.lower
        seen.p[:, stream] = tails(calls, mean_calls, spread)
        factors = more if stream == UP else gone
        seen.ratio[:, BET_STREAM.index(stream)] = history.likelihood_ratio(calls, mean_calls, spread, factors)
        spread = history.rate_variance(entities, rows, expected)
        _compare(entities, seen, rows, stream, calls, expected, spread, alarmed)
    # A window that closed early was chosen for its many calls: as many looks as it has ticks, and no sign of few.
    early = entities["wait_ticks"][rows] < entities["due"][rows]
    seen.p[early, UP] = np.minimum(1.0, seen.p[early, UP] * entities["due"][rows][early])
    seen.p[early, DOWN] = np.where(np.isnan(seen.p[early, DOWN]), np.nan, 1.0)
    return seen


def is_within(keys: npt.NDArray[np.uint64]) -> npt.NDArray[np.bool_]:
    """bool[m]: operations within traces, and calls they usually make; how often, is told by the edges."""
    found: npt.NDArray[np.bool_] = (keys >> _KIND == OPERATION) & (keys >> np.uint64(31) != OPERATION << 31)
    return found


def is_call(keys: npt.NDArray[np.uint64]) -> npt.NDArray[np.bool_]:
    """bool[m]: calls that an operation usually makes, of which only the absence is told."""
    found: npt.NDArray[np.bool_] = is_within(keys) & (keys >> np.uint64(31) != ((OPERATION << 62) | INNER) >> 31)
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
        beside[young, history.FARTHEST] = np.nan
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
