"""Which slice of the traffic goes wrong: attributes that bad traces have more often than good ones.

In: attributes of traces as codes (region, zone, tenant, version, host, device, hour), and which traces are bad. Out:
slices of one or two attributes, the one that explains most first. An attribute differs by chance all the time, so every
slice that is told passes a G-test under a bounded false discovery rate, and an effect size; a pair is told only
when it says more than each of its halves, and one slice that explains others hides them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt

from analyzer.errors.tails import chi_square_tail, discoveries
from analyzer.words import shown

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class SliceSettings:
    """What is told.

    bad_min              bad traces in a slice, at least
    false_discovery_rate over all slices that are tested
    lift_min             bad share inside against outside
    effect_min           phi coefficient of inside and bad: 0 no relation, 1 the same
    values_max           values of an attribute that are looked at, those with the most bad traces
    singles_max          single slices whose pairs are looked at (pruned: a pair without a suspicious half is not)
    pair_gain_min        a pair must have so many times the F1 of its better half
    slices_max           told
    """

    bad_min: int = 5
    false_discovery_rate: float = 0.05
    lift_min: float = 1.5
    effect_min: float = 0.1
    values_max: int = 200
    singles_max: int = 40
    pair_gain_min: float = 1.1
    slices_max: int = 5


@dataclass(frozen=True, slots=True)
class Slice:
    """A part of the traffic that goes wrong more often.

    where : (attribute, value) pairs, one or two
    bad, traces : inside;  precision : bad / traces;  recall : of all bad traces those inside;  f1 : of both
    lift : bad share inside / outside, among traces that have the attributes; infinite when outside all is well
    p : of the G-test, before the other tests are thought of;  effect : phi coefficient
    """

    where: tuple[tuple[str, str], ...]
    bad: int
    traces: int
    precision: float
    recall: float
    f1: float
    lift: float
    p: float
    effect: float
    sentence: str


def find_slices(
    attributes: Mapping[str, Sequence[str]], bad: Bools, settings: SliceSettings | None = None
) -> list[Slice]:
    """Find the slices in which traces go wrong.

    Parameters
    ----------
    attributes : mapping of name to T values
        Of every trace; empty text where a trace does not have it.
    bad : bool[T]
    settings : SliceSettings or None

    Returns
    -------
    list of Slice, the best first; empty when what goes wrong goes wrong everywhere alike

    Raises
    ------
    ValueError
        An attribute has not a value for each trace.
    """
    settings = settings or SliceSettings()
    for name, values in attributes.items():
        if len(values) != len(bad):
            raise ValueError(f"{name!r} has {len(values)} values for {len(bad)} traces; expected one each")
    coded = {name: _coded(values) for name, values in attributes.items()}
    told: list[Slice] = []
    rest = np.ones(len(bad), bool)
    for _ in range(settings.slices_max):
        best = _best(coded, bad, rest, settings)
        if best is None:
            break
        found = _judged(best, bad, coded)
        if found.lift >= settings.lift_min:
            told.append(found)
        # What still goes wrong outside of it is looked at anew: one cause in two disguises is told once.
        rest &= ~best.inside
    return told


@dataclass(frozen=True, slots=True)
class _Cell:
    """`among`: traces that have the attributes at all; who never met a service tells nothing of its hosts."""

    where: tuple[tuple[str, int], ...]
    inside: Bools
    among: Bools


def _best(
    coded: Mapping[str, tuple[list[str], Ints]], bad: Bools, rest: Bools, settings: SliceSettings
) -> _Cell | None:
    """Find the slice that explains most of what goes wrong among the traces that are left; None when none does."""
    left_bad = bad & rest
    all_bad = int(left_bad.sum())
    if all_bad < settings.bad_min or all_bad == int(rest.sum()):
        return None
    singles = [
        _Cell(((name, code),), inside, among)
        for name, (names, codes) in coded.items()
        for code, inside, among in _values(names, codes, left_bad, settings)
    ]
    singles.sort(key=lambda cell: -_f1(cell.inside & rest, left_bad))
    pairs, tried = _pairs(singles[: settings.singles_max], left_bad, rest, settings)
    every = [*singles, *pairs]
    tables = [_table(cell.inside, bad, rest & cell.among) for cell in every]
    p_values = [chi_square_tail(g_statistic(table), 1) if _lift(table) > 1.0 else 1.0 for table in tables]
    # Pairs that were tried and dropped were looks too: the best of a thousand is good by chance.
    kept = discoveries([*p_values, *([1.0] * (tried - len(pairs)))], settings.false_discovery_rate)
    real = [
        cell
        for cell, table, is_real in zip(every, tables, kept, strict=False)
        if is_real and _lift(table) >= settings.lift_min and phi(table) >= settings.effect_min
    ]
    # Of equals the one of fewer attributes.
    return min(real, key=lambda cell: (-_f1(cell.inside & rest, left_bad), len(cell.where)), default=None)


def _table(inside: Bools, bad: Bools, rest: Bools) -> npt.NDArray[np.float64]:
    """Bad and good traces inside, then outside."""
    hit, traces = int((inside & bad & rest).sum()), int((inside & rest).sum())
    missed, outside = int((bad & rest).sum()) - hit, int(rest.sum()) - traces
    return np.array([[hit, traces - hit], [missed, outside - missed]], np.float64)


def _lift(table: npt.NDArray[np.float64]) -> float:
    (hit, good), (missed, fine) = table.tolist()
    if hit + good == 0.0 or missed + fine == 0.0 or hit == 0.0:
        return 0.0
    return (hit / (hit + good)) / (missed / (missed + fine)) if missed else math.inf


def _coded(values: Sequence[str]) -> tuple[list[str], Ints]:
    names: dict[str, int] = {}
    codes = np.array([names.setdefault(value, len(names)) for value in values], np.int64)
    return list(names), codes


def _values(names: list[str], codes: Ints, bad: Bools, settings: SliceSettings) -> list[tuple[int, Bools, Bools]]:
    """Values of an attribute worth a look: said, with bad traces, and not of every trace."""
    counts = np.bincount(codes[bad], minlength=len(names))
    order = np.argsort(-counts, kind="stable")[: settings.values_max]
    chosen = [code for code in order.tolist() if names[code] and counts[code] >= settings.bad_min]
    among = codes != names.index("") if "" in names else np.ones(len(codes), bool)
    found = [(code, codes == code, among) for code in chosen]
    return [(code, inside, among) for code, inside, among in found if not inside.all()]


def _pairs(singles: list[_Cell], bad: Bools, rest: Bools, settings: SliceSettings) -> tuple[list[_Cell], int]:
    """Conjunctions of two attributes that say clearly more than the better of their halves; and how many were tried."""
    found, tried = [], 0
    for one, other in combinations(singles, 2):
        if one.where[0][0] == other.where[0][0]:
            continue
        inside = one.inside & other.inside
        if int((inside & bad).sum()) < settings.bad_min:
            continue
        tried += 1
        halves = max(_f1(one.inside & rest, bad), _f1(other.inside & rest, bad))
        if _f1(inside & rest, bad) >= settings.pair_gain_min * halves:
            found.append(_Cell((*one.where, *other.where), inside, one.among & other.among))
    return found, tried


def _f1(inside: Bools, bad: Bools) -> float:
    hit = int((inside & bad).sum())
    return 2.0 * hit / (int(inside.sum()) + int(bad.sum()))


def _judged(cell: _Cell, bad: Bools, coded: Mapping[str, tuple[list[str], Ints]]) -> Slice:
    table = _table(cell.inside, bad, cell.among)
    hit, traces = int(table[0, 0]), int(table[0].sum())
    lift, share = _lift(table), hit / traces
    where = tuple((name, coded[name][0][code]) for name, code in cell.where)
    words = " and ".join(f"{shown(name)} {shown(value)}" for name, value in where)
    times = f"{lift:.3g} times the share elsewhere" if math.isfinite(lift) else "and none elsewhere"
    sentence = f"Of {traces} traces with {words} {hit} went wrong ({share:.1%}), {times}."
    p = chi_square_tail(g_statistic(table), 1)
    recall = hit / int(bad.sum())
    return Slice(where, hit, traces, share, recall, _f1(cell.inside, bad), lift, p, phi(table), sentence)


def g_statistic(table: npt.NDArray[np.float64]) -> float:
    """Likelihood ratio of a table of counts against independence (Woolf, 1957); chi-square under it.

    With Williams' correction (1976), without which small counts look more surprising than they are.
    """
    total = table.sum()
    rows, columns = table.sum(axis=1), table.sum(axis=0)
    expected = np.outer(rows, columns) / total
    seen = table > 0
    statistic = 2.0 * float((table[seen] * np.log(table[seen] / expected[seen])).sum())
    if (rows == 0).any() or (columns == 0).any():
        return 0.0
    freedom = (len(rows) - 1) * (len(columns) - 1)
    q = (total * (1.0 / rows).sum() - 1.0) * (total * (1.0 / columns).sum() - 1.0) / (6.0 * total * freedom) + 1.0
    return statistic / float(q)


def phi(table: npt.NDArray[np.float64]) -> float:
    """Correlation of the two marks of a 2 x 2 table, -1 to 1."""
    (a, b), (c, d) = table.tolist()
    below = math.sqrt((a + b) * (c + d) * (a + c) * (b + d))
    return float((a * d - b * c) / below) if below else 0.0
