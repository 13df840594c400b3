"""The whole server under load, beside the plain reference: spans a second, latency, cost, memory, start.

Run: python -m tests.benchmarks.bench_end_to_end [--quick]

The product runs as users run it (`python -m collector serve`, default processes); the generator is another
process on the same cores. A run ends when every acknowledged span has been analysed; the rate is spans by
that time, less the quiet period. Runs of product and reference take turns; medians are shown. All counters must
balance exactly, or the run fails.
"""

from __future__ import annotations

import http.client
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from analyzer.strings import new_vocabulary
from collector.assembly import Assembler, AssemblyConfig
from collector.contracts import Signal
from collector.wire.decode import Decoder
from collector.wire.detail import read_detail
from tests.benchmarks.goals import Measured, show, write
from tests.benchmarks.load_client import METHOD, Rounds, prepare
from tests.benchmarks.server_under_load import QUIET_S, Load, Outcome, Product, Reference, drive
from tests.support.load import requests

RATE = 300_000.0


class Rooms:
    """Product and reference, and the rounds of trace ids that no run may use twice."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.product = Product(folder / "product")
        self.reference = Reference()
        self._round = 1

    def run(self, server: Product | Reference, data: Path, seconds: float, *options: str) -> Outcome:
        self._round += 100_000
        load = Load(server.target, data, seconds, self._round, *options)
        if isinstance(server, Reference):
            return drive(server, load, server.quiet_s, 90.0)
        return drive(server, load, QUIET_S, 30.0)

    def load(self, data: Path, seconds: float, *options: str) -> Load:
        self._round += 100_000
        return Load(self.product.target, data, seconds, self._round, *options)

    def stop(self) -> None:
        self.product.stop()
        self.reference.stop()


def balance(product: Product) -> tuple[float, dict[str, float]]:
    """Spans that are not where they should be, by the product's own counters."""
    found = product.metrics()

    def number(name: str) -> float:
        return found.get(name, 0.0)

    accepted, received = number("receiver_accepted_spans"), number("assembly_received_spans")
    left = sum(number(f"assembly_{name}_spans") for name in ("released", "deduped", "dropped", "open"))
    # A re-opened trace is analysed again as a whole: at least what was released, never less.
    unseen = max(0.0, number("assembly_released_spans") - number("analyzer_analysed_spans"))
    lost = abs(accepted - received) + abs(received - left) + unseen + number("assembly_dropped_spans")
    lost += number("analyzer_failed_traces") + number("store_lost_batches") + number("decode_undecodable_requests")
    return lost, found


def percentile(values: list[float], share: float) -> float:
    ordered = sorted(values) or [float("nan")]
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


class Asker:
    """Asks for root causes over one kept connection."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)

    def ask(self, trace_id: bytes) -> tuple[int, dict[str, object]]:
        self._connection.request("GET", f"/api/v1/traces/{trace_id.hex()}/root-cause")
        answer = self._connection.getresponse()
        return answer.status, json.loads(answer.read())


def failing_trace(number: int) -> tuple[bytes, bytes]:
    """A whole small trace in which a server span fails."""
    request = ExportTraceServiceRequest()
    resource = request.resource_spans.add()
    resource.resource.attributes.add(key="service.name").value.string_value = "probe"
    spans = resource.scope_spans.add().spans
    trace_id = (number + 1).to_bytes(4, "big") * 4
    now = time.time_ns()
    for at, parent in ((1, 0), (2, 1), (3, 2)):
        span = spans.add(trace_id=trace_id, span_id=at.to_bytes(8, "big"), name=f"step {at}", kind=2 if at != 2 else 3)
        span.parent_span_id = parent.to_bytes(8, "big") if parent else b""
        span.start_time_unix_nano, span.end_time_unix_nano = now + at * 1000, now + 10_000_000 - at * 1000
        span.status.code = 2
    return trace_id, request.SerializeToString()


def probe(rooms: Rooms, load: Load) -> dict[str, float]:
    """While load comes: how late verdicts are, and how long answers by trace id take."""
    asker = Asker(rooms.product.query)
    delays, answers = [], []
    known: list[bytes] = []
    with grpc.insecure_channel(rooms.product.target) as channel:
        export: Callable[..., bytes] = channel.unary_unary(METHOD)
        number = 0
        while load.is_running:
            trace_id, payload = failing_trace(number + (int(time.time()) & 0xFFFF) * 10_000)
            number += 1
            export(payload, timeout=30.0)
            sent = time.monotonic()
            while True:
                began = time.monotonic()
                status, found = asker.ask(trace_id)
                if found.get("status") == "finding":
                    delays.append(time.monotonic() - sent - QUIET_S)
                    known.append(trace_id)
                    break
                if time.monotonic() - sent > 20.0:
                    delays.append(20.0)
                    break
                # Between two looks at this one: answers that are on the shelf.
                for one in known[-10:]:
                    began = time.monotonic()
                    status, _ = asker.ask(one)
                    if status == 200:
                        answers.append(time.monotonic() - began)
                time.sleep(0.01)
    return {
        "verdict_delay_p50_s": percentile(delays, 0.5),
        "verdict_delay_p99_s": percentile(delays, 0.99),
        "verdicts": len(delays),
        "answer_p50_ms": 1e3 * percentile(answers, 0.5),
        "answer_p99_ms": 1e3 * percentile(answers, 0.99),
        "answers": len(answers),
    }


def live_memory(data: list[tuple[bytes, int]]) -> dict[str, float]:
    """Bytes of the arena for each live span, beyond what came over the wire; when the open segment is just full.

    What is left of the segment being filled is not held by any span: the next request goes there.
    """
    vocabulary = new_vocabulary()
    config = AssemblyConfig(arena_bytes=3 << 30)
    assembler = Assembler(config, Decoder(vocabulary), vocabulary, read_detail)
    rounds = Rounds(data)
    raw = spans = 0
    number = 0
    before, full = assembler.counts(), False
    while not full:
        number += 1
        for index in range(len(rounds)):
            payload = rounds.payload(index, number)
            made = assembler.ingest(payload, Signal.TRACES, 1)
            counts = assembler.counts()
            full = spans >= 2_000_000 and counts.segments_used > before.segments_used
            if full:
                break
            raw, spans, before = raw + len(payload), spans + made, counts
    held = before.segments_used * assembler.config.segment_bytes + before.open_traces * 96
    held += 2 * before.open_traces * 8  # the index, at most half full
    assert before.open_spans == spans
    return {"held_bytes_per_span": held / spans, "raw_bytes_per_span": raw / spans}


def run(quick: bool = False) -> tuple[list[Measured], dict[str, object]]:
    """Everything in one run."""
    laps, seconds = (1, 3.0) if quick else (3, 8.0)
    traces = 600 if quick else 3000
    with tempfile.TemporaryDirectory(prefix="bench_end_to_end_") as name:
        folder = Path(name)
        large = prepare(folder / "gateway512", 512, "gateway", traces)
        small = prepare(folder / "gateway10", 10, "gateway", traces // 3)
        starts = []
        for number in range(1 if quick else 3):
            started = Product(folder / f"start{number}")
            starts.append(started.start_s)
            started.stop()
        rooms = Rooms(folder)
        try:
            return _race(rooms, large, small, laps, seconds, statistics.median(starts), traces)
        finally:
            rooms.stop()
            log = (folder / "product" / "log").read_text(errors="replace")
            if log:
                print("--- the server's log ---", *log.splitlines()[:20], sep="\n")


def _shares(runs: list[Outcome]) -> str:
    """Who used the cores: the generator runs on the same ones, and compresses in Python."""
    client = statistics.median(one.load["client_ns_per_span"] for one in runs)
    return (
        f"CPU per span: server {statistics.median(one.cpu_ns_per_span for one in runs):.0f}, generator {client:.0f} ns"
    )


def _race(
    rooms: Rooms, large: Path, small: Path, laps: int, seconds: float, start_s: float, traces: int
) -> tuple[list[Measured], dict[str, object]]:
    product, reference = rooms.product, rooms.reference
    # Baselines are young at first, and every page of the arena is touched for the first time: on a virtual machine,
    # which has to ask its host for each, that alone took two fifths of the processor.
    rooms.run(product, large, 1.5 * seconds)
    rooms.run(reference, large, min(seconds, 4.0))
    ours: list[Outcome] = []
    theirs: list[Outcome] = []
    for _ in range(laps):
        ours.append(rooms.run(product, large, seconds))
        theirs.append(rooms.run(reference, large, min(seconds, 4.0)))
    zipped = [rooms.run(product, large, seconds / 2, "--gzip") for _ in range(laps)]
    tiny = [rooms.run(product, small, seconds / 2, "--connections", "16") for _ in range(laps)]
    their_tiny = rooms.run(reference, small, min(seconds, 4.0) / 2, "--connections", "16")
    load = rooms.load(large, seconds, "--rate", str(RATE), "--connections", "4")
    load.start()
    probed = probe(rooms, load)
    paced = load.result()
    time.sleep(2.0 + QUIET_S)
    lost, counters = balance(product)

    def middle(runs: list[Outcome], what: Callable[[Outcome], float]) -> float:
        return statistics.median(what(one) for one in runs)

    rate, other = (middle(runs, lambda one: one.spans_per_s) for runs in (ours, theirs))
    for title, runs in (("product 512", ours), ("reference 512", theirs), ("product 512 gzip", zipped),
                        ("product 10", tiny), ("reference 10", [their_tiny])):  # fmt: skip
        print(f"{title:18} {middle(runs, lambda one: one.spans_per_s):10.0f} spans/s   "
              f"cpu {middle(runs, lambda one: one.cpu_ns_per_span):7.0f} ns/span   "
              f"ack p50 {middle(runs, lambda one: one.load['ack_p50_ms']):6.1f} p99 {middle(runs, lambda one: one.load['ack_p99_ms']):6.1f} ms   "
              f"rss {middle(runs, lambda one: one.rss_bytes) / 2**20:6.0f} MiB   "
              f"refused {middle(runs, lambda one: one.load['refused_calls']):.0f}   "
              f"client {middle(runs, lambda one: one.load['client_ns_per_span']):.0f} ns/span")  # fmt: skip
        for one in runs:
            assert one.load["failed_calls"] == 0, f"{title}: {one.load}"
            assert one.analysed_spans >= one.load["acked_spans"], f"{title}: not all was analysed: {one}"
    print(
        f"at {paced['spans_per_s']:.0f} spans/s: ack p50 {paced['ack_p50_ms']:.1f} p99 {paced['ack_p99_ms']:.1f} ms; {probed}"
    )
    busy = {name: counters.get(name, 0.0) for name in ("analyzer_busy_seconds", "analyzer_explain_seconds",
            "analyzer_explained_traces", "analyzer_analysed_spans", "assembly_late_spans", "assembly_reopened_traces")}  # fmt: skip
    print(f"counters: {busy}")
    memory = live_memory(requests(11, traces))
    figures: dict[str, object] = {
        "product": [one.__dict__ for one in ours],
        "reference": [one.__dict__ for one in theirs],
        "gzip": [one.__dict__ for one in zipped],
        "small": [one.__dict__ for one in tiny],
        "reference_small": their_tiny.__dict__,
        "paced": paced,
        "probed": probed,
        "memory": memory,
        "counters": counters,
        "start_s": start_s,
    }
    return [
        Measured("end_to_end", rate / 1e6, f"until all was analysed; {_shares(ours)}"),
        Measured("end_to_end_ratio", rate / other, f"reference {other:.0f} spans/s, same run"),
        Measured("lost_spans", lost),
        Measured("small_batches", middle(tiny, lambda one: one.spans_per_s) / 1e3, _shares(tiny)),
        Measured("gzip", middle(zipped, lambda one: one.spans_per_s) / 1e6, _shares(zipped)),
        Measured("cpu_per_span", middle(ours, lambda one: one.cpu_ns_per_span) / 1e3),
        Measured("ack_p99", paced["ack_p99_ms"], f"at {paced['spans_per_s']:.0f} spans/s"),
        Measured("verdict_delay", probed["verdict_delay_p99_s"], f"{probed['verdicts']} verdicts"),
        Measured("answer_p99", probed["answer_p99_ms"], f"{probed['answers']} answers, JSON included"),
        Measured(
            "overhead_per_live_span",
            memory["held_bytes_per_span"] - memory["raw_bytes_per_span"],
            f"{memory['raw_bytes_per_span']:.0f} B raw",
        ),
        Measured("start", start_s),
        Measured(
            "rss_idle",
            product.memory_idle_bytes / 1e6,
            f"shared pages once (PSS); {product.rss_idle_bytes / 1e6:.0f} MB when they count for each process",
        ),
    ], figures


if __name__ == "__main__":
    goals, numbers = run("--quick" in sys.argv)
    show(goals)
    write("end_to_end", goals, numbers)
