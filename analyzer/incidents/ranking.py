"""Which candidate is breaking the system: ranked, said with how sure, or said to be not decidable.

In: facts of a reference and of a window since the onset. Out: `Ranking`. Never sees a label; knows no names; one
set of constants for every system.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from analyzer.incident_words import Suspect
from analyzer.incidents.confidence import candidate_set, is_insufficient, probabilities
from analyzer.incidents.facts import TraceFacts
from analyzer.incidents.finer import find_finer
from analyzer.incidents.harm import Harm, measure_harm
from analyzer.incidents.suspects import bad_traces, suspect
from analyzer.spans import SpanKind, Vocabulary
from analyzer.words import shown

_SUSPECTS_MAX = 5
_ROOT_MIN = 0.2  # of the first one's harm: less is left to chance and to side effects


@dataclass(frozen=True, slots=True)
class Ranking:
    """What is breaking the system, ranked.

    services : (name, harm), worst first, every candidate once
    probability : calibrated, that the first is the cause
    insufficient : nobody should be named
    candidate_set : smallest first part of `services` that holds the cause with 90 %; empty when insufficient
    roots : independent causes, when there is more than one
    suspects : the first few in words (`rank_incident` only); examples : traces of the window that show the first
    coverage : share of calls whose other side was seen
    next_probe : where to look when it cannot be told
    """

    services: list[tuple[str, float]]
    probability: float
    insufficient: bool
    candidate_set: list[str]
    roots: list[str] = field(default_factory=list)
    suspects: list[Suspect] = field(default_factory=list)
    examples: list[int] = field(default_factory=list)
    coverage: float = 1.0
    next_probe: str | None = None


def rank_services(reference: TraceFacts, window: TraceFacts, vocabulary: Vocabulary) -> Ranking:
    """Rank the candidates of an incident by their harm.

    Parameters
    ----------
    reference, window : TraceFacts
        Healthy traces, and those since the onset, of one vocabulary.
    """
    return _ranking(measure_harm(reference, window, vocabulary), reference, window)[0]


def rank_incident(reference: TraceFacts, window: TraceFacts, vocabulary: Vocabulary) -> Ranking:
    """Rank the candidates and say why: `rank_services` with words, parts and examples."""
    harm = measure_harm(reference, window, vocabulary)
    ranking, order, chances = _ranking(harm, reference, window)
    suspects = []
    for place, candidate in enumerate(order[:_SUSPECTS_MAX]):
        if place and harm.total[candidate] < 0.05 * harm.total[order[0]]:
            break
        named = place == 0 or harm.cast.names[candidate] in ranking.roots
        finer = find_finer(reference, window, harm.cast, int(candidate), vocabulary) if named else None
        suspects.append(suspect(harm, int(candidate), place + 1, float(chances[place]), finer, vocabulary))
    return Ranking(
        services=ranking.services,
        probability=ranking.probability,
        insufficient=ranking.insufficient,
        candidate_set=ranking.candidate_set,
        roots=ranking.roots,
        suspects=suspects,
        examples=bad_traces(harm, window, int(order[0])) if len(order) else [],
        coverage=ranking.coverage,
        next_probe=_next_probe(ranking) if ranking.insufficient else None,
    )


def _ranking(
    harm: Harm, reference: TraceFacts, window: TraceFacts
) -> tuple[Ranking, npt.NDArray[np.intp], npt.NDArray[np.float64]]:
    total = harm.total
    order = np.lexsort((np.arange(len(total)), -total))
    names = [harm.cast.names[index] for index in order]
    chances = probabilities(total[order])
    insufficient = is_insufficient(total[order], chances)
    roots = [
        name
        for place, name in enumerate(names)
        if not insufficient and total[order[place]] >= _ROOT_MIN * total[order[0]]
    ]
    ranking = Ranking(
        services=[(name, float(total[index])) for name, index in zip(names, order, strict=True)],
        probability=float(chances[0]) if len(chances) else 0.0,
        insufficient=insufficient,
        candidate_set=candidate_set(names, chances, insufficient),
        roots=roots,
        coverage=_coverage(harm, window),
    )
    return ranking, order, chances


def _coverage(harm: Harm, window: TraceFacts) -> float:
    """Share of the calls to candidates that send spans whose other side was seen."""
    lines = harm.cast.window
    calls = lines.is_call & (window.kind == SpanKind.CLIENT)
    calls &= ~harm.cast.peers[np.maximum(lines.callee, 0)]
    return float((lines.remote[calls] >= 0).mean()) if calls.any() else 1.0


def _next_probe(ranking: Ranking) -> str:
    first = ", ".join(shown(name) for name, _ in ranking.services[:3])
    if ranking.coverage < 0.5:
        return f"{ranking.coverage:.0%} of calls have their other side's spans: look at metrics and logs of {first}"
    return f"nothing in the traces stands out: look at host metrics, logs and recent changes of {first} first"
