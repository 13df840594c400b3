"""The desk: request bytes in at one end, answers on the shelf at the other.

One thread owns everything that changes here: decoder and vocabulary, assembler, analyzer with its
baselines. It takes requests from a source, lets traces leave assembly when they are due, has them
analysed, explains the ones that have something to say, and hands answers to the shelf's writer.
It never blocks on the network, and on the shelf only when that is too slow for what comes in: then the
source fills up and receivers answer UNAVAILABLE.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from analyzer.engine import Analyzer, Verdicts
from analyzer.findings import Answer
from analyzer.spans import TraceBatch
from collector.contracts import Clock, EdgeRollup, OutboxItem, Released, Rollup, Signal, StoredTrace
from collector.errors import BadRequestError, OverloadedError

logger = logging.getLogger(__name__)

TICK_NS = 50_000_000  # how often due traces are looked for: 50 ms is far below any quiet period
INGEST_SLICE = 64  # requests between two looks at the clock
RELEASE_TRACES_MAX = 4096  # traces analysed at once: keeps a batch in the caches
ROLLUP_NS = 5_000_000_000
STATE_NS = 60_000_000_000
STATE_NAME = "analyzer"
ASKS_MAX = 256
ANNOUNCED_MAX = 20  # lines of log for one batch
MINUTE_NS = 60_000_000_000


class Source(Protocol):
    """Where requests come from. One reader: the engine's thread."""

    def wait(self, timeout_s: float) -> None: ...

    def take(self) -> tuple[memoryview | bytes, Signal] | None:
        """Return the oldest request, or None. It stays the oldest until `release`."""

    def release(self) -> None: ...


class Assembling(Protocol):
    """The hall where traces wait (collector.assembly)."""

    def ingest(self, payload: memoryview | bytes, signal: Signal, now_ms: int) -> int: ...

    def due(self, now_ms: int, traces_max: int) -> Released | None: ...

    def flush(self, traces_max: int) -> Released | None: ...

    def done(self, released: Released) -> None: ...

    def peek(self, trace_id: bytes, now_ms: int) -> TraceBatch | None: ...


class Shelf(Protocol):
    """The store's writer: takes batches in order, from this one thread."""

    def put(
        self,
        traces: Sequence[StoredTrace],
        clean_trace_ids: Sequence[bytes],
        rollups: Sequence[Rollup],
        edges: Sequence[EdgeRollup],
    ) -> None: ...

    def save_state(self, name: str, blob: bytes) -> None: ...


@dataclass(frozen=True, slots=True)
class Desk:
    """What the pipeline is made of, and how it turns an answer into bytes."""

    source: Source
    assembler: Assembling
    analyzer: Analyzer
    shelf: Shelf
    clock: Clock
    encode_traces: Callable[[TraceBatch, int], bytes]
    encode_logs: Callable[[TraceBatch, int], bytes]
    exports: Callable[[Answer, int], list[OutboxItem]]
    # What a late span belongs to, when assembly no longer holds it: stored bytes and late rows as one trace.
    recall: Callable[[bytes, TraceBatch, int], TraceBatch | None] = lambda trace_id, traces, index: None
    clean_traces_per_second: float = 20.0


@dataclass(slots=True)
class PipelineCounts:
    """Plain counters; written by the engine's thread, read by anybody."""

    requests: int = 0
    undecodable: int = 0
    analysed_traces: int = 0
    analysed_spans: int = 0
    findings: dict[str, int] = field(default_factory=dict)
    clean_traces: int = 0
    failed_traces: int = 0
    explained_traces: int = 0
    analysis_ns: int = 0
    explain_ns: int = 0
    recalled_traces: int = 0


@dataclass(slots=True)
class _Ask:
    trace_id: bytes
    done: threading.Event = field(default_factory=threading.Event)
    answer: Answer | None = None


class Pipeline:
    """The engine's thread. `start`, `stop` and `ask` are for other threads; the rest is its own."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self.counts = PipelineCounts()
        self._asks: queue.Queue[_Ask] = queue.Queue(ASKS_MAX)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        now = desk.clock.monotonic_ns()
        self._next_tick_ns = now
        self._next_rollup_ns = now + ROLLUP_NS
        self._next_state_ns = now + STATE_NS
        self._clean_tokens = desk.clean_traces_per_second
        self._clean_at_ns = now
        self._overloaded = False

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout_s: float) -> bool:
        """Drain the source, decide what is open, save the baselines. False when the time ran out."""
        self._stopping.set()
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def ask(self, trace_id: bytes, timeout_s: float) -> Answer | None:
        """`contracts.OpenTraces`: what the spans of an open trace say so far."""
        if self._stopping.is_set():
            return None
        question = _Ask(trace_id)
        try:
            self._asks.put_nowait(question)
        except queue.Full:
            return None
        question.done.wait(timeout_s)
        return question.answer

    # -- the engine's thread ---------------------------------------------------------------

    def _run(self) -> None:
        while not self._stopping.is_set():
            self.step(TICK_NS / 1e9)
        self._drain()

    def step(self, wait_s: float = 0.0) -> None:
        """One turn: take what has come, decide what is due, answer who asked."""
        if not self._overloaded:
            self._desk.source.wait(wait_s)
        self._take_requests()
        now = self._desk.clock.monotonic_ns()
        if now >= self._next_tick_ns or self._overloaded:
            self._next_tick_ns = now + TICK_NS
            self._decide(lambda: self._desk.assembler.due(_ms(now), RELEASE_TRACES_MAX))
            self._overloaded = False
            if now >= self._next_rollup_ns:
                self._next_rollup_ns = now + ROLLUP_NS
                self._put_rollups()
            if now >= self._next_state_ns:
                self._next_state_ns = now + STATE_NS
                self._save_state()
        self._answer_asks()

    def _take_requests(self) -> None:
        source, assembler = self._desk.source, self._desk.assembler
        while True:
            for _ in range(INGEST_SLICE):
                item = source.take()
                if item is None:
                    return
                payload, signal = item
                try:
                    assembler.ingest(payload, signal, _ms(self._desk.clock.monotonic_ns()))
                except OverloadedError:
                    self._overloaded = True  # it stays the oldest of the source; room first
                    return
                except BadRequestError as error:
                    self.counts.undecodable += 1
                    logger.warning("a request that the guard let through cannot be decoded: %s", error)
                finally:
                    del payload, item
                self.counts.requests += 1
                source.release()
            if self._desk.clock.monotonic_ns() >= self._next_tick_ns or not self._asks.empty():
                return

    def _decide(self, release: Callable[[], Released | None]) -> None:
        while (released := release()) is not None:
            try:
                self._analyse(released)
            finally:
                self._desk.assembler.done(released)

    def _analyse(self, released: Released) -> None:
        clock = self._desk.clock
        traces = released.traces
        began = clock.monotonic_ns()
        try:
            verdicts = self._desk.analyzer.analyse(traces)
        except Exception:
            if traces.trace_count == 1:
                self.counts.failed_traces += 1
                logger.exception("analysis of one trace failed; it is left out")
                return
            for index in range(traces.trace_count):  # find the bad one; the others must not suffer
                self._analyse(Released(traces.trace(index), released.late_counts[index : index + 1]))
            return
        self.counts.analysis_ns += clock.monotonic_ns() - began
        self.counts.analysed_traces += traces.trace_count
        self.counts.analysed_spans += len(verdicts.analysis.forest.row)
        self._put_answers(released, verdicts)
        self._desk.analyzer.learn(verdicts, clock.now_ns())
        self._announce(self._desk.analyzer.take_announcements())

    def _announce(self, sentences: list[str]) -> None:
        """Log what became normal; when everything shifts at once, not everything is told."""
        for sentence in sentences[:ANNOUNCED_MAX]:
            logger.info("%s", sentence)
        if len(sentences) > ANNOUNCED_MAX:
            logger.info("%d more changes became normal", len(sentences) - ANNOUNCED_MAX)

    def _put_answers(self, released: Released, verdicts: Verdicts) -> None:
        clock, analyzer = self._desk.clock, self._desk.analyzer
        traces = released.traces
        stored: list[StoredTrace] = []
        told: set[int] = set()
        for index in self._worth_telling(verdicts):
            began = clock.monotonic_ns()
            late = int(released.late_counts[index]) if index < len(released.late_counts) else 0
            try:
                if late and late == int(traces.trace_ptr[index + 1] - traces.trace_ptr[index]):
                    whole = self._desk.recall(verdicts.trace_id(index), traces, index)
                else:
                    whole = None
                answer = analyzer.explain(verdicts, index) if whole is None else analyzer.answer(whole)
            except Exception:
                self.counts.failed_traces += 1
                logger.exception("trace %s could not be explained", verdicts.trace_id(index).hex())
                continue
            finally:
                self.counts.explain_ns += clock.monotonic_ns() - began
            self.counts.explained_traces += 1
            self.counts.recalled_traces += whole is not None
            if late and answer.completeness is not None:
                complete = answer.completeness.model_copy(update={"late_spans": late})
                answer = answer.model_copy(update={"completeness": complete})
            told.add(index)
            key = answer.verdict if answer.status == "finding" else answer.status
            self.counts.findings[key] = self.counts.findings.get(key, 0) + 1
            stored.append(
                StoredTrace(
                    trace_id=verdicts.trace_id(index),
                    answer=answer,
                    trace_otlp=self._desk.encode_traces(*((traces, index) if whole is None else (whole, 0))),
                    logs_otlp=self._desk.encode_logs(*((traces, index) if whole is None else (whole, 0))) or None,
                    exports=self._desk.exports(answer, clock.now_ns()) if answer.status == "finding" else (),
                )
            )
        clean = [verdicts.trace_id(index) for index in range(traces.trace_count) if index not in told]
        self.counts.clean_traces += len(clean)
        self._desk.shelf.put(stored, clean, (), ())

    def _worth_telling(self, verdicts: Verdicts) -> list[int]:
        """The suspicious and the re-opened ones, and as many clean ones as the rate allows."""
        now = self._desk.clock.monotonic_ns()
        rate = self._desk.clean_traces_per_second
        self._clean_tokens = min(rate, self._clean_tokens + rate * (now - self._clean_at_ns) / 1e9)
        self._clean_at_ns = now
        told = []
        suspicious = verdicts.suspicious | (verdicts.analysis.traces.revisions > 1)
        for index in range(verdicts.analysis.traces.trace_count):
            if suspicious[index]:
                told.append(index)
            elif self._clean_tokens >= 1.0:
                self._clean_tokens -= 1.0
                told.append(index)
        return told

    def _put_rollups(self) -> None:
        operations, edges = self._desk.analyzer.take_aggregates()
        if not operations and not edges:
            return
        minute = self._desk.clock.now_ns() // MINUTE_NS
        self._desk.shelf.put(
            (),
            (),
            [
                Rollup(
                    minute,
                    total.service,
                    total.operation,
                    total.kind,
                    total.count,
                    total.error_count,
                    total.duration_sum_ns,
                    total.duration_max_ns,
                )
                for total in operations
            ],
            [
                EdgeRollup(
                    minute,
                    edge.caller,
                    edge.callee,
                    edge.callee_kind,
                    edge.rule,
                    edge.count,
                    edge.error_count,
                    edge.duration_sum_ns,
                )
                for edge in edges
            ],
        )

    def _save_state(self) -> None:
        self._desk.shelf.save_state(STATE_NAME, self._desk.analyzer.save())

    def _answer_asks(self) -> None:
        while True:
            try:
                question = self._asks.get_nowait()
            except queue.Empty:
                return
            try:
                traces = self._desk.assembler.peek(question.trace_id, _ms(self._desk.clock.monotonic_ns()))
                if traces is not None:
                    question.answer = self._desk.analyzer.answer(traces)
            except Exception:
                logger.exception("trace %s could not be answered while open", question.trace_id.hex())
            finally:
                question.done.set()

    def _drain(self) -> None:
        """Last turn: what has come is taken, what is open is decided, what was learned is kept."""
        self._take_requests()
        self._decide(lambda: self._desk.assembler.flush(RELEASE_TRACES_MAX))
        if self._overloaded:
            self._overloaded = False
            self._take_requests()
            self._decide(lambda: self._desk.assembler.flush(RELEASE_TRACES_MAX))
        self._answer_asks()
        self._put_rollups()
        self._save_state()


def _ms(monotonic_ns: int) -> int:
    return monotonic_ns // 1_000_000
