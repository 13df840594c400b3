"""Doors with a real analyzer behind them and no network, no process, no waiting: what is sent is decided at once.

doors = AnalysedDoors()
doors.lose(trace_id)        # acknowledged, and never heard of again
doors.refuse = "full"       # nothing is taken any more
"""

from __future__ import annotations

import threading

from analyzer.engine import Analyzer
from analyzer.findings import Answer
from collector.contracts import Signal
from collector.offline import TraceReader
from collector.probing import NoAnswerError, ProbeError

NOW_NS = 1_760_000_000_000_000_000


class AnalysedDoors:
    """In the place of `collector.probing.Doors`."""

    def __init__(self) -> None:
        self.stop = threading.Event()
        self.answers: dict[str, Answer] = {}
        self.asked: list[str] = []
        self.refuse = ""
        self._reader = TraceReader()
        self._analyzer = Analyzer()
        self._lock = threading.Lock()

    def send(self, request: object, deadline: float) -> None:
        if self.refuse:
            raise ProbeError(self.refuse)
        with self._lock:
            reader = TraceReader(self._reader.vocabulary)
            reader.add(request.SerializeToString(), Signal.TRACES)  # type: ignore[attr-defined]
            traces = reader.batch()
            verdicts = self._analyzer.analyse(traces)
            for index in range(traces.trace_count):
                answer = self._analyzer.explain(verdicts, index)
                self.answers[answer.trace_id] = answer
            self._analyzer.learn(verdicts, NOW_NS)

    def ask(self, trace_id: str, deadline: float) -> Answer:
        with self._lock:
            self.asked.append(trace_id)
            if trace_id not in self.answers:
                raise NoAnswerError("no answer from here in time")
            return self.answers[trace_id]
