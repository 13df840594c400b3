"""Max-z: the loudest service. How many usual spreads the worst of its operations moved.

Also says which cases are easy: those in which the root is the loudest.
"""

from __future__ import annotations

import numpy as np

from analyzer.evaluation.methods.columns import (
    Floats,
    best_per_service,
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

REFERENCE_MIN = 2  # observations without which there is no spread


def rank(reference: TraceFacts, window: TraceFacts, vocabulary: Vocabulary) -> Scores:
    """Rank services by the largest z of mean duration or failed share over their operations."""
    scores = loudness(reference, window)
    return ranked(scores, np.isfinite(scores), vocabulary)


def loudness(reference: TraceFacts, window: TraceFacts) -> Floats:
    """float64[services]: the largest z of a service's operations; -inf: nothing of it in the window."""
    size = table_size(reference.operation, window.operation)
    before = usual(reference.operation, duration_ms(reference), size)
    after = usual(window.operation, duration_ms(window), size)
    known = (before.count >= REFERENCE_MIN) & (after.count > 0)
    z = np.where(known, np.abs(after.mean - before.mean) / before.floored, 0.0)
    failed_before = share(reference.operation, reference.failed, size)
    failed_after = np.bincount(window.operation, window.failed.astype(np.float64), size) / np.maximum(after.count, 1.0)
    error_z = (failed_after - failed_before) / np.sqrt(failed_before * (1.0 - failed_before))
    z = np.maximum(z, np.where(after.count > 0, error_z, 0.0))
    services = table_size(reference.service, window.service)
    present = np.flatnonzero(after.count > 0)
    return best_per_service(service_of(size, reference, window)[present], z[present], services)
