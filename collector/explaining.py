"""Traces told in brief, explained when somebody asks for them, and kept so.

In: the name of a trace. Out: its answer, as whoever asks next finds it too. What an error is blamed on rests on what
was learned by then, and so does its group: explained anew for each who asks, one trace could change its group between
two questions, and nobody would count it there. So the engine does it, once, and opens the groups it names. Words for
who asks have a share of their own, behind which whoever asks has to do without the engine (`ExplainingStore`).
"""

from __future__ import annotations

from collections import OrderedDict

import numpy as np

from analyzer.findings import NOT_EXPLAINED, Answer
from analyzer.spans import TraceBatch
from collector.allowance import Allowance
from collector.contracts import StoredTrace
from collector.desk import Desk, PipelineCounts
from collector.trace_names import name_in

ASKED_SHARE = 0.05  # of the engine's time: some fifteen a second, many for people, few for who asks for all
KEPT_MAX = 16_384  # revisions remembered; assembly forgets a trace sooner than so many were asked for


class OnRequest:
    """Explains what was told in brief. Owner: the engine's thread."""

    def __init__(self, desk: Desk, counts: PipelineCounts) -> None:
        self._desk, self._counts = desk, counts
        self._allowance = Allowance(ASKED_SHARE, desk.clock.monotonic_ns())
        self._kept: OrderedDict[bytes, int] = OrderedDict()  # name of a trace -> revision it was kept as

    def explain(self, name: bytes) -> Answer | None:
        """Explain a stored trace and keep that; None: its spans are not stored, or there is no time left."""
        clock = self._desk.clock
        began = clock.monotonic_ns()
        if not self._allowance.is_left(began):
            self._counts.refused_asks += 1
            return None
        try:
            return self._explained(name)
        finally:
            self._allowance.spend(clock.monotonic_ns() - began)

    def _explained(self, name: bytes) -> Answer | None:
        desk = self._desk
        found = desk.find(name)
        if found.answer is None or found.answer.status_reason != NOT_EXPLAINED:
            return found.answer
        traces = desk.reread(found)
        if traces is None:
            return None
        explained = desk.analyzer.explain_errors(desk.analyzer.analyse(traces), 0)
        if explained.answer.verdict == "none":
            return None  # usual by now; what was found then stays on the shelf
        if desk.groups is not None:
            desk.groups.open(explained)
        self._counts.asked_traces += 1
        desk.shelf.put([StoredTrace(name, explained.answer, found.trace_otlp, found.logs_otlp)], (), (), ())
        self._kept[name] = explained.answer.revision
        self._kept.move_to_end(name)
        if len(self._kept) > KEPT_MAX:
            self._kept.popitem(last=False)
            self._counts.evicted_asks += 1
        return explained.answer

    def __len__(self) -> int:
        return len(self._kept)

    def renumber(self, traces: TraceBatch) -> None:
        """Let revisions follow what was kept on request: assembly knows nothing of it; the shelf takes higher ones."""
        reopened = np.flatnonzero(traces.revisions > 1) if self._kept else ()
        for index in map(int, reopened):
            name = name_in(traces, index)
            if (kept := self._kept.get(name)) is not None:
                traces.revisions[index] = self._kept[name] = max(int(traces.revisions[index]), kept + 1)
