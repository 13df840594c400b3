"""Assembly, release and analysis: nanoseconds a span, and where they go; against networkx per trace.

Run: python -m tests.benchmarks.bench_analysis [--quick]

Decoded requests go through the real `Assembler` and `Analyzer` in the order of `collector.pipeline`
(ingest, due, analyse, learn, done; explanations counted apart). Every round sends the same spans under
new trace ids. The reference analyses the same traces, parsed before, with one DiGraph each; rounds take
turns, medians are shown, CPU time of the one thread.

Two ratios. *Same work*: trees, own time, critical path, failures, sums per operation and per edge on both
sides, and what both say of a span must be the same. *Everything*: all that the product does for a trace
(contexts, conformal scores, structure, propagation, learning) against that same work plus a running score.
"""

from __future__ import annotations

import gc
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np

from analyzer import engine
from analyzer.engine import Analyzer, Verdicts
from analyzer.strings import new_vocabulary
from collector.app.warming import warm
from collector.assembly import Assembler, AssemblyConfig
from collector.contracts import Signal
from collector.exporters.findings import ExportSettings, finding_exports
from collector.pipeline import RELEASE_TRACES_MAX
from collector.wire.decode import Decoder
from collector.wire.detail import read_detail
from collector.wire.encode import encode_logs, encode_traces
from tests.benchmarks import reference
from tests.benchmarks.goals import Measured, show, write
from tests.benchmarks.load_client import Rounds
from tests.support.load import requests

NOW_NS = 1_780_000_000_000_000_000
SPAN_NS = 3_000  # the owner's clock: 0.33 M spans a second, so housekeeping comes as often as it would
WARM_UP_ROUNDS = 12  # until baselines have grown up: a young one is renewed with every tenth observation


class Watch:
    """CPU time of the thread, by name; `of` wraps a callable."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)

    def of(self, name: str, work: Callable[..., Any]) -> Callable[..., Any]:
        def watched(*arguments: Any, **named: Any) -> Any:
            began = time.thread_time()
            try:
                return work(*arguments, **named)
            finally:
                self.seconds[name] += time.thread_time() - began

        return watched


class Product:
    """The engine's half of the server without its thread: what `collector.pipeline` does, step by step."""

    def __init__(self) -> None:
        vocabulary = new_vocabulary()
        self.decoder = Decoder(vocabulary)
        config = AssemblyConfig(arena_bytes=1 << 29, open_traces_max=1 << 17)
        self.assembler = Assembler(config, self.decoder, vocabulary, read_detail, seed=1)
        self.analyzer = Analyzer()
        self.watch = Watch()
        self.decoder.decode_into = self.watch.of("decode", self.decoder.decode_into)  # type: ignore[method-assign]
        self.now_ms = 1
        self.suspicious = self.traces = self.spans = 0

    def round(self, payloads: list[bytes], see: Callable[[Verdicts], None] | None = None) -> int:
        """Send, wait out the quiet period, decide all; the number of spans analysed."""
        seconds = self.watch.seconds
        began = time.thread_time()
        decode_before = seconds["decode"]
        for payload in payloads:
            self.assembler.ingest(payload, Signal.TRACES, self.now_ms)
        seconds["ingest"] += time.thread_time() - began - (seconds["decode"] - decode_before)
        self.now_ms += 60_000
        analysed = 0
        while True:
            began = time.thread_time()
            released = self.assembler.due(self.now_ms, RELEASE_TRACES_MAX)
            seconds["release"] += time.thread_time() - began
            if released is None:
                break
            began = time.thread_time()
            verdicts = self.analyzer.analyse(released.traces)
            seconds["analyse"] += time.thread_time() - began
            if see is not None:
                see(verdicts)
            began = time.thread_time()
            self.analyzer.learn(verdicts, NOW_NS + (self.spans + analysed) * SPAN_NS)
            seconds["learn"] += time.thread_time() - began
            analysed += len(verdicts.analysis.forest.row)
            self.suspicious += int(verdicts.suspicious.sum())
            self.traces += released.traces.trace_count
            began = time.thread_time()
            self.assembler.done(released)
            seconds["release"] += time.thread_time() - began
        self.spans += analysed
        return analysed


SAME_WORK = ("build_forest", "own_time", "critical_time", "classify", "_aggregates.add")


def stages(product: Product, watch: Watch) -> None:
    """Watch every stage of the engine; slower by the watching, so used in rounds of its own."""
    for name in SAME_WORK[:4]:
        setattr(engine, name, watch.of(name, getattr(engine, name)))
    analyzer: Any = product.analyzer
    for topic, methods in (
        ("baselines", ("score_own", "score_duration", "is_slow", "contamination_weights", "learn")),
        ("structure", ("score", "is_odd", "learn")),
        ("propagation", ("learn",)),
        ("_aggregates", ("add",)),
    ):
        part = getattr(analyzer, topic)
        for method in methods:
            setattr(part, method, watch.of(f"{topic}.{method}", getattr(part, method)))


def compare(verdicts: Verdicts, theirs: dict[bytes, reference.Verdict]) -> int:
    """Assert that every span has the same own and critical time, and every trace as many failures."""
    analysis, forest = verdicts.analysis, verdicts.analysis.forest
    ids = analysis.traces.rows["span_id"][forest.row]
    for trace in range(analysis.traces.trace_count):
        nodes = forest.nodes(trace)
        other = theirs[verdicts.trace_id(trace)]
        where = f"trace {verdicts.trace_id(trace).hex()}"
        names = [int(ids[node]).to_bytes(8, "little") for node in nodes]
        own = dict(zip(names, analysis.own_ns[nodes.start : nodes.stop].tolist(), strict=True))
        critical = dict(zip(names, analysis.critical_ns[nodes.start : nodes.stop].tolist(), strict=True))
        assert len(nodes) == other.span_count, f"{where}: {len(nodes)} spans; expected {other.span_count}"
        assert own == other.own_ns, f"{where}: own times differ"
        assert critical == other.critical_ns, f"{where}: critical times differ"
        failures = int(analysis.failed[nodes.start : nodes.stop].sum())
        assert failures == other.failed_count, f"{where}: {failures} failed spans; expected {other.failed_count}"
    return analysis.traces.trace_count


def explanations(product: Product, payloads: list[bytes]) -> dict[str, float]:
    """Milliseconds for each suspicious trace: the answer, its bytes, its messages."""
    watch = Watch()
    settings = ExportSettings()
    explain = watch.of("explain", product.analyzer.explain)
    encode = watch.of("encode", lambda traces, index: (encode_traces(traces, index), encode_logs(traces, index)))
    exports = watch.of("exports", lambda answer: finding_exports(answer, settings, NOW_NS))
    kinds: dict[str, int] = defaultdict(int)
    each: list[float] = []

    def see(verdicts: Verdicts) -> None:
        for index in np.flatnonzero(verdicts.suspicious):
            before = watch.seconds["explain"]
            answer = explain(verdicts, int(index))
            each.append(watch.seconds["explain"] - before)
            kinds[f"verdict_{answer.verdict}"] += 1
            encode(verdicts.analysis.traces, int(index))
            if answer.status == "finding":
                exports(answer)

    product.round(payloads, see)
    count = max(1, len(each))
    found = {f"{name}_ms": spent / count * 1e3 for name, spent in watch.seconds.items()}
    found |= {"explained": len(each), "explain_p50_ms": float(np.median(each or [0.0])) * 1e3}
    return found | {"explain_max_ms": max(each or [0.0]) * 1e3} | dict(kinds)


def race(sent: list[bytes], traces_max: int | None) -> tuple[float, float, float, dict[bytes, reference.Verdict]]:
    """What the reference takes: seconds a span to parse, to analyse and score, to do the same work; its verdicts."""
    traces: dict[bytes, list[reference.Span]] = defaultdict(list)
    began = time.thread_time()
    parsed = 0
    for payload in sent:
        for span in reference.parse(payload):
            traces[span.trace_id].append(span)
            parsed += 1
    parsing = (time.thread_time() - began) / parsed
    chosen = list(traces.items())[:traces_max]
    count = sum(len(found) for _, found in chosen)
    spent = []
    for scores in (True, False):
        analysis = reference.Analysis(scores)
        began = time.thread_time()
        verdicts = {trace_id: analysis.analyse(found) for trace_id, found in chosen}
        spent.append((time.thread_time() - began) / count)
    return parsing, spent[0], spent[1], verdicts


def run(quick: bool = False) -> tuple[list[Measured], dict[str, object]]:
    """Compare, then race."""
    warm()
    rounds = Rounds(requests(7, 600 if quick else 3000))
    number = 0

    def payloads() -> list[bytes]:
        nonlocal number
        number += 1
        return [rounds.payload(index, number) for index in range(len(rounds))]

    spans = sum(rounds.counts)
    product = Product()
    watch = product.watch
    for _ in range(2 if quick else WARM_UP_ROUNDS):
        assert product.round(payloads()) == spans
    compared = 0
    theirs: list[float] = []
    same: list[float] = []
    parses: list[float] = []
    sums: list[dict[str, float]] = []
    for lap in range(3 if quick else 7):
        gc.collect()  # what the reference left behind: the product does not live in its heap
        sent = payloads()
        watch.seconds.clear()
        seen: list[Verdicts] = []
        assert product.round(sent, seen.append if lap == 0 else None) == spans
        sums.append({name: spent / spans for name, spent in watch.seconds.items()})
        # The reference takes a part in turn: it is slow. The first lap takes all, to compare.
        parsing, analysing, sharing, found = race(sent, None if lap == 0 else 400)
        parses.append(parsing)
        theirs.append(analysing)
        same.append(sharing)
        for one in seen:
            compared += compare(one, found)
        del seen, found
    median = {name: statistics.median(lap[name] for lap in sums) for name in sums[0]}
    chain = statistics.median(sum(lap[name] for name in ("ingest", "release", "analyse", "learn")) for lap in sums)
    alone, both = median["analyse"], statistics.median(lap["analyse"] + lap["learn"] for lap in sums)
    other, alike = statistics.median(theirs), statistics.median(same)
    by_stage = Watch()
    stages(product, by_stage)
    laps = 5
    works: list[float] = []
    for _ in range(laps):
        before = sum(by_stage.seconds[name] for name in SAME_WORK)
        product.round(payloads())
        works.append((sum(by_stage.seconds[name] for name in SAME_WORK) - before) / spans)
    work = statistics.median(works)
    print(f"{spans} spans a round, {compared} traces identical to the reference (own, critical, failed)")
    print(f"suspicious {product.suspicious / product.traces:.2%} of traces")
    for name in ("decode", "ingest", "release", "analyse", "learn"):
        print(f"  {name:24} {median[name] * 1e9:7.0f} ns/span")
    print(f"  {'assembly to learn':24} {chain * 1e9:7.0f} ns/span = {1e-6 / chain:.2f} M spans/s")
    print(f"  {'analysis with learning':24} {both * 1e9:7.0f} ns/span = {1e-6 / both:.2f} M spans/s")
    print(f"  reference: parse {statistics.median(parses) * 1e9:.0f}, networkx per trace {other * 1e9:.0f} ns/span; "
          f"analysis {other / alone:.0f}x, with learning {other / both:.0f}x")  # fmt: skip
    print(f"  the same work: ours {work * 1e9:.0f}, networkx per trace {alike * 1e9:.0f} ns/span: {alike / work:.0f}x")
    told = explanations(product, payloads())
    print("  explanations: " + ", ".join(f"{name} {value:.3g}" for name, value in told.items()))
    print("stages, ns/span:")
    for name, spent in by_stage.seconds.items():
        print(f"  {name:34} {spent / spans / laps * 1e9:7.1f}")
    figures: dict[str, object] = {
        "ns_per_span": {name: value * 1e9 for name, value in median.items()},
        "stages_ns_per_span": {name: spent / spans / laps * 1e9 for name, spent in by_stage.seconds.items()},
        "reference_ns_per_span": other * 1e9,
        "same_work_ns_per_span": work * 1e9,
        "same_work_reference_ns_per_span": alike * 1e9,
        "compared_traces": compared,
        "explanations": told,
    }
    return [
        Measured("analysis_chain", 1e-6 / chain, "learning included, decoding not"),
        Measured("analysis_ratio", alike / work, f"the same work, {compared} traces identical"),
        Measured("everything_ratio", other / both, "all the product does and learns; no goal of its own"),
    ], figures


if __name__ == "__main__":
    goals, numbers = run("--quick" in sys.argv)
    show(goals)
    write("analysis", goals, numbers)
