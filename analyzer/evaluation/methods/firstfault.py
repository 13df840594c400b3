"""Our own ranking, as the evaluation calls it. Loaded when it is asked for."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec

from analyzer.evaluation.words import Ranked
from analyzer.incidents.facts import TraceFacts
from analyzer.spans import Vocabulary

RANKING = "analyzer.incidents.ranking"


def available() -> bool:
    """Whether the ranking is there."""
    return find_spec(RANKING) is not None


def judge(reference: TraceFacts, window: TraceFacts, vocabulary: Vocabulary) -> Ranked:
    """Rank services, with how sure it is."""
    found = import_module(RANKING).rank_services(reference, window, vocabulary)
    return Ranked(
        services=[(str(service), float(score)) for service, score in found.services],
        probability=float(found.probability),
        insufficient=bool(found.insufficient),
        candidate_set=tuple(found.candidate_set),
    )
