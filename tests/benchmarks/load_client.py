"""A load generator that costs little: prepared requests, new trace ids each round, raw bytes over grpcio.

`python -m tests.benchmarks.load_client TARGET SECONDS SPANS_PER_REQUEST GROUPING CALLS_IN_FLIGHT [gzip] [RATE]`
prints one JSON object: what was sent, refused and acknowledged, and how long acknowledgements took. A refused
request is sent again after its delay, as an exporter would.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from dataclasses import dataclass, field

import grpc
import numpy as np

from tests.support.load import requests

METHOD = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
TRACES = 3000


class Rounds:
    """The same requests with other trace ids: the last four bytes of every trace id are XORed with the round."""

    def __init__(self, seed: int, spans_per_request: int, grouping: str, traces: int = TRACES) -> None:
        made = requests(seed, traces, spans_per_request, grouping)  # type: ignore[arg-type]
        self.counts = [count for _, count in made]
        self._payloads = [np.frombuffer(payload, np.uint8).copy() for payload, _ in made]
        self._places = [_trace_id_ends(payload.tobytes()) for payload in self._payloads]
        self._round = np.zeros(len(made), np.uint32)

    def __len__(self) -> int:
        return len(self._payloads)

    def payload(self, index: int, number: int) -> bytes:
        """Request `index` of round `number`; each index is asked for by one thread at a time."""
        change = int(self._round[index]) ^ number
        if change:
            payload, ends = self._payloads[index], self._places[index]
            for byte in range(4):
                payload[ends - 1 - byte] ^= (change >> (8 * byte)) & 255
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
    sent_spans: int = 0
    acked_spans: int = 0
    refused_calls: int = 0
    failed_calls: int = 0
    ack_ms: list[float] = field(default_factory=list)


def run(
    target: str,
    seconds: float,
    spans_per_request: int,
    grouping: str,
    threads: int,
    compression: bool = False,
    rate: float = 0.0,
) -> dict[str, float]:
    """Send for some seconds from several threads; spans per second at most `rate` (0: as fast as it goes)."""
    rounds = Rounds(11, spans_per_request, grouping)
    tallies = [Tally() for _ in range(threads)]
    began = time.monotonic()
    stop_at = began + seconds
    workers = [
        threading.Thread(target=_send, args=(rounds, t, threads, target, began, stop_at, compression, rate, tallies[t]))
        for t in range(threads)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    took = time.monotonic() - began
    acks = np.array(sorted(ms for tally in tallies for ms in tally.ack_ms) or [0.0])
    return {
        "seconds": took,
        "acked_spans": sum(tally.acked_spans for tally in tallies),
        "refused_calls": sum(tally.refused_calls for tally in tallies),
        "failed_calls": sum(tally.failed_calls for tally in tallies),
        "spans_per_s": sum(tally.acked_spans for tally in tallies) / took,
        "ack_p50_ms": float(np.percentile(acks, 50)),
        "ack_p99_ms": float(np.percentile(acks, 99)),
    }


def _send(
    rounds: Rounds,
    first: int,
    step: int,
    target: str,
    began: float,
    stop_at: float,
    compression: bool,
    rate: float,
    tally: Tally,
) -> None:
    options = [("grpc.use_local_subchannel_pool", 1), ("grpc.max_send_message_length", 64 * 2**20)]
    codec = grpc.Compression.Gzip if compression else grpc.Compression.NoCompression
    with grpc.insecure_channel(target, options=options, compression=codec) as channel:
        export = channel.unary_unary(METHOD)
        number = 0
        while True:
            for index in range(first, len(rounds), step):
                now = time.monotonic()
                if now >= stop_at:
                    return
                if rate:
                    ahead = tally.sent_spans / (rate / step) - (now - began)
                    if ahead > 0:
                        time.sleep(ahead)
                payload = rounds.payload(index, number + 1)
                tally.sent_spans += rounds.counts[index]
                _deliver(export, payload, rounds.counts[index], tally)
            number += 1


def _deliver(export: grpc.UnaryUnaryMultiCallable, payload: bytes, count: int, tally: Tally) -> None:
    for _ in range(100):
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


if __name__ == "__main__":
    words = sys.argv[1:]
    print(
        json.dumps(
            run(
                words[0],
                float(words[1]),
                int(words[2]),
                words[3],
                int(words[4]),
                "gzip" in words,
                float(words[6]) if len(words) > 6 else 0.0,
            )
        )
    )
