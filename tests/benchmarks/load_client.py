"""A load generator that costs little: prepared requests, new trace ids each round, raw bytes over grpcio.

`python -m tests.benchmarks.load_client TARGET --data FILE [...]` waits for a line on standard input, sends for
some seconds and prints one JSON object: what was sent, refused and acknowledged, how long acknowledgements
took, and what the generator itself cost. `prepare` writes the FILE once for many runs. A refused request is sent
again after its delay, as an exporter would, until it is taken: what was sent is what the server has.
"""

from __future__ import annotations

import argparse
import json
import pickle
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import numpy as np

from tests.support.load import requests

METHOD = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
TRACES = 3000


Prepared = list[tuple[bytes, int]]


def prepare(path: Path, spans_per_request: int, grouping: str, traces: int = TRACES, seed: int = 11) -> Path:
    """Draw the requests of all rounds and keep them, so that not every run has to."""
    path.write_bytes(pickle.dumps(requests(seed, traces, spans_per_request, grouping)))  # type: ignore[arg-type]
    return path


class Rounds:
    """The same requests with other trace ids: the last four bytes of every trace id are XORed with the round."""

    def __init__(self, made: Prepared) -> None:
        self.counts = [count for _, count in made]
        self._payloads = [np.frombuffer(payload, np.uint8).copy() for payload, _ in made]
        self._places = [_trace_id_ends(payload.tobytes()) for payload in self._payloads]
        self._round = np.zeros(len(made), np.uint32)

    def __len__(self) -> int:
        return len(self._payloads)

    def payload(self, index: int, number: int) -> bytes:
        """Request `index` of round `number`; asked for by one thread at a time."""
        change = int(self._round[index]) ^ number
        if change:
            payload, ends = self._payloads[index], self._places[index]
            for byte in range(4):
                if part := (change >> (8 * byte)) & 255:
                    payload[ends - 1 - byte] ^= part
            self._round[index] = number
        return self._payloads[index].tobytes()


def _trace_id_ends(payload: bytes) -> np.ndarray:  # type: ignore[type-arg]
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


def run(
    target: str,
    made: Prepared,
    seconds: float,
    threads: int,
    compression: bool = False,
    rate: float = 0.0,
    first_round: int = 1,
) -> dict[str, float]:
    """Send for some seconds from several threads; spans per second at most `rate` (0: as fast as it goes)."""
    rounds = Rounds(made)
    print("ready", flush=True)
    sys.stdin.readline()
    tallies = [Tally() for _ in range(threads)]
    cpu, began = time.process_time(), time.monotonic()
    work = _Work(rounds, target, seconds, compression, rate, first_round)
    workers = [threading.Thread(target=_send, args=(work, tally)) for tally in tallies]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    took = time.monotonic() - began
    acks = np.array(sorted(ms for tally in tallies for ms in tally.ack_ms) or [0.0])
    acked = sum(tally.acked_spans for tally in tallies)
    return {
        "seconds": took,
        "acked_spans": acked,
        "refused_calls": sum(tally.refused_calls for tally in tallies),
        "failed_calls": sum(tally.failed_calls for tally in tallies),
        "spans_per_s": acked / took,
        "ack_p50_ms": float(np.percentile(acks, 50)),
        "ack_p99_ms": float(np.percentile(acks, 99)),
        "client_ns_per_span": (time.process_time() - cpu) / max(1, acked) * 1e9,
    }


class _Work:
    """Requests in one order for all threads, so that the spans of a trace do not drift apart with the threads."""

    def __init__(self, rounds: Rounds, target: str, seconds: float, compression: bool, rate: float, first: int) -> None:
        self.target, self.compression = target, compression
        self._rounds, self._rate, self._number = rounds, rate, first
        self._began = time.monotonic()
        self._stop_at = self._began + seconds
        self._index = 0
        self._spans = 0
        self._lock = threading.Lock()

    def next(self) -> tuple[bytes, int] | None:
        """Return the next request when its time has come; None at the end."""
        with self._lock:
            now = time.monotonic()
            if self._rate and (ahead := self._spans / self._rate - (now - self._began)) > 0:
                time.sleep(ahead)
            if now >= self._stop_at:
                return None
            payload, count = self._rounds.payload(self._index, self._number), self._rounds.counts[self._index]
            self._spans += count
            self._index += 1
            if self._index == len(self._rounds):
                self._index, self._number = 0, self._number + 1
            return payload, count


def _send(work: _Work, tally: Tally) -> None:
    options = [("grpc.use_local_subchannel_pool", 1), ("grpc.max_send_message_length", 64 * 2**20)]
    codec = grpc.Compression.Gzip if work.compression else grpc.Compression.NoCompression
    with grpc.insecure_channel(work.target, options=options, compression=codec) as channel:
        export = channel.unary_unary(METHOD)
        while (taken := work.next()) is not None:
            _deliver(export, *taken, tally)


def _deliver(export: grpc.UnaryUnaryMultiCallable, payload: bytes, count: int, tally: Tally) -> None:
    for _ in range(1000):
        at = time.monotonic()
        try:
            export(payload, timeout=30.0)
        except grpc.RpcError as error:
            if error.code() is grpc.StatusCode.UNAVAILABLE:
                tally.refused_calls += 1
                time.sleep(0.02)
                continue
            tally.failed_calls += 1
            return
        tally.ack_ms.append(1e3 * (time.monotonic() - at))
        tally.acked_spans += count
        return


def main() -> None:
    words = argparse.ArgumentParser()
    words.add_argument("target")
    words.add_argument("--data", type=Path, required=True)
    words.add_argument("--seconds", type=float, default=5.0)
    words.add_argument("--threads", type=int, default=8)
    words.add_argument("--gzip", action="store_true")
    words.add_argument("--rate", type=float, default=0.0)
    words.add_argument("--first-round", type=int, default=1)
    told = words.parse_args()
    made: Prepared = pickle.loads(told.data.read_bytes())
    print(json.dumps(run(told.target, made, told.seconds, told.threads, told.gzip, told.rate, told.first_round)))


if __name__ == "__main__":
    main()
