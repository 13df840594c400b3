"""`firstfault canary`: plant known faults in a running server again and again, check its answers, export the result.

In: the addresses of a server's doors. Out: metrics on a port of its own, or (`--once`) a table and an exit status. It
sees what users see: a trace that was acknowledged and is answered wrongly, late or never, or is gone after an hour.
"""

from __future__ import annotations

import logging
import random
import sys
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from collector.app.endpoints import host_port
from collector.canary_faults import Fault, Truth, healthy, truth_of
from collector.canary_metrics import CanaryMetrics
from collector.config import Logs
from collector.health import metrics_server
from collector.logs import set_up_logging
from collector.probing import Doors, NoAnswerError, ProbeError
from collector.stop_signals import on_stop_signal
from collector.verdict_text import plain

logger = logging.getLogger(__name__)

NAME = "firstfault-canary"
WAIT_S = 2.0  # one question; so long a stop may take
# Slow is what one request in 500 is (analysis.trace_latency_p_max). So four times as many healthy ones are sent for
# each slow one: else it would be usual, and rightly not told of.
LEARNED_EACH = 2000
LEARNED_ROUND = 100  # of them in a round, after the first; CHUNK in a request
CHUNK = 200
OLDER_MAX = 4096  # truths that are kept; a day of rounds of a minute is 1440 each fault


@dataclass(frozen=True, slots=True)
class Seen:
    """What became of one planted trace.

    outcome : right, wrong, missing (it was acknowledged), or refused
    answer_s : from the acknowledgement to the answer
    """

    fault: str
    trace_id: str
    outcome: str
    words: str = ""
    answer_s: float = 0.0


class Canary:
    """One server's canary. One owner thread; a round asks on threads of its own.

    Parameters
    ----------
    doors : Doors
        Of the server.
    faults : sequence of Fault
        Planted every round.
    timeout_s : float
        For the answers of a round.
    reread_s : float
        Up to this age older traces are asked for again.
    """

    def __init__(self, doors: Doors, faults: Sequence[Fault], timeout_s: float, reread_s: float) -> None:
        self._doors = doors
        self._faults = tuple(faults)
        self._timeout_s = timeout_s
        self._reread_s = reread_s
        self._older: deque[tuple[float, Truth]] = deque(maxlen=OLDER_MAX)
        self._draw = random.Random()  # noqa: S311 - which trace, and how fast: nothing secret
        self._taught: dict[str, int] = {}  # healthy traces since the last slow one
        self.metrics = CanaryMetrics(self._faults)

    def round(self) -> list[Seen]:
        """Plant every fault that is due, ask for all; what became of each. Counts it, too."""
        seen: list[Seen] = []
        planted: list[Fault] = []
        for fault in self._faults:
            try:
                if not fault.learned or self._teach(fault):
                    planted.append(fault)
            except ProbeError as error:
                seen.append(self._refused(fault, f"healthy traces before it: {error}"))
        if planted:
            with ThreadPoolExecutor(len(planted)) as threads:
                seen += threads.map(self._try, planted)
        if not self._doors.stop.is_set():
            self.metrics.last_round.set(time.time())
        return seen

    def reread(self) -> Seen | None:
        """Ask for one older trace again; None when there is none, or it is time to stop."""
        now = time.monotonic()
        while self._older and now - self._older[0][0] > self._reread_s:
            self._older.popleft()
        if not self._older or self._doors.stop.is_set():
            return None
        _, truth = self._draw.choice(self._older)
        seen = self._judge(truth, now)
        if seen.outcome != "stopped":
            self.metrics.reread.labels(truth.fault, seen.outcome).inc()
        return seen

    def _teach(self, fault: Fault) -> bool:
        """Send healthy traces; whether there were enough for a slow one, and all of them are decided.

        Raises
        ------
        ProbeError
            They were not taken, or not decided in time.
        """
        taught = self._taught.get(fault.name)
        traces = healthy(fault, LEARNED_EACH if taught is None else LEARNED_ROUND, time.time_ns(), self._draw)
        deadline = time.monotonic() + self._timeout_s
        for start in range(0, len(traces), CHUNK):
            request = ExportTraceServiceRequest()
            for trace in traces[start : start + CHUNK]:
                request.MergeFrom(trace.request)
            self._doors.send(request, deadline)
        self._taught[fault.name] = taught = (taught or 0) + len(traces)
        if taught < LEARNED_EACH:
            return False
        self._doors.ask(traces[-1].trace_id, deadline)
        self._taught[fault.name] = 0
        return True

    def _try(self, fault: Fault) -> Seen:
        planted = fault.plant(time.time_ns())
        truth = truth_of(fault, planted)
        began = time.monotonic()
        try:
            self._doors.send(planted.request, began + self._timeout_s)
        except ProbeError as error:
            return self._refused(fault, str(error), planted.trace_id)
        self.metrics.planted.labels(fault.name).inc()
        acknowledged = time.monotonic()
        seen = self._judge(truth, acknowledged)
        if seen.outcome == "stopped":
            return seen
        self.metrics.outcomes[seen.outcome].labels(fault.name).inc()
        if seen.outcome != "missing":
            self.metrics.answer_seconds.labels(fault.name).observe(seen.answer_s)
            self._older.append((acknowledged, truth))
        return seen

    def _judge(self, truth: Truth, began: float) -> Seen:
        try:
            answer = self._doors.ask(truth.trace_id, began + self._timeout_s)
        except ProbeError as error:
            stopped = self._doors.stop.is_set()
            outcome = "stopped" if stopped else "missing"
            late = "" if isinstance(error, NoAnswerError) else "the door: "
            return Seen(truth.fault, truth.trace_id, outcome, f"{late}{error}", time.monotonic() - began)
        words = truth.wrong(answer)
        outcome = "wrong" if words else "right"
        return Seen(truth.fault, truth.trace_id, outcome, words, time.monotonic() - began)

    def _refused(self, fault: Fault, words: str, trace_id: str = "") -> Seen:
        self.metrics.refused.labels(fault.name).inc()
        return Seen(fault.name, trace_id, "refused", words)


def start_logging() -> None:
    """Write our lines to standard error."""
    set_up_logging(Logs(), "canary")


def run_once(doors: Doors, faults: Sequence[Fault], timeout_s: float) -> int:
    """Play one round, print a table; 0 only when every answer is right."""
    seen = Canary(doors, faults, timeout_s, 0.0).round()
    injected = {fault.name: fault.injected for fault in faults}
    for one in seen:
        told = f": {one.words}" if one.words else f", {one.answer_s:.1f} s"
        line = f"{one.outcome:8} {one.fault:20} {one.trace_id or '-':32} {injected[one.fault]}{told}"
        sys.stdout.write(plain(line) + "\n")
    right = sum(one.outcome == "right" for one in seen)
    sys.stdout.write(f"{right} of {len(faults)} right\n")
    return 0 if right == len(faults) else 1


def run(doors: Doors, faults: Sequence[Fault], timeout_s: float, reread_s: float, every_s: float, metrics: str) -> int:
    """Play a round every `every_s` seconds until SIGTERM or SIGINT; the exit status."""
    on_stop_signal(doors.stop.set)
    canary = Canary(doors, faults, timeout_s, reread_s)
    door = metrics_server(canary.metrics, *host_port(metrics))
    try:
        port = door.start()
    except OSError as error:
        logger.error("cannot start: %s", error)
        return 1
    logger.info("metrics at http://%s:%d/metrics; a round every %g s", host_port(metrics)[0], port, every_s)
    try:
        while not doors.stop.is_set():
            due = time.monotonic() + every_s
            for one in (*canary.round(), canary.reread()):
                _tell(one)
            doors.stop.wait(max(0.0, due - time.monotonic()))
    finally:
        door.stop(1.0)
    return 0


def _tell(seen: Seen | None) -> None:
    if seen is not None and seen.outcome not in ("right", "stopped"):
        logger.warning("%s, trace %s: %s: %s", seen.fault, seen.trace_id or "-", seen.outcome, plain(seen.words))
