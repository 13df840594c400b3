"""Which analysed traces are put into words, and what of them goes to the shelf.

Analysing costs half a microsecond a span, explaining a trace milliseconds: whoever explains all of them
falls behind as soon as many traces fail at once, which is when answers are needed. So words have a share
of the engine's time: `EXPLAIN_SHARE`, and `HURRIED_SHARE` while requests wait. What comes beyond it is told
in brief, to the backend too (what was found; where it began is worked out when somebody asks, from the bytes that
are kept); beyond `BRIEF_SHARE` it is only counted, but for what a journal gave back: that ends, and all of it was
acknowledged. Failing traces come first, then slow ones, then odd ones; whole ones before those with holes, and one of
each kind of request before a second of any. A flood leaves a reserve to other kinds (`collector.fair_shares`).
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from analyzer.engine import Verdicts
from analyzer.findings import Answer
from analyzer.spans import TraceBatch
from collector.allowance import SAVED_NS, Allowance
from collector.contracts import Released, StoredTrace
from collector.desk import Desk, PipelineCounts
from collector.fair_shares import FairShares, Kinds, ranks
from collector.trace_names import Owners, name_in, text_of

logger = logging.getLogger(__name__)

EXPLAIN_SHARE = 0.1
HURRIED_SHARE = 0.05
BRIEF_SHARE = 0.5  # what this costs intake is refused and comes again; what is not told is lost
RESERVE_NS = SAVED_NS // 2  # for who has not had a part yet: other kinds of requests than the one that floods


@dataclass(frozen=True, slots=True)
class _Whole:
    """Where the spans of a trace stand: in its batch, or joined with those that were stored before."""

    traces: TraceBatch
    index: int


class Teller:
    """Turns verdicts into answers within its time. Owner: the engine's thread."""

    def __init__(self, desk: Desk, counts: PipelineCounts) -> None:
        self._desk = desk
        self._counts = counts
        now = desk.clock.monotonic_ns()
        self._full = Allowance(EXPLAIN_SHARE, now)
        self._brief = Allowance(BRIEF_SHARE, now)
        self._fair = FairShares()
        self._kinds: Kinds = np.zeros(0, np.uint32)  # of the batch that is told; 0: it has holes, or no spans
        self._clean_tokens = desk.clean_traces_per_second
        self._clean_at_ns = now
        self._explained: list[int] = []  # of the batch that is told
        self._untold: list[int] = []  # of the same: there was no time for them, or they could not be explained
        self._doubt_until_ns = now
        self._is_patient = False
        self._owners: Owners | None = None

    def be_patient(self) -> None:
        """Leave nothing untold, however long it takes: a backlog was acknowledged before, and ends."""
        self._is_patient = True

    def end_patience(self) -> None:
        """The backlog is told; what it cost is forgiven, or the next failing traces would pay for it."""
        self._is_patient = False
        self._brief = Allowance(BRIEF_SHARE, self._desk.clock.monotonic_ns())

    def is_behind(self) -> bool:
        """Whether patience has cost more than the share of briefs."""
        return self._is_patient and not self._brief.is_left(self._desk.clock.monotonic_ns())

    def doubt_until(self, monotonic_ns: int) -> None:
        """Until then any trace may have been decided and stored before, by who ran before us."""
        self._doubt_until_ns = monotonic_ns

    def tell(self, released: Released, verdicts: Verdicts, *, hurried: bool) -> None:
        """Explain what time allows (less of it while requests wait), and hand all that was decided to the shelf."""
        self._full.share = HURRIED_SHARE if hurried else EXPLAIN_SHARE
        stored: list[StoredTrace] = []
        self._explained, self._untold = [], []
        clean = np.ones(released.traces.trace_count, np.bool_)
        self._kinds = _kinds(verdicts)
        self._fair.see(self._kinds)
        suspicious, others = self._worth_telling(verdicts)
        for place, index in enumerate(suspicious + others):
            # A clean trace is told only of what is to spare: the next failing one must find time saved for it.
            spare_ns = RESERVE_NS if place >= len(suspicious) else -math.inf
            if not self._full.is_left(self._desk.clock.monotonic_ns(), spare_ns):
                break
            clean[index] = False
            told = self._told(released, verdicts, index)
            if told is not None:
                stored.append(told)
        if self._desk.groups is not None:
            self._desk.groups.rest(self._explained)
        whole = verdicts.whole
        traces = released.traces
        ids, partial_ids = (self._names(traces, chosen) for chosen in (clean & whole, clean & ~whole))
        self._counts.clean_traces += len(ids) + len(partial_ids)
        # Of one that was only re-opened, or clean, what is remembered already is still true.
        untold_ids = [name_in(traces, index) for index in self._untold if verdicts.suspicious[index]]
        self._desk.shelf.put(stored, ids, (), (), partial_ids, untold_ids)

    def _told(self, released: Released, verdicts: Verdicts, index: int) -> StoredTrace | None:
        clock = self._desk.clock
        began = clock.monotonic_ns()
        kind = int(self._kinds[index])
        spare_ns = 0 if self._fair.is_due(kind, began) else RESERVE_NS
        work: Callable[[Released, Verdicts, int], StoredTrace | None]
        if self._full.is_left(began, spare_ns):
            allowance, work = self._full, self._in_full
        elif self._brief.is_left(began, spare_ns) or self._is_patient:
            allowance, work = self._brief, self._in_brief
        else:
            self._counts.untold_traces += 1
            self._untold.append(index)
            return None
        try:
            told = work(released, verdicts, index)
        except Exception:
            self._counts.failed_traces += 1
            logger.exception("trace %s could not be explained", text_of(name_in(released.traces, index)))
            self._untold.append(index)
            return None
        finally:
            spent = clock.monotonic_ns() - began
            self._counts.explain_ns += spent
            allowance.spend(spent)
            if kind:
                self._fair.spend(kind, spent, began)
                self._counts.evicted_kinds = self._fair.evicted
        if told is None:
            return None
        key = told.answer.verdict if told.answer.status == "finding" else told.answer.status
        self._counts.findings[key] = self._counts.findings.get(key, 0) + 1
        return told

    def _in_full(self, released: Released, verdicts: Verdicts, index: int) -> StoredTrace | None:
        desk, traces = self._desk, released.traces
        late = int(released.late_counts[index]) if index < len(released.late_counts) else 0
        recalled = None
        is_doubtful = not late and desk.clock.monotonic_ns() < self._doubt_until_ns
        if is_doubtful or late == int(traces.trace_ptr[index + 1] - traces.trace_ptr[index]):
            joined = desk.recall(name_in(traces, index), traces, index)
            if joined is not None and not joined.is_news:
                self._counts.known_traces += 1
                return None
            recalled = None if joined is None else joined.traces
        analyzer = desk.analyzer
        if recalled is None:
            explained = analyzer.explain_errors(verdicts, index)
        else:
            explained = analyzer.explain_errors(analyzer.analyse(recalled), 0)
        answer = explained.answer
        whole = _Whole(traces, index) if recalled is None else _Whole(recalled, 0)
        self._counts.explained_traces += 1
        self._counts.recalled_traces += recalled is not None
        answer = _with_late(answer, late)
        if desk.groups is not None:
            desk.groups.take(explained, index if recalled is None else -1)
            self._explained.append(index)
        return StoredTrace(
            name=name_in(traces, index),
            answer=answer,
            trace_otlp=desk.encode_traces(whole.traces, whole.index),
            logs_otlp=desk.encode_logs(whole.traces, whole.index) or None,
            exports=desk.exports(replace(explained, answer=answer), desk.clock.now_ns())
            if answer.status == "finding"
            else (),
        )

    def _in_brief(self, released: Released, verdicts: Verdicts, index: int) -> StoredTrace:
        """Told what was found; the bytes are kept, so that who asks gets it explained then."""
        desk = self._desk
        answer = desk.analyzer.brief(verdicts, index)
        entry = desk.analyzer.entry(verdicts, index)
        self._counts.brief_traces += 1
        return StoredTrace(
            name=name_in(released.traces, index),
            answer=answer,
            trace_otlp=desk.encode_traces(released.traces, index),
            logs_otlp=desk.encode_logs(released.traces, index) or None,
            exports=desk.brief_exports(answer, entry, desk.clock.now_ns()),
        )

    def _names(self, traces: TraceBatch, chosen: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> list[bytes]:
        if self._owners is None:  # all batches have the tables of the first
            self._owners = Owners(traces.vocabulary.resources)
        return self._owners.names(traces.rows[traces.trace_ptr[:-1][chosen]])

    def _worth_telling(self, verdicts: Verdicts) -> tuple[list[int], list[int]]:
        """The suspicious ones, worst first, and the re-opened ones; as many clean ones as the rate allows."""
        now = self._desk.clock.monotonic_ns()
        rate = self._desk.clean_traces_per_second
        self._clean_tokens = min(rate, self._clean_tokens + rate * (now - self._clean_at_ns) / 1e9)
        self._clean_at_ns = now
        reopened = verdicts.analysis.traces.revisions > 1
        suspicious = verdicts.suspicious
        told = np.flatnonzero(suspicious | reopened)
        failed, slow, odd = (marks[told] for marks in (verdicts.failed, verdicts.slow, verdicts.odd))
        kinds = self._kinds[told]
        # False stands before True: failed first, then slow, then odd, then what was only re-opened.
        order = np.lexsort((ranks(kinds), ~odd & ~failed, ~slow & ~failed, kinds == 0, ~failed))
        others = np.flatnonzero(~(suspicious | reopened))[: int(self._clean_tokens)]
        self._clean_tokens -= len(others)
        return told[order].tolist(), others.tolist()


def _kinds(verdicts: Verdicts) -> Kinds:
    """Entry operation of each whole trace; 0 of the others."""
    forest, whole = verdicts.analysis.forest, verdicts.whole
    kinds: Kinds = np.zeros(len(whole), np.uint32)
    kinds[whole] = verdicts.analysis.traces.rows["operation"][forest.row[forest.trace_ptr[:-1][whole]]]
    return kinds


def _with_late(answer: Answer, late: int) -> Answer:
    if not late or answer.completeness is None:
        return answer
    complete = answer.completeness.model_copy(update={"late_spans": late})
    return answer.model_copy(update={"completeness": complete})
