"""Many traces at a glance: what changed, who began, what wears out, which slice goes wrong.

In: `TraceFacts` of a file or of some time. Out: `Overview`. Puts the rooms for changes, cascades and slices to work on
the same traces; has no rules of its own but when the trouble began.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from analyzer.errors.breakers import Condition, conditions_of
from analyzer.errors.cascade import Cascade, find_cascades
from analyzer.errors.change_requests import judge_deployments
from analyzer.errors.change_tests import onset_range
from analyzer.errors.change_words import Change, ChangeEffect
from analyzer.errors.edge_sums import sum_edges
from analyzer.errors.slices import Slice, find_slices
from analyzer.incidents.facts import TraceFacts
from analyzer.spans import Vocabulary

WINDOWS = 30  # that the time of the traces is cut into
TRACES_MIN = 20  # fewer have no trend
SLICED_MAX = 20_000  # traces that slices are looked for in, evenly taken: 50,000 of 100 attributes took 9 s
SERVICES_MAX = 40  # whose versions, instances, hosts and zones are looked at: those in most traces
_PARTS = ("version", "instance", "host", "zone")


@dataclass(frozen=True, slots=True)
class Overview:
    """What many traces say together; empty lists where there is nothing to say."""

    changes: list[tuple[Change, ChangeEffect]] = field(default_factory=list)
    cascades: list[Cascade] = field(default_factory=list)
    conditions: list[Condition] = field(default_factory=list)
    slices: list[Slice] = field(default_factory=list)

    @property
    def sentences(self) -> list[str]:
        """What is worth saying, in order of weight; safe to show."""
        told = [one.sentence for one in self.cascades]
        amplifying = {one for cascade in self.cascades for one in cascade.amplifiers}
        told += [f"{one.sentence[:1].upper()}{one.sentence[1:]}." for one in self.conditions if one not in amplifying]
        told += [effect.sentence for _, effect in self.changes if effect.verdict != "no_harm" and effect.test != "none"]
        return told + [one.sentence for one in self.slices]


def look_over(facts: TraceFacts, vocabulary: Vocabulary, others: Sequence[Change] = ()) -> Overview:
    """Look at many traces together; nothing is said of fewer than `TRACES_MIN`.

    Parameters
    ----------
    facts : TraceFacts
    vocabulary : Vocabulary
    others : sequence of Change
        Known from elsewhere.
    """
    if facts.trace_count < TRACES_MIN:
        return Overview()
    changes = judge_deployments(facts, vocabulary, others)
    some = np.arange(0, facts.trace_count, facts.trace_count // SLICED_MAX + 1)
    sliced = facts if len(some) == facts.trace_count else facts.select(some)
    slices = find_slices(_attributes(sliced, vocabulary), sliced.fatal)
    begun = facts.trace_start_ns
    window_ns = int(begun.max() - begun.min()) // WINDOWS + 1
    split = _split(facts.fatal, (begun - begun.min()) // window_ns)
    if split is None:
        return Overview(changes=changes, slices=slices)
    sums = sum_edges(facts, vocabulary, window_ns)
    # The first span of all may be older than the first trace's begin was rounded to; windows are the same length.
    split = min(split, sums.windows - 1)
    if split < 1:
        return Overview(changes=changes, slices=slices)
    conditions = conditions_of(sums, split=split)
    return Overview(changes, find_cascades(sums, split, conditions), conditions, slices)


def _split(fatal: npt.NDArray[np.bool_], window: npt.NDArray[np.int64]) -> int | None:
    """First window of the trouble; None when it was there from the beginning, or there is none."""
    if not fatal.any():
        return None
    first, _ = onset_range(fatal, np.full(len(fatal), float(fatal.mean())), window)
    return first if first > 0 else None


def _attributes(facts: TraceFacts, vocabulary: Vocabulary) -> dict[str, list[str]]:
    """Of every trace: in which version, on which instance, host and zone it met each service first."""
    trace = facts.trace.astype(np.int64)
    pairs, first = np.unique(np.stack([facts.service.astype(np.int64), trace]), axis=1, return_index=True)
    services, counts = np.unique(pairs[0], return_counts=True)
    found: dict[str, list[str]] = {}
    for service in services[np.argsort(-counts, kind="stable")][:SERVICES_MAX].tolist():
        mine = pairs[0] == service
        name = vocabulary.strings.text(service)
        resources = {
            index: vocabulary.resources.resource(index) for index in np.unique(facts.resource[first[mine]]).tolist()
        }
        if len(resources) < 2:
            continue
        met = list(zip(pairs[1][mine].tolist(), facts.resource[first[mine]].tolist(), strict=True))
        for part in _PARTS:
            if len({getattr(resource, part) for resource in resources.values()}) < 2:
                continue
            values = [""] * facts.trace_count
            for at, index in met:
                values[at] = getattr(resources[index], part)
            found[f"{name} {part}"] = values
    return found
