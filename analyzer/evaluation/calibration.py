"""Is "how sure" worth its word: probabilities of the first answer against how often it was right.

In: results of a method that gives probabilities. Out: reliability bins, expected calibration error, Brier score,
coverage of the candidate set. Cases without a root are left out: there is no right answer to be sure of.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from analyzer.evaluation.metrics import CaseResult

BINS = 10  # of equal width


def calibrate(results: Sequence[CaseResult]) -> dict[str, Any] | None:
    """Compare how sure a method was with how right it was.

    Returns
    -------
    dict or None
        `ece`: mean over cases of |stated - seen| of their bin; `brier`: mean squared error; `bins` (from, to,
        case_count, stated, seen); `set_coverage`: share of cases with a root in the candidate set; `set_size`: its
        mean size. None when the method gives no probabilities.

    Source: Naeini, Cooper, Hauskrecht 2015 (expected calibration error); Brier 1950.
    """
    told = [result for result in results if result.label.roots and result.ranked.probability is not None]
    if not told:
        return None
    stated = np.clip([float(result.ranked.probability or 0.0) for result in told], 0.0, 1.0)
    seen = np.array([result.rank == 1 for result in told], np.float64)
    place = np.minimum((stated * BINS).astype(np.intp), BINS - 1)
    count = np.bincount(place, minlength=BINS)
    sums = np.bincount(place, stated, BINS), np.bincount(place, seen, BINS)
    bins = [
        {
            "from": i / BINS,
            "to": (i + 1) / BINS,
            "case_count": int(count[i]),
            "stated": float(sums[0][i] / count[i]),
            "seen": float(sums[1][i] / count[i]),
        }
        for i in np.flatnonzero(count).tolist()
    ]
    sets = [result for result in told if result.ranked.candidate_set is not None]
    held = [any(root in (result.ranked.candidate_set or ()) for root in result.label.roots) for result in sets]
    return {
        "case_count": len(told),
        "ece": float(np.abs(sums[0] - sums[1]).sum() / len(told)),
        "brier": float(np.mean((stated - seen) ** 2)),
        "bins": bins,
        "set_coverage": float(np.mean(held)) if held else None,
        "set_size": float(np.mean([len(result.ranked.candidate_set or ()) for result in sets])) if sets else None,
    }
