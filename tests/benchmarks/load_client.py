"""A load generator that costs little: prepared requests, new trace ids each round, raw bytes over HTTP/2.

`python -m tests.benchmarks.load_client TARGET --data FILE [...]` waits for a line on standard input, sends for
some seconds and prints one JSON object: what was sent, refused and acknowledged, how long acknowledgements
took, and what the generator itself cost. `prepare` writes the FILE once for many runs. A refused request is sent
again after its delay, as an exporter would, until it is taken: what was sent is what the server has.
"""

from __future__ import annotations

import argparse
import gc
import gzip
import json
import pickle
import select
import sys
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tests.benchmarks.http2_connection import Connection
from tests.support.load import requests
from tests.support.raw_http2 import message

METHOD = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
TRACES = 3000
HEAD = 5
UNAVAILABLE = 14
RETRY_S = 0.02
LAST_ANSWER_S = 30.0
ZIPPED_SPANS_PER_S = 300_000  # more than is asked of the server; what is left of them is thrown away
WAIT_S = 0.001  # until the next look at what waits for its time
CHANGES = select.EPOLLIN | select.EPOLLOUT | select.EPOLLET

Prepared = list[tuple[bytes, int]]
Request = tuple[int, memoryview, int]


def prepare(path: Path, spans_per_request: int, grouping: str, traces: int = TRACES, seed: int = 11) -> Path:
    """Draw the requests of all rounds and keep them, so that not every run has to."""
    path.write_bytes(pickle.dumps(requests(seed, traces, spans_per_request, grouping)))  # type: ignore[arg-type]
    return path


class Rounds:
    """The same requests with other trace ids: the last four bytes of every trace id are XORed with the round."""

    def __init__(self, made: Prepared) -> None:
        self.counts = [count for _, count in made]
        self._messages = [np.frombuffer(message(payload, False), np.uint8).copy() for payload, _ in made]
        ends = [_trace_id_ends(payload) + HEAD for payload, _ in made]
        self._places = [[end - 1 - byte for byte in range(4)] for end in ends]
        self._drawn = [[whole[at] for at in places] for whole, places in zip(self._messages, self._places, strict=True)]
        self._round = np.zeros(len(made), np.uint32)

    def __len__(self) -> int:
        return len(self._messages)

    def payload(self, index: int, number: int) -> bytes:
        """Request `index` of round `number`; asked for by one thread at a time."""
        return self.message(index, number)[HEAD:].tobytes()

    def message(self, index: int, number: int) -> memoryview:
        """The same with gRPC's head of five bytes; good until the next round of it is asked for."""
        change = int(self._round[index]) ^ number
        if change:
            whole = self._messages[index]
            for byte, (places, drawn) in enumerate(zip(self._places[index], self._drawn[index], strict=True)):
                if (change >> (8 * byte)) & 255:
                    whole[places] = drawn ^ ((number >> (8 * byte)) & 255)
            self._round[index] = number
        return self._messages[index].data


def _trace_id_ends(payload: bytes) -> np.ndarray:
    """Where the trace ids of a request end: every id that protobuf finds, looked up in the bytes."""
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    ids = {
        span.trace_id
        for resource in ExportTraceServiceRequest.FromString(payload).resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    }
    ends = []
    for trace_id in ids:
        at = payload.find(trace_id)
        while at >= 0:
            ends.append(at + 16)
            at = payload.find(trace_id, at + 1)
    return np.array(sorted(ends), np.int64)


@dataclass
class Tally:
    acked_spans: int = 0
    refused_calls: int = 0
    failed_calls: int = 0
    ack_ms: list[float] = field(default_factory=list)


class Work:
    """Requests in one order for all connections, so that the spans of a trace do not drift apart with them.

    Parameters
    ----------
    rate : float
        Spans per second at most; 0: as they are asked for.
    zipped_spans : int
        So many spans are compressed before the clock runs: it costs ten times as much as sending, and an exporter would
        do it on another machine. 0: nothing is compressed.
    """

    def __init__(self, rounds: Rounds, rate: float, first_round: int, zipped_spans: int = 0) -> None:
        self._rounds, self._rate, self._number = rounds, rate, first_round
        self._index = 0
        self._spans = 0
        self._under_way: set[int] = set()
        self._zipped: deque[Request] | None = None
        if zipped_spans:
            self._zipped = deque(self._zip(zipped_spans))
            self._spans = 0

    def is_due(self, passed_s: float) -> bool:
        return not self.is_used_up and (not self._rate or self._spans <= self._rate * passed_s)

    @property
    def is_used_up(self) -> bool:
        return self._zipped is not None and not self._zipped

    def take(self) -> Request:
        """Number, gRPC message and spans of the next request; the message is not to be changed until it is `done`."""
        if self._zipped is not None:
            return self._zipped.popleft()
        while self._index in self._under_way:  # refused for a whole round: this round goes without it
            self._go_on()
        index = self._index
        whole, count = self._rounds.message(index, self._number), self._rounds.counts[index]
        self._spans += count
        self._go_on()
        self._under_way.add(index)
        return index, whole, count

    def done(self, index: int) -> None:
        self._under_way.discard(index)

    def _go_on(self) -> None:
        self._index += 1
        if self._index == len(self._rounds):
            self._index, self._number = 0, self._number + 1

    def _zip(self, spans: int) -> Iterator[Request]:
        while self._spans < spans:
            index, whole, count = self.take()
            self.done(index)
            # The level that the Collector's exporter has when nothing is said.
            yield index, memoryview(message(gzip.compress(whole[HEAD:], 6), True)), count


class Sender:
    """One connection and the request it carries; what is refused is sent again after its delay."""

    def __init__(self, connection: Connection, tally: Tally, work: Work) -> None:
        self.connection = connection
        self.due = 0.0  # when a refused request may be sent again
        self.is_idle = True
        self._tally, self._work = tally, work
        self._index, self._message, self._count = 0, memoryview(b""), 0
        self._began = 0.0

    def begin(self, now: float) -> None:
        self._index, self._message, self._count = self._work.take()
        self.is_idle = False
        self.send(now)

    def send(self, now: float) -> None:
        self._began, self.due = now, 0.0
        self.connection.begin(self._message)
        self.connection.write()

    def move(self, now: float) -> bool:
        """Read and write what is possible, count what was answered; whether there is something to do next."""
        self.connection.read()
        self.connection.write()
        status = self.connection.status
        if self.is_idle or self.due or status is None:
            return False
        if status == UNAVAILABLE:
            self._tally.refused_calls += 1
            self.due = now + RETRY_S
            return True
        if status == 0:
            self._tally.ack_ms.append(1e3 * (now - self._began))
            self._tally.acked_spans += self._count
        else:
            self._tally.failed_calls += 1
        self._work.done(self._index)
        self.is_idle = True
        return True


def run(
    target: str,
    made: Prepared,
    seconds: float,
    connections: int,
    compression: bool = False,
    rate: float = 0.0,
    first_round: int = 1,
) -> dict[str, float]:
    """Send for some seconds over several connections; spans per second at most `rate` (0: as fast as it goes)."""
    work = Work(Rounds(made), rate, first_round, int(seconds * ZIPPED_SPANS_PER_S) if compression else 0)
    gc.disable()  # nothing here goes round in circles, and some seconds need no more memory than that
    print("ready", flush=True)
    sys.stdin.readline()
    tally = Tally()
    cpu, began = time.process_time(), time.monotonic()
    encoding = "gzip" if compression else "identity"
    senders = [Sender(Connection(target, METHOD, encoding), tally, work) for _ in range(connections)]
    _exchange(senders, work, began, seconds)
    took = time.monotonic() - began
    tally.failed_calls += sum(not one.is_idle for one in senders)
    acks = np.array(sorted(tally.ack_ms) or [0.0])
    return {
        "seconds": took,
        "acked_spans": tally.acked_spans,
        "refused_calls": tally.refused_calls,
        "failed_calls": tally.failed_calls,
        "spans_per_s": tally.acked_spans / took,
        "ack_p50_ms": float(np.percentile(acks, 50)),
        "ack_p99_ms": float(np.percentile(acks, 99)),
        "client_ns_per_span": (time.process_time() - cpu) / max(1, tally.acked_spans) * 1e9,
    }


def _exchange(senders: list[Sender], work: Work, began: float, seconds: float) -> None:
    """Keep every connection busy until the time is over, then wait for what is under way."""
    stop, last = began + seconds, began + seconds + LAST_ANSWER_S
    by_number = {sender.connection.fileno(): sender for sender in senders}
    waiting = set(senders)  # for work, or for the end of a delay
    with select.epoll() as poll:
        for number in by_number:
            poll.register(number, CHANGES)
        now = began
        while now < last and (now < stop or not all(one.is_idle for one in senders)):
            if work.is_used_up:
                stop = now
            for sender in list(waiting):
                if sender.is_idle and now < stop and work.is_due(now - began):
                    sender.begin(now)
                elif sender.due and now >= sender.due:
                    sender.send(now)
                else:
                    continue
                waiting.discard(sender)
            for number, _ in poll.poll(WAIT_S if waiting else LAST_ANSWER_S):
                sender, now = by_number[number], time.monotonic()
                if sender.move(now):
                    waiting.add(sender)
            now = time.monotonic()
    for sender in senders:
        sender.connection.close()


def main() -> None:
    words = argparse.ArgumentParser()
    words.add_argument("target")
    words.add_argument("--data", type=Path, required=True)
    words.add_argument("--seconds", type=float, default=5.0)
    words.add_argument("--connections", type=int, default=8)
    words.add_argument("--gzip", action="store_true")
    words.add_argument("--rate", type=float, default=0.0)
    words.add_argument("--first-round", type=int, default=1)
    told = words.parse_args()
    made: Prepared = pickle.loads(told.data.read_bytes())
    print(json.dumps(run(told.target, made, told.seconds, told.connections, told.gzip, told.rate, told.first_round)))


if __name__ == "__main__":
    main()
