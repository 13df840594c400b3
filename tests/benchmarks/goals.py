"""What the product must reach, what was measured, and whether that is enough: one table, one JSON file.

The goals are those of the design (2 cores, the load generator on the same cores, about 500 bytes a span,
loopback, no TLS). Ratios to the reference are of the same run; absolute figures hold for one machine.
"""

from __future__ import annotations

import json
import os
import platform
from dataclasses import asdict, dataclass
from pathlib import Path

RESULTS = Path("bench-results")


@dataclass(frozen=True)
class Goal:
    """`at_least`: more is better; else less is."""

    text: str
    unit: str
    must: float
    at_least: bool = True


GOALS = {
    "decode": Goal("decode alone, one core", "M spans/s", 3.0),
    "analysis_chain": Goal("assembly + release + analysis, one core", "M spans/s", 1.5),
    "analysis_ratio": Goal("analysis against networkx per trace, the same work", "x", 50.0),
    "everything_ratio": Goal("all that is done for a trace, against the same networkx", "x", 0.0),
    "detection_per_span": Goal("online detection: counting a span", "ns", 40.0, at_least=False),
    "detection_tick": Goal("online detection: closing a tick of 5000 entities", "ms", 50.0, at_least=False),
    "ranking": Goal("an incident over a million spans ranked, one core", "s", 0.5, at_least=False),
    "stack_frames": Goal("stack traces: text to frames, in-app decided, one core", "M frames/s", 1.0),
    "stack_frames_fresh": Goal("the same, of stacks that never came before", "M frames/s", 1.0),
    "end_to_end": Goal("end to end incl. analysis, 512-span batches", "M spans/s", 0.6),
    "end_to_end_ratio": Goal("end to end against the reference server", "x", 20.0),
    "lost_spans": Goal("spans lost or not accounted for", "spans", 0.0, at_least=False),
    "journal": Goal("the same, every request on disk before its ack", "M spans/s", 0.3),
    "journal_zstd": Goal("the same, the journal compressed", "M spans/s", 0.0),
    "journal_ack_p99": Goal("ack p99 with the journal at a fixed rate", "ms", 250.0, at_least=False),
    "small_batches": Goal("end to end, 10-span batches", "k spans/s", 50.0),
    "gzip": Goal("end to end, gzip, 512-span batches", "M spans/s", 0.25),
    "cpu_per_span": Goal("CPU of all server processes", "us/span", 2.0, at_least=False),
    "ack_p99": Goal("ack p99 at a fixed rate, with queries", "ms", 10.0, at_least=False),
    "verdict_delay": Goal("verdict after the last span, beyond the quiet period, p99", "s", 1.0, at_least=False),
    "answer_p99": Goal("root-cause answer by trace id during ingest, p99", "ms", 10.0, at_least=False),
    "overhead_per_live_span": Goal("memory per live span beyond its raw bytes", "B", 140.0, at_least=False),
    "start": Goal("start to first accepted RPC, warm kernel cache", "s", 2.0, at_least=False),
    "rss_idle": Goal("RSS idle, all processes", "MB", 450.0, at_least=False),
}


@dataclass(frozen=True)
class Measured:
    """One measured goal; `note` says how."""

    goal: str
    value: float
    note: str = ""

    @property
    def reached(self) -> bool:
        goal = GOALS[self.goal]
        return self.value >= goal.must if goal.at_least else self.value <= goal.must


def show(found: list[Measured]) -> None:
    """Print the table: goal, must reach, measured, reached."""
    print(f"\n{'goal':58} {'must reach':>16} {'measured':>12}  reached")
    for one in found:
        goal = GOALS[one.goal]
        bound = f"{'>=' if goal.at_least else '<='} {goal.must:g} {goal.unit}"
        print(f"{goal.text:58} {bound:>16} {one.value:12.3f}  {'yes' if one.reached else 'NO'}  {one.note}")


def write(name: str, found: list[Measured], figures: dict[str, object]) -> Path:
    """Keep a run: what was measured, every figure behind it, and on what."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    told = {
        "machine": {
            "cores": os.cpu_count(),
            "python": platform.python_version(),
            "load": os.getloadavg(),
        },
        "goals": [asdict(GOALS[one.goal]) | asdict(one) | {"reached": one.reached} for one in found],
        "figures": figures,
    }
    path.write_text(json.dumps(told, indent=1, default=float))
    return path
