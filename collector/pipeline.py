"""The desk: request bytes in at one end, answers on the shelf at the other.

One thread owns everything that changes here: decoder and vocabulary, assembler, analyzer with its
baselines. It takes requests from a source, lets traces leave assembly when they are due, has them
analysed, explains the ones that have something to say (`collector.telling`), and hands answers to the shelf's writer.
It never blocks on the network, and on the shelf only when that is too slow for what comes in: then the
source fills up and receivers answer UNAVAILABLE.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from analyzer.findings import Answer
from collector.contracts import STATE_NAME, EdgeRollup, Released, Rollup, Signal
from collector.desk import Desk, PipelineCounts, Source
from collector.errors import BadRequestError, OverloadedError
from collector.explaining import OnRequest
from collector.telling import Teller
from collector.trace_names import text_of

logger = logging.getLogger(__name__)

TICK_NS = 50_000_000  # how often due traces are looked for: 50 ms is far below any quiet period
INGEST_SLICE = 64  # requests between two looks at the clock
RELEASE_TRACES_MAX = 1024  # traces analysed at once: keeps a batch in the caches
# A longer list of due traces is decided in parts while requests wait, with half a tick for them between: a receiver
# holds a call for 0.2 s before it refuses.
DECIDE_NS = 100_000_000
ROLLUP_NS = 5_000_000_000
STATE_NS = 60_000_000_000
JOURNAL_NS = 1_000_000_000
ASKS_MAX = 256
DOUBT_NS = 600_000_000_000  # so long after a replay a trace may have been decided before; the late window
ANNOUNCED_MAX = 20  # lines of log for one batch
MINUTE_NS = 60_000_000_000


@dataclass(slots=True)
class _Ask:
    name: bytes
    is_stored: bool = False
    done: threading.Event = field(default_factory=threading.Event)
    answer: Answer | None = None


class Pipeline:
    """The engine's thread. `start`, `stop`, `ask` and `explain` are for other threads; the rest is its own."""

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
        self._next_journal_ns = now + JOURNAL_NS
        self._teller = Teller(desk, self.counts)
        self.on_request = OnRequest(desk, self.counts)
        self._stood_still_ns = 0
        self._requests_wait = False
        self._overloaded = False
        self._replayed_ms: int | None = None  # until when what a journal gave came in, while any of it may be open

    def replay(self, source: Source, is_stopping: Callable[[], bool] = lambda: False) -> None:
        """Take what a journal kept, before `start`: acknowledged, and perhaps not decided.

        Cut short when it is time to stop; what was not taken stays in the journal.
        What of it was decided already is known again when it is put into words; see `Teller`.
        """
        self._teller.doubt_until(self._desk.clock.monotonic_ns() + DOUBT_NS)
        self._teller.be_patient()
        received = 0
        while not is_stopping() and (item := source.take()) is not None:
            payload, signal = item
            now_ms = self._assembly_ms(self._desk.clock.monotonic_ns())
            try:
                received += self._desk.assembler.ingest(payload, signal, now_ms)
            except OverloadedError:
                self._decide(lambda now_ms=now_ms: self._desk.assembler.due(now_ms, RELEASE_TRACES_MAX))  # type: ignore[misc]
                continue
            except BadRequestError as error:
                self.counts.undecodable += 1
                logger.warning("a request of the journal cannot be decoded: %s", error)
            self._let_go(source, now_ms)
            self.counts.replayed_requests += 1
        self.counts.replayed_rows += received
        self._replayed_ms = self._assembly_ms(self._desk.clock.monotonic_ns())

    def _let_go(self, source: Source, now_ms: int) -> None:
        position = source.release()
        if position is not None and position[1] and self._desk.journal is not None:
            self._desk.journal.taken(*position, now_ms)

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout_s: float) -> bool:
        """Drain the source, decide what is open (without a journal), save the baselines. False: the time ran out."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def ask(self, name: bytes, timeout_s: float) -> Answer | None:
        """`contracts.OpenTraces`: what the spans of an open trace say so far."""
        return self._asked(_Ask(name), timeout_s)

    def explain(self, name: bytes, timeout_s: float) -> Answer | None:
        """`contracts.OpenTraces`: what a stored trace that was told in brief says in full."""
        return self._asked(_Ask(name, is_stored=True), timeout_s)

    def _asked(self, question: _Ask, timeout_s: float) -> Answer | None:
        if self._stopping.is_set():
            return None
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
        self._requests_wait = not self._take_requests()
        now = self._desk.clock.monotonic_ns()
        if now >= self._next_tick_ns or self._overloaded:
            self._next_tick_ns = now + TICK_NS
            if self._desk.stress is not None:
                self._desk.stress.look(now)
            due_ms = self._assembly_ms(now)
            if self._replayed_ms is not None and self._desk.assembler.oldest_ms() > self._replayed_ms:
                self._replayed_ms = None
                self._teller.end_patience()
            if not self._decide(lambda: self._desk.assembler.due(due_ms, RELEASE_TRACES_MAX), now + DECIDE_NS):
                self._next_tick_ns = self._desk.clock.monotonic_ns() + TICK_NS // 2
            self._overloaded = False
            if self._desk.stress is not None:
                self._desk.stress.look(self._desk.clock.monotonic_ns())
            if self._desk.incidents is not None:
                self._desk.incidents.keep_house()
            if self._desk.groups is not None:
                self._desk.groups.keep_house()
            if self._requests_wait:
                self._stood_still_ns += self._desk.clock.monotonic_ns() - now
            if now >= self._next_rollup_ns:
                self._next_rollup_ns = now + ROLLUP_NS
                self._put_rollups()
            if now >= self._next_state_ns:
                self._next_state_ns = now + STATE_NS
                self._save_state()
            if now >= self._next_journal_ns:
                self._next_journal_ns = now + JOURNAL_NS
                self._keep_journal(due_ms)
        self._answer_asks()

    def _assembly_ms(self, now_ns: int) -> int:
        """The time that assembly is told: it stands still while the engine decides and requests wait.

        Else the spans that wait would count as missing, traces be cut and revised when they come, and a
        busy engine would make itself more work.
        """
        return (now_ns - self._stood_still_ns) // 1_000_000

    def _take_requests(self) -> bool:
        """Take what has come, until the next tick at most; whether nothing waits any more."""
        source, assembler = self._desk.source, self._desk.assembler
        while True:
            for _ in range(INGEST_SLICE):
                item = source.take()
                if item is None:
                    return True
                payload, signal = item
                now_ms = self._assembly_ms(self._desk.clock.monotonic_ns())
                try:
                    assembler.ingest(payload, signal, now_ms)
                    if signal == Signal.LOGS and self._desk.groups is not None:
                        self._desk.groups.hear(payload)
                except OverloadedError:
                    self._overloaded = True  # it stays the oldest of the source; room first
                    return False
                except BadRequestError as error:
                    self.counts.undecodable += 1
                    logger.warning("a request that the guard let through cannot be decoded: %s", error)
                finally:
                    del payload, item
                self.counts.requests += 1
                self._let_go(source, now_ms)
            if self._desk.clock.monotonic_ns() >= self._next_tick_ns or not self._asks.empty():
                return False

    def _decide(self, release: Callable[[], Released | None], until_ns: int | None = None) -> bool:
        """Decide all that is due, until some time at most when requests wait; whether that was all."""
        while (released := release()) is not None:
            self.on_request.renumber(released.traces)
            try:
                self._analyse(released)
            finally:
                self._desk.assembler.done(released)
            if self._teller.is_behind():
                return False  # the rest is still due at the next tick; requests have their turn
            if until_ns is not None and self._requests_wait and self._desk.clock.monotonic_ns() >= until_ns:
                return False
        return True

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
        if self._desk.incidents is not None:
            self._desk.incidents.observe(verdicts)
        if self._desk.groups is not None:
            self._desk.groups.observe(verdicts)
        self._teller.tell(released, verdicts, hurried=self._requests_wait)
        self._desk.analyzer.learn(verdicts, clock.now_ns())
        self._announce(self._desk.analyzer.take_announcements())

    def _announce(self, sentences: list[str]) -> None:
        """Log what became normal; when everything shifts at once, not everything is told."""
        for sentence in sentences[:ANNOUNCED_MAX]:
            logger.info("%s", sentence)
        if len(sentences) > ANNOUNCED_MAX:
            logger.info("%d more changes became normal", len(sentences) - ANNOUNCED_MAX)

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

    def _keep_journal(self, now_ms: int) -> None:
        desk = self._desk
        if desk.journal is not None:
            oldest_ms = desk.assembler.oldest_ms()
            self.counts.oldest_open_ms = max(0, now_ms - oldest_ms)
            desk.journal.keep_house(oldest_ms, desk.shelf.handed, desk.shelf.written)

    def _save_state(self) -> None:
        self._desk.shelf.save_state(STATE_NAME, self._desk.analyzer.save())
        if self._desk.incidents is not None:
            self._desk.incidents.save()
        if self._desk.groups is not None:
            self._desk.groups.save()

    def _answer_asks(self) -> None:
        while True:
            try:
                question = self._asks.get_nowait()
            except queue.Empty:
                return
            try:
                if question.is_stored:
                    question.answer = self.on_request.explain(question.name)
                    continue
                traces = self._desk.assembler.peek(question.name, self._assembly_ms(self._desk.clock.monotonic_ns()))
                if traces is not None:
                    question.answer = self._desk.analyzer.answer(traces)
            except Exception:
                logger.exception("trace %s could not be answered", text_of(question.name))
            finally:
                question.done.set()

    def _drain(self) -> None:
        """Last turn: what has come is taken, what is open is decided, what was learned is kept.

        With a journal, open traces are not cut short: they are on disk, and the next start goes on with them.
        """
        if self._desk.journal is None:
            while not self._take_requests():  # nobody else has them
                if self._overloaded:
                    self._overloaded = False
                    self._decide(lambda: self._desk.assembler.flush(RELEASE_TRACES_MAX))
                self._answer_asks()
            self._decide(lambda: self._desk.assembler.flush(RELEASE_TRACES_MAX))
        self._answer_asks()
        self._put_rollups()
        self._save_state()
