"""Chance: every service seen, in an order drawn from the traces' ids. What any method must beat."""

from __future__ import annotations

import numpy as np

from analyzer.evaluation.methods.columns import ranked, table_size
from analyzer.evaluation.words import Scores
from analyzer.incidents.facts import TraceFacts
from analyzer.spans import Vocabulary


def rank(reference: TraceFacts, window: TraceFacts, vocabulary: Vocabulary) -> Scores:
    """Return every service of both windows in an order that has nothing to do with them."""
    size = table_size(reference.service, window.service)
    seen = np.zeros(size, bool)
    seen[reference.service] = True
    seen[window.service] = True
    seed = np.bitwise_xor.reduce(window.trace_id, axis=None) if window.trace_count else 0
    return ranked(np.random.default_rng(int(seed)).random(size), seen, vocabulary)
