"""`firstfault evaluate-detection`: simulated live traffic through the analyzer and the detector, hour after hour.

Spans are drawn tick by tick, encoded and decoded as OTLP, analysed, detected and learned in the order in which the
engine does it; the clock is the stream's own. False alarms are counted over all healthy traffic, which has harmless
deploys and shifts of load; each fault comes after an hour of it. The table goes to standard output. Exit status: 0
done, 2 wrong use.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson
from rich.console import Console
from rich.progress import Progress

from analyzer.detection import Alarm, Detector
from analyzer.engine import Analyzer
from analyzer.evaluation.alarming import StreamResult, score_streams
from analyzer.incident_config import IncidentConfig
from analyzer.incidents.ranking import rank_incident
from analyzer.incidents.recent import Recent
from analyzer.incidents.tracker import IncidentTracker
from analyzer.simulator import ARCHETYPES, TRUE_NEGATIVES
from analyzer.simulator.stream import SimulatedStream, StreamSettings, simulate_stream
from analyzer.strings import new_vocabulary
from collector.contracts import Signal
from collector.offline import TraceReader
from collector.simulate import requests_of

STREAM_HOURS_MAX = 10.0  # of one healthy stream; more hours are more systems
COLUMNS = ("archetype", "faults", "recall", "delay s", "p90 s")


def evaluate_detection(
    hours: float, faults: int, seed: int, archetypes: Sequence[str], traces_per_second: float, json_out: str
) -> int:
    """Play, detect, score, print.

    Parameters
    ----------
    hours : of healthy streams
    faults : streams of each archetype
    """
    unknown = [name for name in archetypes if name not in ARCHETYPES]
    if unknown:
        sys.stderr.write(f"there is no archetype {', '.join(unknown)}; expected {', '.join(ARCHETYPES)}\n")
        return 2
    results = []
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        planned = plan_streams(hours, faults, archetypes, traces_per_second)
        for number, (archetype, settings) in enumerate(progress.track(planned, description="playing")):
            try:
                stream = simulate_stream(archetype, seed + number, settings)
            except RuntimeError as error:  # a system in which it cannot happen: one fault less
                sys.stderr.write(f"{error}\n")
                continue
            results.append(play_stream(stream))
    summary = {**score_streams(results), "seed": seed, "traces_per_second": traces_per_second}
    if json_out:
        Path(json_out).write_bytes(orjson.dumps(summary, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
    _table(summary)
    return 0


def plan_streams(
    hours: float, faults: int, archetypes: Sequence[str], traces_per_second: float
) -> list[tuple[str, StreamSettings]]:
    """Return archetype and settings of each stream: healthy hours first, then the faults."""
    planned: list[tuple[str, StreamSettings]] = []
    while hours > 0:
        healthy_s = 3600.0 * min(hours, STREAM_HOURS_MAX)
        planned.append(("healthy", StreamSettings(healthy_s=healthy_s, traces_per_second=traces_per_second)))
        hours -= STREAM_HOURS_MAX
    broken = [name for name in archetypes or ARCHETYPES if name not in TRUE_NEGATIVES]
    return planned + [
        (name, StreamSettings(traces_per_second=traces_per_second)) for _ in range(faults) for name in broken
    ]


def play_stream(stream: SimulatedStream) -> StreamResult:
    """Take a stream through analyzer, detector and tracker as the engine does, and count what is told."""
    analyzer, detector, vocabulary = Analyzer(), Detector(), new_vocabulary()
    config = IncidentConfig()
    tracker = IncidentTracker(config, Recent(config), rank_incident)  # it is asked for no ranking here
    false_alarms, false_incidents = 0, 0
    found: Alarm | None = None
    for now_ns, spans in stream.ticks():
        if len(spans):
            reader = TraceReader(vocabulary)
            for payload in requests_of(spans):
                reader.add(payload, Signal.TRACES)
            verdicts = analyzer.analyse(reader.batch())
            detector.observe(verdicts.analysis, now_ns - 1)
            analyzer.learn(verdicts, now_ns)
        alarms = detector.tick(now_ns)
        tracker.take(alarms, now_ns)
        tracker.tell(now_ns)
        raised = [alarm for alarm in alarms if not alarm.cleared]
        if now_ns <= stream.onset_ns:
            false_alarms, false_incidents = false_alarms + len(raised), tracker.counts.opened
        elif raised and found is None:
            found = raised[0]
    return StreamResult(
        archetype=stream.archetype,
        seed=stream.seed,
        healthy_s=(stream.onset_ns - stream.start_ns) / 1e9,
        false_incidents=false_incidents,
        false_alarms=false_alarms,
        has_fault=stream.end_ns > stream.onset_ns,
        delay_s=(found.at_ns - stream.onset_ns) / 1e9 if found is not None else None,
        first=found.sentence if found is not None else "",
    )


def _table(summary: dict[str, Any]) -> None:
    rate = summary["false_incidents_per_hour"]
    if rate is not None:
        sys.stdout.write(
            f"{summary['healthy_hours']:.1f} healthy hours: {rate:.3f} false incidents an hour "
            f"({summary['false_alarms_per_hour']:.3f} single alarms)\n"
        )
    rows: list[Sequence[str]] = [COLUMNS]
    for name, found in [*summary["by_archetype"].items(), ("all", summary)]:
        if found["fault_count"]:
            cells = (f"{found['fault_count']}", f"{found['recall']:.2f}", _whole(found["delay_s"]))
            rows.append((name, *cells, _whole(found["delay_s_p90"])))
    widths = [max(len(row[i]) for row in rows) for i in range(len(COLUMNS))]
    for row in rows if len(rows) > 1 else ():
        padded = [row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]
        sys.stdout.write("  ".join(padded) + "\n")


def _whole(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}"
