"""All benchmarks of the design's goals: `python -m tests.benchmarks [--quick]`; results also in bench-results/."""

from __future__ import annotations

import sys

from tests.benchmarks import (
    bench_analysis,
    bench_decode,
    bench_detection,
    bench_end_to_end,
    bench_journal,
    bench_ranking,
    bench_stack_traces,
)
from tests.benchmarks.goals import show, write

BENCHES = (
    bench_decode,
    bench_analysis,
    bench_detection,
    bench_ranking,
    bench_stack_traces,
    bench_end_to_end,
    bench_journal,
)

if __name__ == "__main__":
    quick = "--quick" in sys.argv
    goals, figures = [], {}
    for bench in BENCHES:
        title = bench.__name__.rpartition(".bench_")[2]
        print(f"\n== {title}")
        found, numbers = bench.run(quick)
        goals += found
        figures[title] = numbers
    show(goals)
    print(f"written to {write('all', goals, figures)}")
