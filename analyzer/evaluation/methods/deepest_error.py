"""Deepest error: who has most failed spans without a failed child. What most tools do.

Where nothing says that it failed, the loudest service is taken (as the z below one error), so the method is not
judged on data that it cannot see.
"""

from __future__ import annotations

import numpy as np

from analyzer.evaluation.methods.columns import ranked
from analyzer.evaluation.methods.max_z import loudness
from analyzer.evaluation.words import Scores
from analyzer.incidents.facts import TraceFacts
from analyzer.spans import Vocabulary


def rank(reference: TraceFacts, window: TraceFacts, vocabulary: Vocabulary) -> Scores:
    """Rank services by the number of their deepest failed spans, then by how loud they are."""
    z = loudness(reference, window)
    deepest = window.failed & ~window.has_failed_child
    count = np.bincount(window.service[deepest], minlength=len(z))
    loud = np.maximum(z, 0.0)
    return ranked(count + loud / (1.0 + loud), np.isfinite(z), vocabulary)
