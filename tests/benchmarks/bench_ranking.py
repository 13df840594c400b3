"""Seconds to rank an incident over a million spans, on one core.

Run: python -m tests.benchmarks.bench_ranking [--quick]

Two simulated cases, one that is slow and one that fails, each laid end to end until reference and window hold a
million spans together; times of every copy scatter by a twentieth, so that no two are the same. CPU time of the
thread; reading and measuring the spans is not part of it.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from analyzer.incidents import TraceFacts
from analyzer.incidents.facts import join_facts
from analyzer.incidents.ranking import rank_incident
from analyzer.simulator import CaseSettings, simulate_case
from collector.evaluate_cases import read_case
from collector.simulate import write_case
from tests.benchmarks.goals import Measured, show, write

SPANS = 1_000_000
CASES = (("own_latency", 4263), ("error", 4257))


def laid_end_to_end(facts: TraceFacts, copies: int) -> TraceFacts:
    """Copies of a population, one after the other in time."""
    rng = np.random.default_rng(1)
    length_ns = int((facts.start_ns + facts.duration_ns).max() - facts.start_ns.min())
    parts = []
    for copy in range(copies):
        scatter = rng.lognormal(0.0, 0.05, len(facts))
        parts.append(
            replace(
                facts,
                start_ns=facts.start_ns + copy * length_ns,
                duration_ns=(facts.duration_ns * scatter).astype(np.int64),
                own_ns=(facts.own_ns * scatter).astype(np.int64),
            )
        )
    return join_facts(parts)


def ranking(archetype: str, seed: int, laps: int) -> tuple[float, int]:
    """Seconds a ranking, and how many spans it looked at."""
    with tempfile.TemporaryDirectory() as folder:
        write_case(simulate_case(archetype, seed, settings=CaseSettings()), Path(folder))
        case = read_case(Path(folder), "oracle")
    copies = max(1, round(SPANS / (len(case.reference) + len(case.window))))
    reference, window = (laid_end_to_end(facts, copies) for facts in (case.reference, case.window))
    spent = []
    for _ in range(laps + 1):
        began = time.thread_time()
        rank_incident(reference, window, case.vocabulary)
        spent.append(time.thread_time() - began)
    return statistics.median(spent[1:]), len(reference) + len(window)


def run(quick: bool = False) -> tuple[list[Measured], dict[str, object]]:
    """Measure both cases; the slower one counts."""
    figures: dict[str, float] = {}
    for archetype, seed in CASES:
        seconds, spans = ranking(archetype, seed, 3 if quick else 9)
        figures[f"{archetype}_s"] = seconds
        print(f"  {archetype}: {seconds:.3f} s for {spans} spans")
    return [Measured("ranking", max(figures.values()), "two simulated cases, the slower one")], {**figures}


if __name__ == "__main__":
    goals, numbers = run("--quick" in sys.argv)
    show(goals)
    write("ranking", goals, numbers)
