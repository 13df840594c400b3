"""Is it all of a service, or one operation, instance, version, host or zone of it?

In: facts of reference and window, the cast, one candidate. Out: the finer entity that holds nearly all of its harm
while it serves much less of its work, or None. Harm of a span: its share of blame, and its own time beyond what its
operation usually takes. A part is named only when its siblings are well (algorithms 3.3, granularity).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from analyzer.incidents.cast import Cast
from analyzer.incidents.facts import TraceFacts
from analyzer.incidents.grouping import group_rows
from analyzer.spans import Resource, Vocabulary

Floats = npt.NDArray[np.float64]
Part = Literal["operation", "instance", "version", "host", "zone"]

_HARM_SHARE_MIN = 0.8
_WORK_SHARE_MAX = 0.6
_SIBLING_MAX = 0.25  # harm of a sibling's span over harm of the part's span
_SPANS_MIN = 8

# The most specific first: one bad pod of a version is a bad pod.
_PARTS: tuple[tuple[Part, Callable[[Resource], str]], ...] = (
    ("instance", lambda resource: resource.instance),
    ("version", lambda resource: resource.version),
    ("host", lambda resource: resource.host),
    ("zone", lambda resource: resource.zone),
)


@dataclass(frozen=True, slots=True)
class Finer:
    """A part of a candidate: of what kind, its name, its shares of the candidate's harm and of its spans."""

    kind: Part
    name: str
    harm_share: float
    work_share: float


def find_finer(
    reference: TraceFacts, window: TraceFacts, cast: Cast, candidate: int, vocabulary: Vocabulary
) -> Finer | None:
    """Name the part of a candidate that holds its harm; None when it is all of it, or nothing can be told."""
    mine = np.flatnonzero((cast.window.owner == candidate) & cast.window.usable)
    if len(mine) < _SPANS_MIN:
        return None
    harm = _harm(reference, window, cast, mine)
    if harm.sum() <= 0.0:
        return None
    resources, place = np.unique(window.resource[mine], return_inverse=True)
    words = [vocabulary.resources.resource(int(index)) for index in resources]
    found: list[Finer] = []
    for kind, read in _PARTS:
        names = [read(word) for word in words]
        if len(set(names)) > 1 and (part := _stands_out(names, place, harm)):
            found.append(Finer(kind, *part))
    operations, place = np.unique(window.name[mine], return_inverse=True)
    if len(operations) > 1:
        names = [vocabulary.strings.text(int(index)) for index in operations]
        if part := _stands_out(names, place, harm):
            found.append(Finer("operation", *part))
    # Of parts that hold the same harm, the one that does the least of the work says most.
    return min(found, key=lambda part: part.work_share - part.harm_share, default=None)


def _harm(reference: TraceFacts, window: TraceFacts, cast: Cast, mine: npt.NDArray[np.intp]) -> Floats:
    """float64[len(mine)]: blame, and time beyond the usual, in units of the larger of the two families."""
    blame: Floats = window.blame[mine].astype(np.float64)
    if float(blame.sum()) >= 1.0:
        return blame
    asked = np.zeros(max(int(facts.operation.max(initial=0)) for facts in (reference, window)) + 1, np.bool_)
    asked[window.operation[mine]] = True
    theirs = np.flatnonzero(asked[reference.operation] & cast.reference.usable)
    own_ns = reference.own_ns[theirs]
    groups = group_rows(reference.operation[theirs], len(asked))
    # What nearly all spans of the operation stay below, so that scatter is no harm.
    usual = np.full(len(asked), np.inf)
    for operation in np.flatnonzero(np.diff(groups.ptr)).tolist():
        times = own_ns[groups.rows(operation)]
        rank = (9 * len(times)) // 10
        usual[operation] = np.partition(times, rank)[rank]
    late: Floats = np.maximum(0.0, window.own_ns[mine] - usual[window.operation[mine]])
    return late if float(late.sum()) > 0.0 else blame


def _stands_out(names: list[str], place: npt.NDArray[np.intp], harm: Floats) -> tuple[str, float, float] | None:
    """(name, share of harm, share of work) of the part that holds the harm while its siblings are well."""
    parts = sorted(set(names))
    index = np.array([parts.index(name) for name in names])[place]
    by_part, work = np.bincount(index, harm, len(parts)), np.bincount(index, minlength=len(parts))
    worst = int(np.argmax(by_part))
    share, work_share = float(by_part[worst] / by_part.sum()), float(work[worst] / work.sum())
    others = np.delete(by_part, worst).sum() / max(1, np.delete(work, worst).sum())
    well = others <= _SIBLING_MAX * by_part[worst] / max(1, work[worst])
    if parts[worst] and share >= _HARM_SHARE_MIN and work_share < _WORK_SHARE_MAX and well:
        return parts[worst], share, work_share
    return None
