"""Many traces against a baseline: what changed between the two, and where it began.

In: facts of healthy traces and of others. Out: sentences. What no single trace can show, because each is within what
was usual before, shows in all of them together; the server tells it as an incident, a file is told it here.
"""

from __future__ import annotations

import numpy as np

from analyzer.errors.overview import TRACES_MIN
from analyzer.incidents import TraceFacts
from analyzer.incidents.onset import find_onset
from analyzer.incidents.ranking import Ranking, rank_incident
from analyzer.reports.clock_text import utc
from analyzer.spans import Vocabulary


def compare(reference: TraceFacts, stream: TraceFacts, vocabulary: Vocabulary) -> list[str]:
    """Say what changed; nothing of fewer than `TRACES_MIN` traces on either side.

    Parameters
    ----------
    reference : TraceFacts
        Healthy traces.
    stream : TraceFacts
        The others, of the same vocabulary.

    Returns
    -------
    list of str
        Text of the telemetry is in them, not made safe to show.
    """
    if min(reference.trace_count, stream.trace_count) < TRACES_MIN:
        return []
    ordered = stream.select(np.argsort(stream.trace_start_ns, kind="stable"))
    onset = find_onset(reference, ordered)
    window = ordered.select(np.arange(onset.index if onset is not None else 0, ordered.trace_count))
    ranking = rank_incident(reference, window, vocabulary)
    # Without an onset some traces of many may still differ enough to name where: those are all looked at.
    when = f", from {utc(int(window.trace_start_ns.min()))} on," if onset is not None and onset.index else ""
    if not ranking.insufficient:
        return _named(ranking, when)
    if onset is None:
        return ["Against the baseline nothing stands out in all traces together."]
    return [f"Against the baseline{when} something changed, but where it began cannot be told: {ranking.next_probe}"]


def _named(ranking: Ranking, when: str) -> list[str]:
    first, *others = [one for one in ranking.suspects if one.rank == 1 or one.entity.name in ranking.roots]
    sure = "over 99 %" if ranking.probability > 0.99 else f"{100 * ranking.probability:.0f} %"
    doubt = [name for name in ranking.candidate_set if name != first.entity.name]
    instead = f", else at {' or '.join(doubt)}" if doubt else ""
    told = [f"Against the baseline{when} it began at {first.sentence} ({sure} sure{instead})"]
    return told + [f"Against the baseline{when} it also began at {one.sentence}" for one in others]
