"""Rankings and labels -> accuracy, with strict ranks, intervals and a test against the next best.

In: one `CaseResult` a case. Out: plain dictionaries, ready for JSON. A tie counts against the method: a root that
shares its score stands last of those who share it. Nothing here is random without a seed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from analyzer.evaluation.words import Ranked, Scores

RESAMPLES = 2000
INTERVAL = (0.025, 0.975)
KS = (1, 3, 5)
AVERAGED_KS = 5  # Avg@5 is the mean of AC@1 to AC@5
MEASURES = ("ac@1", "ac@3", "ac@5", "avg@5", "mrr")


@dataclass(frozen=True, slots=True)
class Label:
    """What is known of a case. For scoring only.

    roots : services that were broken; empty: nothing was (a true negative)
    """

    case_id: str
    fault_type: str
    roots: tuple[str, ...]
    system: str = ""


@dataclass(frozen=True, slots=True)
class CaseResult:
    """What one method said of one case."""

    label: Label
    ranked: Ranked
    seconds: float
    span_count: int
    root_loudest: bool = False
    root_seen: bool = True  # a root has spans in one of the windows
    notes: tuple[str, ...] = ()
    failure: str = ""  # what the method broke on; its ranking is empty then

    @property
    def rank(self) -> int | None:
        """Strict rank of the best root; None: not listed, or there is none."""
        return strict_rank(self.ranked.services, self.label.roots)

    @property
    def all_first(self) -> bool:
        """All n roots stand in the first n places."""
        return all_roots_first(self.ranked.services, self.label.roots)


def best_scores(scores: Scores) -> dict[str, float]:
    """Return the best score of each service; not a number counts as the worst."""
    found: dict[str, float] = {}
    for service, score in scores:
        value = -math.inf if math.isnan(score) else float(score)
        found[service] = max(value, found.get(service, -math.inf))
    return found


def strict_rank(scores: Scores, roots: Sequence[str]) -> int | None:
    """Place of the best root, from 1, with every tie counted against it.

    Parameters
    ----------
    scores : (service, score) in any order
    roots : the right services; one of them is enough

    Returns
    -------
    int or None
        None when no root is listed.

    Examples
    --------
    >>> strict_rank([("a", 2.0), ("b", 1.0), ("c", 1.0)], ["b"])
    3
    """
    found = best_scores(scores)
    listed = [found[root] for root in roots if root in found]
    if not listed:
        return None
    best = max(listed)
    return 1 + sum(score >= best for service, score in found.items() if service not in roots)


def all_roots_first(scores: Scores, roots: Sequence[str]) -> bool:
    """Whether every root scores more than every other service."""
    found = best_scores(scores)
    if not roots or any(root not in found for root in roots):
        return False
    worst = min(found[root] for root in roots)
    return not any(score >= worst for service, score in found.items() if service not in roots)


def summarise(results: Sequence[CaseResult], seed: int = 0) -> dict[str, Any]:
    """Score one method over its cases.

    Parameters
    ----------
    results : one a case; cases without a root are reported apart
    seed : of the bootstrap over cases

    Returns
    -------
    dict
        `ac@1`, `ac@3`, `ac@5`, `avg@5`, `mrr`, `all@n` (None without cases); `interval` (95 %); the same by fault type,
        by system, by whether the root was the loudest, of cases with several roots and of those whose root has no
        span; `abstained`, `false_blame` (share named and wrong), `true_negatives`, `failed_cases`; what ranking alone
        costs, reading and measuring left out; `cases`.
    """
    with_root = [result for result in results if result.label.roots]
    without = [result for result in results if not result.label.roots]
    span_count = sum(result.span_count for result in results)
    seconds = sum(result.seconds for result in results)
    answered = [result for result in with_root if result.ranked.names_one]
    wrong = [result for result in answered if result.rank != 1]
    return {
        **score(with_root),
        "interval": intervals(with_root, seed),
        "by_fault_type": _split(with_root, lambda result: result.label.fault_type),
        "by_system": _split(with_root, lambda result: result.label.system),
        "root_loudest": score([result for result in with_root if result.root_loudest]),
        "root_not_loudest": score([result for result in with_root if not result.root_loudest]),
        "several_roots": score([result for result in with_root if len(result.label.roots) > 1]),
        "root_not_seen": score([result for result in with_root if not result.root_seen]),
        "abstained": len(with_root) - len(answered),
        "false_blame": len(wrong) / len(with_root) if with_root else None,
        "true_negatives": {
            "case_count": len(without),
            "false_alarms": sum(result.ranked.names_one for result in without),
        },
        "failed_cases": sum(bool(result.failure) for result in results),
        "seconds_per_case": seconds / len(results) if results else None,
        "ns_per_span": 1e9 * seconds / span_count if span_count else None,
        "cases": [_row(result) for result in results],
    }


def score(results: Sequence[CaseResult]) -> dict[str, Any]:
    """Return the measures over some cases with roots; None each when there are none."""
    table = _measures(results)
    means = table.mean(axis=1) if table.shape[1] else [None] * len(table)
    found: dict[str, Any] = {"case_count": len(results)}
    found |= {name: None if value is None else float(value) for name, value in zip(MEASURES, means, strict=True)}
    found["all@n"] = sum(result.all_first for result in results) / len(results) if results else None
    return found


def intervals(results: Sequence[CaseResult], seed: int, resamples: int = RESAMPLES) -> dict[str, list[float] | None]:
    """95 % percentile bootstrap over cases, of each measure.

    Source: Efron and Tibshirani, An Introduction to the Bootstrap, ch. 13.
    """
    table = _measures(results)
    count = table.shape[1]
    if not count:
        return dict.fromkeys(MEASURES)
    drawn = np.random.default_rng(seed).integers(0, count, (resamples, count))
    low, high = np.quantile(table[:, drawn].mean(axis=2), INTERVAL, axis=1)
    return {name: [float(low[i]), float(high[i])] for i, name in enumerate(MEASURES)}


def chance(results: Sequence[CaseResult]) -> dict[str, float | None]:
    """Expected AC@1, AC@3, AC@5 of a random order of the services that a method lists; exact, nothing is drawn.

    Examples
    --------
    Of 4 services one is the root: 1/4, 3/4, 1.
    """
    sizes = []
    for result in results:
        if result.label.roots:
            listed = set(best_scores(result.ranked.services))
            sizes.append((len(listed), len(listed.intersection(result.label.roots))))
    missed = {k: [math.comb(n - r, k) / math.comb(n, k) if k <= n else float(not r) for n, r in sizes] for k in KS}
    return {f"ac@{k}": 1.0 - sum(missed[k]) / len(sizes) if sizes else None for k in KS}


def mcnemar(first: Sequence[CaseResult], second: Sequence[CaseResult]) -> dict[str, Any]:
    """Exact McNemar test of AC@1: two methods over the same cases, in the same order.

    Returns
    -------
    dict
        `only_this`, `only_other`: cases that one alone got right; `p_value`: two-sided.

    Raises
    ------
    ValueError
        When the cases are not the same.

    Source: McNemar 1947, Psychometrika 12; the exact binomial form.
    """
    if [result.label.case_id for result in first] != [result.label.case_id for result in second]:
        raise ValueError("two methods were scored over different cases; expected the same cases in the same order")
    pairs = [(a.rank == 1, b.rank == 1) for a, b in zip(first, second, strict=True) if a.label.roots]
    only_this = sum(mine and not other for mine, other in pairs)
    only_other = sum(other and not mine for mine, other in pairs)
    differing = only_this + only_other
    tail = sum(math.comb(differing, k) for k in range(min(only_this, only_other) + 1))
    return {"only_this": only_this, "only_other": only_other, "p_value": min(1.0, 2.0 * tail / 2**differing)}


def _measures(results: Sequence[CaseResult]) -> npt.NDArray[np.float64]:
    """float64[measure, case]."""
    rank = np.array([math.inf if result.rank is None else result.rank for result in results], np.float64)
    within = [rank <= k for k in range(1, AVERAGED_KS + 1)]
    rows = [*(rank <= k for k in KS), np.mean(within, axis=0), 1.0 / rank]
    return np.array(rows, np.float64).reshape(len(MEASURES), len(results))


def _split(results: Sequence[CaseResult], key: Callable[[CaseResult], str]) -> dict[str, dict[str, Any]]:
    groups: dict[str, list[CaseResult]] = {}
    for result in results:
        groups.setdefault(key(result), []).append(result)
    return {name: score(groups[name]) for name in sorted(groups)}


def _row(result: CaseResult) -> dict[str, Any]:
    ranked = result.ranked
    row: dict[str, Any] = {
        "case_id": result.label.case_id,
        "system": result.label.system,
        "fault_type": result.label.fault_type,
        "root_cause_services": list(result.label.roots),
        "ranking": [service for service, _ in ranked.services],
        "scores": [None if not math.isfinite(value) else float(value) for _, value in ranked.services],
        "rank": result.rank,
        "all@n": result.all_first,
        "root_loudest": result.root_loudest,
        "root_seen": result.root_seen,
        "insufficient": ranked.insufficient,
        "seconds": result.seconds,
        "span_count": result.span_count,
        "notes": list(result.notes),
    }
    if result.failure:
        row["failure"] = result.failure
    if ranked.probability is not None:
        row["probability"] = ranked.probability
    if ranked.candidate_set is not None:
        row["candidate_set"] = list(ranked.candidate_set)
    return row
