"""SimpleRCA: rules over the golden signals of each service; the one that breaks most of them.

Signals of each operation against the fault-free window: typical and tail latency, failed share, traffic (spans per
trace, gone, new). Every broken rule is one alert; how far the worst is off breaks ties.
Source: the rule-based baseline of Fang et al., FSE 2026 (fault-propagation-aware benchmark), restated for spans.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from analyzer.evaluation.methods.columns import (
    Floats,
    duration_ms,
    ranked,
    service_of,
    share,
    table_size,
    usual,
)
from analyzer.evaluation.words import Scores
from analyzer.incidents.facts import TraceFacts
from analyzer.spans import Vocabulary

OBSERVED_MIN = 10  # spans of an operation without which no rule is asked
SPREADS = 3.0
TYPICAL_FACTOR, TAIL_FACTOR = 1.5, 1.5  # of the mean, of the 95th percentile
TRAFFIC_FACTOR = 2.0
ERROR_STEP = 0.01
TAIL = 0.95


def rank(reference: TraceFacts, window: TraceFacts, vocabulary: Vocabulary) -> Scores:
    """Rank services by their number of broken rules; without one nobody is named."""
    size = table_size(reference.operation, window.operation)
    before = usual(reference.operation, duration_ms(reference), size)
    after = usual(window.operation, duration_ms(window), size)
    known = (before.count >= OBSERVED_MIN) & (after.count >= OBSERVED_MIN)
    typical = _ratio(after.mean, before.mean)
    tail = _ratio(quantiles(window, size), quantiles(reference, size))
    failed = share(reference.operation, reference.failed, size), share(window.operation, window.failed, size)
    error_limit = failed[0] + np.maximum(
        ERROR_STEP, SPREADS * np.sqrt(failed[0] * (1.0 - failed[0]) / (after.count + 1))
    )
    calls_before = before.count / max(reference.trace_count, 1)
    calls_after = after.count / max(window.trace_count, 1)
    expected = calls_before * window.trace_count
    traffic = np.maximum(_ratio(calls_after, calls_before), _ratio(calls_before, calls_after))
    asked = (expected >= OBSERVED_MIN) | (after.count >= OBSERVED_MIN)
    rules = [
        (known & (typical > TYPICAL_FACTOR), typical),
        (known & (tail > TAIL_FACTOR), tail),
        ((after.count >= OBSERVED_MIN) & (failed[1] > error_limit), failed[1] / failed[0]),
        (asked & (traffic > TRAFFIC_FACTOR), traffic),
    ]
    services = table_size(reference.service, window.service)
    owner = service_of(size, reference, window)
    alerts, worst = np.zeros(services), np.ones(services)
    for broken, severity in rules:
        np.add.at(alerts, owner[broken], 1.0)
        np.maximum.at(worst, owner[broken], severity[broken])
    return ranked(alerts + 1.0 - 1.0 / worst, alerts > 0, vocabulary)


def quantiles(facts: TraceFacts, size: int) -> Floats:
    """float64[operations]: the 95th percentile of duration, milliseconds; 0 without spans."""
    found = np.zeros(size)
    if not len(facts):
        return found
    order = np.lexsort((facts.duration_ns, facts.operation))
    count = np.bincount(facts.operation, minlength=size)
    first: npt.NDArray[np.int64] = np.cumsum(count) - count
    seen = np.flatnonzero(count)
    place = first[seen] + np.ceil(TAIL * count[seen]).astype(np.int64) - 1
    found[seen] = duration_ms(facts)[order][place]
    return found


def _ratio(top: Floats, bottom: Floats) -> Floats:
    """Like top / bottom, large but finite when only the bottom is 0, 1 when both are."""
    small = 1e-3
    found: Floats = (top + small) / (bottom + small)
    return found
