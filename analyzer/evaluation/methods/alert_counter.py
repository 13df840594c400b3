"""Alert counter: who has most spans that would ring: failed, or slower than mean plus three spreads."""

from __future__ import annotations

import numpy as np

from analyzer.evaluation.methods.columns import Bools, duration_ms, ranked, table_size, usual
from analyzer.evaluation.words import Scores
from analyzer.incidents.facts import TraceFacts
from analyzer.spans import Vocabulary

SPREADS = 3.0
REFERENCE_MIN = 2


def rank(reference: TraceFacts, window: TraceFacts, vocabulary: Vocabulary) -> Scores:
    """Rank services by their number of alerts; without one nobody is named."""
    alerts = alerting(reference, window)
    size = table_size(reference.service, window.service)
    count = np.bincount(window.service[alerts], minlength=size).astype(np.float64)
    return ranked(count, count > 0, vocabulary)


def alerting(reference: TraceFacts, window: TraceFacts) -> Bools:
    """bool[n]: spans of the window that are failed, or slow against their operation."""
    size = table_size(reference.operation, window.operation)
    before = usual(reference.operation, duration_ms(reference), size)
    limit = np.where(before.count >= REFERENCE_MIN, before.mean + SPREADS * before.floored, np.inf)
    found: Bools = window.failed | (duration_ms(window) > limit[window.operation])
    return found
