"""Bytes that came in one go -> traces, without waiting for anything.

In: protobuf requests (a file, a POST body, the stored bytes of a trace). Out: a `TraceBatch` with every
trace in it. Used by the command line, `POST /analyze` and the graph of a stored trace. Owner: one thread.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from analyzer.config import AnalysisConfig
from analyzer.engine import Analyzer, Verdicts
from analyzer.errors.rules import Grouping, Rule
from analyzer.findings import Answer
from analyzer.spans import SPAN_DTYPE, Bytes, DetailReader, ReleaseReason, Rows, TraceBatch, Vocabulary
from analyzer.strings import new_vocabulary
from collector.contracts import Clock, Signal
from collector.redaction import Redactor
from collector.wire.decode import Decoder
from collector.wire.detail import read_detail
from collector.wire.masking import masked_details
from collector.wire.request_limits import RequestLimits

if TYPE_CHECKING:
    from analyzer.service_graph import Graph

logger = logging.getLogger(__name__)

STATE_NS = 60_000_000_000  # how often the engine writes down what it learned
# A file may hold anything its owner likes; these only bound what one line or message of it may cost.
FILE_LIMITS = RequestLimits(bytes_max=2**31, spans_max=5_000_000, messages_max=200_000_000, resources_max=1_000_000)


def new_analyzer(
    config: AnalysisConfig | None = None, rules: Sequence[Rule] = (), agents: Sequence[str] = ()
) -> Analyzer:
    """Make an analyzer as every part of the program uses it: the same stacks are read, errors grouped the same way."""
    return Analyzer(config, group=Grouping(rules), agents=agents)


class TraceReader:
    """Gathers decoded requests; `batch` groups them by trace."""

    def __init__(
        self,
        vocabulary: Vocabulary | None = None,
        limits: RequestLimits = FILE_LIMITS,
        details: DetailReader = read_detail,
    ) -> None:
        self._details = details
        self.vocabulary = vocabulary or new_vocabulary()
        self._decoder = Decoder(self.vocabulary)
        self._limits = limits
        self._rows: list[Rows] = []
        self._raw: list[Bytes] = []
        self._raw_bytes = 0

    def add(self, payload: bytes, signal: Signal) -> int:
        """Decode one request; the number of rows it gave.

        Raises
        ------
        BadRequestError
            It cannot be read; nothing of it was taken.
        """
        found = self._decoder.decode(payload, signal, self._limits)
        if len(found.rows):
            found.rows["raw_offset"] += self._raw_bytes
            self._rows.append(found.rows)
            self._raw.append(found.raw)
            self._raw_bytes += len(found.raw)
        return len(found.rows)

    def batch(self) -> TraceBatch:
        """Return every trace added so far, in the order of their first row."""
        rows = np.concatenate(self._rows) if self._rows else np.zeros(0, SPAN_DTYPE)
        raw = np.concatenate(self._raw) if self._raw else np.zeros(0, np.uint8)
        order, ptr = _group(rows)
        count = len(ptr) - 1
        return TraceBatch(
            rows=rows[order],
            trace_ptr=ptr,
            reasons=np.full(count, int(ReleaseReason.OFFLINE), np.uint8),
            revisions=np.ones(count, np.int32),
            dropped=np.zeros(count, np.int32),
            raw=raw,
            vocabulary=self.vocabulary,
            details=self._details,
        )


def masked_reader(redactor: Redactor, limits: RequestLimits = FILE_LIMITS) -> TraceReader:
    """Return a reader of what nobody has masked yet."""
    return TraceReader(new_vocabulary(clean=redactor.text), limits, masked_details(read_detail, redactor))


def _group(rows: Rows) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Order that puts rows of a trace together, traces by first appearance; and where each trace begins."""
    if not len(rows):
        return np.zeros(0, np.int64), np.zeros(1, np.int64)
    order = np.lexsort((rows["trace_id_1"], rows["trace_id_0"]))
    high, low = rows["trace_id_0"][order], rows["trace_id_1"][order]
    starts = np.flatnonzero(np.concatenate([[True], (high[1:] != high[:-1]) | (low[1:] != low[:-1])]))
    sizes = np.diff(np.concatenate([starts, [len(rows)]]))
    by_appearance = np.argsort(np.minimum.reduceat(order, starts), kind="stable")
    pieces = [order[starts[i] : starts[i] + sizes[i]] for i in by_appearance]
    return np.concatenate(pieces), np.concatenate([[0], np.cumsum(sizes[by_appearance])]).astype(np.int64)


def _answers(analyzer: Analyzer, verdicts: Verdicts) -> list[Answer]:
    """Explain every trace of a batch."""
    return [analyzer.explain(verdicts, index) for index in range(verdicts.analysis.traces.trace_count)]


def analyze_bytes(
    state: bytes | None,
    payloads: list[tuple[bytes, Signal]],
    rules: Sequence[Rule] = (),
    redactor: Redactor | None = None,
    agents: Sequence[str] = (),
) -> list[Answer]:
    """Answer for every trace in some requests, against a saved state or, without one, against themselves.

    Secrets are masked by `redactor`; None takes the built-in rules.

    Raises
    ------
    BadRequestError
        A request cannot be read.
    """
    reader = masked_reader(redactor or Redactor(), RequestLimits())
    for payload, signal in payloads:
        reader.add(payload, signal)
    analyzer = new_analyzer(rules=rules, agents=agents)
    traces = reader.batch()
    included = None
    if state:
        analyzer.load(state)
    else:
        included = analyzer.learn_file(traces, 0)
    return _answers(analyzer, analyzer.analyse(traces, included))


class Explainer:
    """Answers for stored traces against what the engine learned, which is read again once a minute.

    Any thread: one question at a time, under a lock.
    """

    def __init__(
        self,
        load_state: Callable[[], bytes | None],
        clock: Clock,
        rules: Sequence[Rule] = (),
        agents: Sequence[str] = (),
    ) -> None:
        self._rules, self._agents = rules, agents
        self._load_state = load_state
        self._clock = clock
        self._lock = threading.Lock()
        self._analyzer: Analyzer | None = None
        self._vocabulary = new_vocabulary()
        self._read_again_ns = 0

    def __call__(self, payloads: list[tuple[bytes, Signal]]) -> list[Answer]:
        """Explain every trace in some requests.

        Raises
        ------
        BadRequestError
            A request cannot be read.
        """
        with self._lock:
            now = self._clock.monotonic_ns()
            if self._analyzer is None or now >= self._read_again_ns:
                analyzer, self._vocabulary = new_analyzer(rules=self._rules, agents=self._agents), new_vocabulary()
                try:
                    analyzer.load(self._load_state() or b"")
                except ValueError as error:  # the engine said so too when it started; errors need no baseline
                    logger.warning("what was learned cannot be used to explain: %s", error)
                self._analyzer, self._read_again_ns = analyzer, now + STATE_NS
            reader = TraceReader(self._vocabulary)
            for payload, signal in payloads:
                reader.add(payload, signal)
            return _answers(self._analyzer, self._analyzer.analyse(reader.batch()))


def draw_bytes(trace_otlp: bytes, logs_otlp: bytes | None, answer: Answer | None) -> Graph:
    """Draw the service graph of one stored trace."""
    from analyzer.service_graph import trace_graph  # with networkx; the engine reads stored traces and draws none

    reader = TraceReader()
    reader.add(trace_otlp, Signal.TRACES)
    if logs_otlp:
        reader.add(logs_otlp, Signal.LOGS)
    verdicts = Analyzer().analyse(reader.batch())
    return trace_graph(verdicts.analysis, 0, answer)
