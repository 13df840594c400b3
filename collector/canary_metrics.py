"""What the canary counts, in the Prometheus text format.

Every planted trace is right, wrong or missing in the end: `planted == right + wrong + missing` between two rounds.
"""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from collector.canary_faults import Fault

ANSWER_BUCKETS_S = (0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 7.5, 10.0, 15.0, 30.0, 60.0, 120.0)
OUTCOMES = ("right", "wrong", "missing")


class CanaryMetrics:
    """The registry of a canary. Any thread."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.registry = CollectorRegistry(auto_describe=False)

        def counter(name: str, words: str, *labels: str) -> Counter:
            return Counter(f"firstfault_canary_{name}", words, ["fault", *labels], registry=self.registry)

        self.planted = counter("planted", "Planted traces that the server acknowledged.")
        self.refused = counter("refused", "Planted traces that the server did not take.")
        self.outcomes = {
            "right": counter("right", "Planted traces whose answer was right."),
            "wrong": counter("wrong", "Planted traces whose answer was wrong."),
            "missing": counter("missing", "Acknowledged traces without an answer in time."),
        }
        self.reread = counter("reread", "Older traces that were asked for again, by what came.", "outcome")
        self.answer_seconds = Histogram(
            "firstfault_canary_answer_seconds",
            "From the acknowledgement of a planted trace to its decided answer.",
            ["fault"],
            buckets=ANSWER_BUCKETS_S,
            registry=self.registry,
        )
        self.last_round = Gauge(
            "firstfault_canary_last_round_timestamp_seconds",
            "When the last whole round ended, Unix time; 0 before the first.",
            registry=self.registry,
        )
        for fault in faults:  # series are there before anything happens: a rate of nothing is no alert
            for family in (self.planted, self.refused, *self.outcomes.values(), self.answer_seconds):
                family.labels(fault.name)
            for outcome in OUTCOMES:
                self.reread.labels(fault.name, outcome)

    def text(self) -> bytes:
        """Return the text of a scrape."""
        return generate_latest(self.registry)
