"""Load that comes and goes: times of day, shifts that all entries share, callers that have more to do. No faults.

In: rates of entities, the time. Out: factors of what is to be expected. Never looks at one entity alone.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from analyzer.detection.config import DetectionConfig
from analyzer.detection.entities import ERRORS, SEASONS, Entities
from analyzer.kernels.detection import EDGE, OPERATION, SERVICE

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.intp]

PART_S = 10_800  # eight parts of a day
_DAY_S = 86_400
_PART_TICKS_MIN_S = 3600.0  # seen of a part before it is believed
_SEASON_HALF_LIFE_S = 14 * PART_S  # of each part: fourteen visits
_VOTE_CALLS = 10.0  # expected calls before an entry operation has a say
_VOTE_KEPT = 0.7
_MIX_HALF_LIFE_S = 90.0
_MIX_CALLS = 20.0  # as usual, added to what was asked lately: a mix of few calls is no news
_SHIFT = 1.2  # by so much an entry must have moved to count as moved
_SIGMAS = 3.0
_MOVED_E = np.log(100.0)
_KIND, _HIGH, _LOW = np.uint64(62), np.uint64(31), np.uint64((1 << 31) - 1)


def season_of(at_s: float) -> int:
    """Return the slot of a time (seconds since 1970, UTC): part of the day, plus eight at weekends."""
    day, second = divmod(int(at_s), _DAY_S)
    weekend = (day + 3) % 7 >= 5  # 1970-01-01 was a Thursday
    return second // PART_S + (SEASONS // 2 if weekend else 0)


def season_factors(entities: Entities, used: int, at_s: float, config: DetectionConfig) -> Floats:
    """Return float64[used]: calls expected at a time over those of an average time; 1 where nothing is known."""
    ticks = entities["season_ticks"][:used]
    seen = ticks * config.tick_s >= _PART_TICKS_MIN_S
    half = SEASONS // 2
    weekday = np.asarray(seen[:, :half].all(axis=1))
    weekend = np.asarray(seen[:, half:].all(axis=1))
    factors = np.ones(used)
    rows = np.flatnonzero(weekday | weekend)
    if not len(rows):
        return factors
    means = entities["season_sum"][rows] / np.maximum(ticks[rows], 1e-9)
    # A kind of day that was not seen whole yet is taken to be like the other.
    means[:, :half] = np.where(weekday[rows][:, None], means[:, :half], means[:, half:])
    means[:, half:] = np.where(weekend[rows][:, None], means[:, half:], means[:, :half])
    logs = np.log(np.maximum(means, 1e-3) / np.maximum(means[:, :half].mean(axis=1, keepdims=True), 1e-3))
    # Between the middles of two parts the factor is drawn straight, or every third hour would be a step.
    place = (at_s - PART_S / 2) / PART_S
    share = place - np.floor(place)
    before, after = season_of(at_s - PART_S / 2), season_of(at_s + PART_S / 2)
    factors[rows] = np.exp(np.clip((1 - share) * logs[:, before] + share * logs[:, after], -4.0, 4.0))
    return factors


def turn_seasonal(entities: Entities, used: int, factors: Floats) -> None:
    """Where factors have just become known, let the rate stand for the present time of day."""
    fresh = np.flatnonzero((factors != 1.0) & (entities["seasonal"][:used] == 0))
    entities["seasonal"][fresh] = 1.0
    entities["rate_season"][fresh] = entities["rate_ticks"][fresh] * factors[fresh]


def learn_seasons(
    entities: Entities, rows: Rows, calls: Floats, ticks: Floats, at_s: float, config: DetectionConfig
) -> None:
    """Add windows to the part of the day they lie in; only of entities with many calls."""
    busy = calls * 60.0 >= config.seasonal_per_minute_min * ticks * config.tick_s
    rows, calls, ticks = rows[busy], calls[busy], ticks[busy]
    slot = season_of(at_s)
    kept = 0.5 ** (ticks * config.tick_s / _SEASON_HALF_LIFE_S)
    entities["season_sum"][rows, slot] = entities["season_sum"][rows, slot] * kept + calls
    entities["season_ticks"][rows, slot] = entities["season_ticks"][rows, slot] * kept + ticks


def common_factor(entities: Entities, used: int, seen: Floats, expected: Floats, config: DetectionConfig) -> float:
    """Return by how much the load of all entries has moved in this tick; 1 when most have not, or when it is no load.

    Parameters
    ----------
    seen, expected : float64[used]
        Calls of the tick.

    Notes
    -----
    It is no load when an entry operation fails more than it did, or when nearly everything is gone: many silent
    entries are an outage (treating silence as less load has hidden a real freeze: algorithms.md 6).
    """
    entry = (entities.keys[:used] >> _HIGH) == OPERATION << 31  # those within traces are no entries
    entry &= (expected > 0) & (entities["age_ticks"][:used] * config.tick_s >= config.cold_s)
    rows = np.flatnonzero(entry)
    votes_seen, votes_expected = entities["vote_seen"], entities["vote_expected"]
    votes_seen[rows] = votes_seen[rows] * _VOTE_KEPT + seen[rows]
    votes_expected[rows] = votes_expected[rows] * _VOTE_KEPT + expected[rows]
    if ((entities["log_e"][rows, ERRORS] > _MOVED_E) | (entities["alarmed"][rows, ERRORS] > 0)).any():
        return 1.0
    now = expected[rows] >= _VOTE_CALLS
    seen_by = np.where(now, seen[rows], votes_seen[rows])
    expected_by = np.where(now, expected[rows], votes_expected[rows])
    voting = expected_by >= _VOTE_CALLS
    if not voting.any():
        return 1.0
    seen_by, expected_by = seen_by[voting], expected_by[voting]
    moved = np.log((seen_by + 0.5) / (expected_by + 0.5))
    shared = max(np.mean(moved > np.log(_SHIFT)), np.mean(moved < -np.log(_SHIFT)))
    sure = abs(seen_by.sum() - expected_by.sum()) > _SIGMAS * np.sqrt(expected_by.sum())
    factor = float(np.exp(np.median(moved)))
    if shared <= config.common_share or not sure or factor < config.common_ratio_min:
        return 1.0
    return min(factor, config.common_ratio_max)


def asked_factors(
    entities: Entities, used: int, seen: Floats, expected: Floats, common: float, config: DetectionConfig
) -> Floats:
    """Return by how much more or less each entity should be called in this tick than usual, float64[used].

    An edge is used as its caller is called; a service is called as the edges into it are used. So what an entry is
    asked more or less goes down with the calls and is no news of anybody below; what is left is: calls that are left
    out, repeated, or not served. Entries, and who is called without a span of the caller, go by what all entries share.

    Parameters
    ----------
    seen, expected : float64[used]
        Calls of the tick.
    common : float
        Of all entries (`common_factor`).
    """
    factors = np.full(used, common)
    keys = entities.keys[:used]
    edges = np.flatnonzero((keys != 0) & (keys >> _KIND == EDGE) & (expected > 0))
    if not len(edges):
        return factors
    ends = [((keys[edges] >> np.uint64(shift)) & _LOW) | np.uint64(SERVICE << 62) for shift in (31, 0)]
    caller, callee = (entities.find(end) for end in ends)
    told = (caller >= 0) & (expected[np.maximum(caller, 0)] > 0)
    edge, asked = edges[told], seen[caller[told]]
    entities["wait_asked"][edge] += asked
    # Calls for each call of the caller do not go with the day, so they are remembered for longer than rates are.
    calls, all_asked = entities["ratio_calls"][edge], entities["ratio_asked"][edge]
    share = calls / np.maximum(all_asked, 1e-9)
    by_rate = asked / expected[caller[told]]
    factors[edge] = np.where(calls >= config.cold_calls, share * asked / expected[edge], by_rate)
    moved = mix_moved(entities, used)
    entities["wait_mix"][edge] = np.maximum(entities["wait_mix"][edge], moved[caller[told]])
    into = callee >= 0
    used_now = np.bincount(callee[into], seen[edges[into]], used)
    usual = np.bincount(callee[into], expected[edges[into]], used)
    served = np.flatnonzero((usual > 0) & (expected > 0))
    others = np.maximum(0.0, expected[served] - usual[served])  # called by somebody who is not seen
    factors[served] = (used_now[served] + common * others) / (usual[served] + others)
    return factors


def mix_moved(entities: Entities, used: int) -> Floats:
    """Return log of the largest factor by which an operation's share of its service's calls has moved, float64[used].

    Calls of a service to another are a mean over its operations, so they cannot move further than the operation that
    moved furthest, unless an operation itself does something else.
    """
    operations = np.flatnonzero(entities.owner[:used] >= 0)
    owner = entities.owner[operations]
    now, usual = entities["mix"][operations], entities["share_n"][operations, 0]
    now_all, usual_all = np.bincount(owner, now, used)[owner], np.bincount(owner, usual, used)[owner]
    share = usual / np.maximum(usual_all, 1e-9)
    lately = (now + _MIX_CALLS * share) / (now_all + _MIX_CALLS)
    moved = np.zeros(used)
    known = (share > 0) & (lately > 0)
    np.maximum.at(moved, owner[known], np.abs(np.log(lately[known] / share[known])))
    return moved


def count_mix(entities: Entities, used: int, seen: Floats, elapsed: int, config: DetectionConfig) -> None:
    """Take the calls of a tick into what operations were asked lately."""
    kept = 0.5 ** (elapsed * config.tick_s / _MIX_HALF_LIFE_S)
    entities["mix"][:used] = entities["mix"][:used] * kept + seen
