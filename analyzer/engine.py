"""The analyzer: columns in, verdicts and answers out. The one place where the order of work is read.

    measure   trees, own time, critical path, what failed, how unusual it all is       every trace, kernels
    judge     which traces have something to say                                       every trace, arrays
    explain   whose fault, why, how sure                                               suspicious traces, words
    learn     what is normal now                                                       every trace, kernels

One owner thread: `Analyzer` holds what was learned (baselines, structure, propagation). It has no clock:
time comes in as an argument.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from analyzer.aggregates import Aggregates, EdgeTotal, OperationTotal
from analyzer.analysis import Analysis
from analyzer.answers import ErrorFacts, Findings, Story, brief, compose
from analyzer.baselines import Baselines
from analyzer.config import AnalysisConfig
from analyzer.errors.exceptions import exceptions_of
from analyzer.errors.fingerprint import fingerprint_of
from analyzer.errors.sightings import Parse
from analyzer.errors.stack_traces import parse_stack
from analyzer.errors.synthetic import synthetic_of
from analyzer.errors.trace_groups import Explained, Group, grouped
from analyzer.findings import Answer, SpanRef, VerdictKind
from analyzer.forest import Defect, Forest, build_forest
from analyzer.kernels.critical_path import critical_time, own_time
from analyzer.latency import explain_latency, latency_candidates, put_back
from analyzer.origins import ErrorStory, PropagationMemory, StringClasses, classify, explain_errors
from analyzer.spans import TraceBatch, Vocabulary
from analyzer.structure import StructureMemory, explain_structure, usual_callee
from analyzer.words import shown, span_ref

_STATE_MAGIC = b"FFA1"
_PARTS = 3


@dataclass(frozen=True, slots=True)
class Verdicts:
    """What `analyse` says of each trace of a batch.

    failed, slow, odd : bool[T]   an error or a hint of one; a root far slower than usual; a shape out of the usual
    included : float32[m] or None   what these very spans have taught already (`Analyzer.learn_file`)
    """

    analysis: Analysis
    failed: npt.NDArray[np.bool_]
    slow: npt.NDArray[np.bool_]
    odd: npt.NDArray[np.bool_]
    included: npt.NDArray[np.float32] | None = None

    @property
    def suspicious(self) -> npt.NDArray[np.bool_]:
        """bool[T]: worth an explanation."""
        return self.failed | self.slow | self.odd

    @property
    def whole(self) -> npt.NDArray[np.bool_]:
        """bool[T]: has spans, a root among them, and none is known to be missing."""
        defects, traces = self.analysis.forest.defects, self.analysis.traces
        missing = defects[:, Defect.ROOTLESS] + defects[:, Defect.MISSING_PARENT] + traces.dropped
        found: npt.NDArray[np.bool_] = (missing == 0) & (np.diff(self.analysis.forest.trace_ptr) > 0)
        return found

    def trace_id(self, trace: int) -> bytes:
        """Return the 16 bytes of a trace id, as on the wire."""
        row = self.analysis.traces.rows[int(self.analysis.traces.trace_ptr[trace])]
        return int(row["trace_id_0"]).to_bytes(8, "little") + int(row["trace_id_1"]).to_bytes(8, "little")


class Analyzer:
    """Finds where the trouble began. Owner: one thread.

    Parameters
    ----------
    config : AnalysisConfig, optional
    parse : reads the text of a stack
    group : exception fact -> fingerprint; None: it belongs to no group
    agents : more user agents of synthetic checks (`synthetic_of`)

    Examples
    --------
    >>> analyzer = Analyzer()
    >>> verdicts = analyzer.analyse(traces)                     # doctest: +SKIP
    >>> [analyzer.explain(verdicts, t) for t in verdicts.suspicious.nonzero()[0]]   # doctest: +SKIP
    >>> analyzer.learn(verdicts, now_ns)                        # doctest: +SKIP
    """

    def __init__(
        self,
        config: AnalysisConfig | None = None,
        parse: Parse = parse_stack,
        group: Group = fingerprint_of,
        agents: Sequence[str] = (),
    ) -> None:
        self.config = config or AnalysisConfig()
        self._parse, self._group, self._agents = parse, group, agents
        self.baselines = Baselines(self.config)
        self.structure = StructureMemory(self.config)
        self.propagation = PropagationMemory()
        self._classes = StringClasses()
        self._aggregates = Aggregates()
        self._vocabulary: Vocabulary | None = None

    def analyse(self, traces: TraceBatch, included: npt.NDArray[np.float32] | None = None) -> Verdicts:
        """Measure and judge a batch; nothing is learned from it.

        Parameters
        ----------
        traces : TraceBatch
        included : float32[m], optional
            Weights with which these very spans were learned before (`learn_file`); they are taken out first.

        Raises
        ------
        ValueError
            When the batch has another vocabulary than the batches before.
        """
        return self._judge(self._measure(traces, included), included)

    def _plant(self, traces: TraceBatch) -> Forest:
        return build_forest(traces, int(self.config.clock_skew_max_ms * 1e6))

    def _measure(
        self, traces: TraceBatch, included: npt.NDArray[np.float32] | None, forest: Forest | None = None
    ) -> Analysis:
        self._vocabulary = traces.vocabulary
        forest = forest or self._plant(traces)
        own_ns = own_time(*_times(forest))
        failed, weak, error_class = classify(traces, forest, self._classes)
        return Analysis(
            traces=traces,
            forest=forest,
            own_ns=own_ns,
            critical_ns=critical_time(*_times(forest)),
            failed=failed,
            weak=weak,
            error_class=error_class,
            own=self.baselines.score_own(traces, forest, own_ns, included),
            duration=self.baselines.score_duration(traces, forest, included, roots_only=True),
            structure=self.structure.score(traces, forest, failed, included is not None),
        )

    def _judge(self, analysis: Analysis, included: npt.NDArray[np.float32] | None) -> Verdicts:
        forest = analysis.forest
        slow = self.baselines.is_slow(analysis.duration, forest.end_ns - forest.start_ns)  # roots: no others are scored
        odd = self.structure.is_odd(analysis.structure)
        return Verdicts(
            analysis=analysis,
            failed=_any(analysis.failed | analysis.weak, forest.trace_ptr),
            slow=_any(slow, forest.trace_ptr),
            odd=_any(odd, forest.trace_ptr),
            included=included,
        )

    def explain(self, verdicts: Verdicts, trace: int) -> Answer:
        """Say what one trace of the batch has to say, in words."""
        return self.explain_errors(verdicts, trace).answer

    def explain_errors(self, verdicts: Verdicts, trace: int) -> Explained:
        """Like `explain`, with the exceptions of the trace and the groups it counts in."""
        answer, share, count = self._explain(verdicts, trace)
        if not verdicts.failed[trace]:
            return Explained(answer)
        facts = exceptions_of(verdicts.analysis, trace, self._parse)
        asked = synthetic_of(facts, self._agents)
        if asked is not None:
            answer = answer.model_copy(update={"asked_by": shown(str(asked))})
        found = grouped(answer, facts, self._group)
        return replace(found, failed_share=share, call_count=count)

    def _explain(self, verdicts: Verdicts, trace: int) -> tuple[Answer, float | None, int]:
        """Answer, the failing share of the origin's operation, and the calls that rests on."""
        analysis = verdicts.analysis
        forest = analysis.forest
        self.baselines.add_durations(analysis.duration, analysis.traces, forest, forest.nodes(trace), verdicts.included)
        slow = bool(verdicts.slow[trace])
        whole, at = self._whole(verdicts, trace) if slow or verdicts.failed[trace] else (analysis, trace)
        errors = explain_errors(
            whole,
            at,
            self.propagation,
            self.config,
            usual_callee=lambda operation: usual_callee(self.structure, operation, whole.traces.vocabulary),
        )
        latency = explain_latency(whole, at, self.config)
        causes = latency_candidates(whole, at, latency, self.config, self._callee) if slow else []
        structure = explain_structure(analysis, trace, self.structure, self.config)
        share, count = self._error_share(whole, errors)
        found = Findings(
            errors=ErrorFacts(
                story=Story(errors.candidates, errors.roles, errors.causal_chain, errors.next_probe, errors.path),
                fatal=errors.fatal,
                user_visible=errors.user_visible,
                business=errors.business,
                error_class=errors.error_class,
            ),
            latency=latency,
            latency_story=Story(causes),
            structure_story=Story(structure.candidates, structure.roles),
            slow=slow,
            error_share=share,
            call_count=count,
        )
        return compose(analysis, trace, found, self.config.unknown_below), share, count

    def _callee(self, operation: int) -> str:
        """Service that usually answers a call; empty when none or several do."""
        return self.propagation.callee(operation, self._vocabulary) if self._vocabulary is not None else ""

    def _whole(self, verdicts: Verdicts, trace: int) -> tuple[Analysis, int]:
        """One trace measured again with its orphans put back, where that can be done: its own batch; else as it is."""
        analysis = verdicts.analysis
        traces = put_back(analysis, trace, self.structure, self.propagation)
        if traces is None:
            return analysis, trace
        forest = self._plant(traces)
        included = None
        if verdicts.included is not None:
            nodes, first = analysis.forest.nodes(trace), int(analysis.traces.trace_ptr[trace])
            of_row = np.zeros(len(traces.rows), np.float32)
            of_row[analysis.forest.row[nodes.start : nodes.stop] - first] = verdicts.included[nodes.start : nodes.stop]
            included = of_row[forest.row]
        whole = self._measure(traces, included, forest)
        self.baselines.add_durations(whole.duration, traces, forest, forest.nodes(0), included)
        return whole, 0

    def brief(self, verdicts: Verdicts, trace: int) -> Answer:
        """Say what was found in one trace of the batch without looking for where it began."""
        verdict: VerdictKind = "none"
        if verdicts.failed[trace]:
            verdict = "error"
        elif verdicts.odd[trace]:
            verdict = "structure"
        elif verdicts.slow[trace]:
            verdict = "latency"
        return brief(verdicts.analysis, trace, verdict)

    def entry(self, verdicts: Verdicts, trace: int) -> SpanRef | None:
        """Say where one trace of the batch came in: its first root; None when it has no spans, only logs."""
        nodes = verdicts.analysis.forest.nodes(trace)
        return span_ref(verdicts.analysis, nodes.start) if len(nodes) else None

    def answer(self, traces: TraceBatch) -> Answer:
        """Answer for one trace at once: measured, explained, not learned."""
        return self.explain(self.analyse(traces), 0)

    def learn(self, verdicts: Verdicts, now_ns: int) -> None:
        """Take a batch into what is normal, and into the running sums."""
        analysis = verdicts.analysis
        traces, forest = analysis.traces, analysis.forest
        bad = verdicts.suspicious
        weights = self.baselines.contamination_weights(forest, bad, analysis.own.p)
        self.baselines.learn(traces, forest, analysis.own_ns, weights, now_ns, analysis.failed)
        self.structure.learn(traces, forest, analysis.failed, bad, now_ns)
        self.propagation.learn(analysis, now_ns)
        self._aggregates.add(analysis)

    def learn_file(self, traces: TraceBatch, now_ns: int) -> npt.NDArray[np.float32]:
        """Learn a whole input that holds its own bad traces; `analyse` it afterwards with what is returned."""
        forest = self._plant(traces)
        own_ns = own_time(*_times(forest))
        failed, weak, _ = classify(traces, forest, self._classes)
        included = self.baselines.learn_robust(traces, forest, own_ns, now_ns, failed)
        self.structure.learn(traces, forest, failed, _any(failed | weak, forest.trace_ptr), now_ns)
        self.propagation.learn(self._measure(traces, included), now_ns)
        return included

    def take_announcements(self) -> list[str]:
        """Return what became normal since the last time, a sentence each; names in them are safe to show."""
        shifts = [shift.sentence for shift in self.baselines.take_announcements()]
        return shifts + [gone.sentence for gone in self.structure.take_announcements()]

    @property
    def lost_edge_calls(self) -> int:
        """Calls that found no room in the sums per edge."""
        return self._aggregates.lost_edge_calls

    def take_aggregates(self) -> tuple[list[OperationTotal], list[EdgeTotal]]:
        """Return the sums per operation and per edge since the last time."""
        if self._vocabulary is None:
            return [], []
        return self._aggregates.take(self._vocabulary)

    def _error_share(self, analysis: Analysis, errors: ErrorStory) -> tuple[float | None, int]:
        """Share of recent calls of the origin's operation that failed, and how many calls that rests on."""
        if errors.origin_node < 0:
            return None, 0
        row = analysis.traces.rows[analysis.forest.row[errors.origin_node]]
        share, count = self.baselines.error_rate(int(row["operation"]))
        return share, int(count)

    def save(self) -> bytes:
        """Return everything learned as bytes, keyed by names."""
        if self._vocabulary is None:
            return b""
        parts = (
            self.baselines.save(),
            self.structure.save(),
            self.propagation.save(self._vocabulary),
        )
        return _STATE_MAGIC + b"".join(struct.pack("<Q", len(part)) + part for part in parts)

    def load(self, blob: bytes) -> None:
        """Take what was saved.

        Raises
        ------
        ValueError
            When the blob is not one that `save` wrote; nothing is changed then.
        """
        if not blob:
            return
        if blob[:4] != _STATE_MAGIC:
            raise ValueError(
                f"the saved state begins with {blob[:4]!r}; expected {_STATE_MAGIC!r}. Remove it to start anew"
            )
        parts, at = [], 4
        for _ in range(_PARTS):
            if at + 8 > len(blob):
                raise ValueError("the saved state is cut short; remove it to start anew")
            (length,) = struct.unpack_from("<Q", blob, at)
            parts.append(blob[at + 8 : at + 8 + length])
            at += 8 + length
        baselines, structure = Baselines(self.config), StructureMemory(self.config)
        baselines.load(parts[0])
        structure.load(parts[1])
        self.propagation = PropagationMemory.load(parts[2])
        self.baselines, self.structure = baselines, structure


def _times(forest: Forest) -> tuple[npt.NDArray[Any], ...]:
    """What the time kernels take of a forest."""
    return forest.parent, forest.child_ptr, forest.child, forest.start_ns, forest.end_ns, forest.flags


def _any(marks: npt.NDArray[np.bool_], ptr: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """bool[T]: whether any node of a trace is marked; traces without nodes are not."""
    sums = np.concatenate([[0], np.cumsum(marks)])
    found: npt.NDArray[np.bool_] = sums[ptr[1:]] > sums[ptr[:-1]]
    return found
