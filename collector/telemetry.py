"""What firstfault says about itself, in the Prometheus text format.

In: snapshots of plain counters from registered callables. Out: `/metrics`. Hot paths bump plain integers
and never come here. A snapshot is a flat dict, `{"receiver_accepted_spans|otlp|grpc": 12}`: metric key of
`METRICS`, then its label values. So it crosses a process border as JSON, and merging is adding up.
Never holds text from telemetry as a label.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, UntypedMetricFamily
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from collector.metric_table import METRICS, Metric

Snapshot = dict[str, float]

PREFIX = "firstfault_"
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
BUCKETS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_SEPARATOR = "|"
_SUM = "sum"  # the last label of a histogram's sum; the others are upper bounds
_BOUNDS = (*(str(bound) for bound in BUCKETS_S), "+Inf")


def sample(name: str, *labels: str) -> str:
    """Return the key of one sample: `sample("redacted_values", "jwt")` is `"redacted_values|jwt"`."""
    return _SEPARATOR.join((name, *labels))


class Histogram:
    """Durations in the buckets `BUCKETS_S`. Has one owner thread, or its owner's lock."""

    def __init__(self) -> None:
        self._counts = [0] * len(_BOUNDS)
        self._sum_s = 0.0

    def observe(self, seconds: float) -> None:
        self._counts[bisect_left(BUCKETS_S, seconds)] += 1
        self._sum_s += seconds

    def samples(self, name: str, *labels: str) -> Snapshot:
        found: Snapshot = {
            sample(name, *labels, bound): count for bound, count in zip(_BOUNDS, self._counts, strict=True)
        }
        found[sample(name, *labels, _SUM)] = self._sum_s
        return found


def merge(snapshots: Iterable[Mapping[str, float]]) -> Snapshot:
    """Make one snapshot of several (rooms of a process, or processes): sums, or the largest where the table says so."""
    merged: Snapshot = {}
    for snapshot in snapshots:
        for key, value in snapshot.items():
            metric = METRICS.get(key.partition(_SEPARATOR)[0])
            if key in merged and metric is not None and metric.merge == "max":
                merged[key] = max(merged[key], value)
            else:
                merged[key] = merged.get(key, 0) + value
    return merged


class Telemetry:
    """The one registry of a process. Any thread; a lock guards only the list of rooms."""

    def __init__(self) -> None:
        self._rooms: dict[str, Callable[[], Mapping[str, float]]] = {}
        self._retired: Snapshot = {}
        self._own: Counter[str] = Counter()
        self._lock = threading.Lock()
        self.registry = CollectorRegistry(auto_describe=False)
        self.registry.register(_Reader(self.snapshot))

    def register(self, name: str, read: Callable[[], Mapping[str, float]]) -> None:
        """Ask `read` at every scrape; the same name again replaces it. Another process is a room too."""
        with self._lock:
            self._rooms[name] = read

    def retire(self, name: str, last: Mapping[str, float] | None = None) -> None:
        """Stop asking a room, and keep what its counters had reached: sums must not go back when a process ends.

        Parameters
        ----------
        name : as registered
        last : its last snapshot, when it can no longer be asked; None asks it now
        """
        with self._lock:
            read = self._rooms.pop(name, None)
        if last is None:
            last = self._read(name, read) if read is not None else {}
        counters = {key: value for key, value in last.items() if _kind(key) in ("counter", "histogram")}
        with self._lock:
            self._retired = merge((self._retired, counters))

    def snapshot(self) -> Snapshot:
        """Read every room. A room that fails is counted and left out; the others are shown."""
        with self._lock:
            rooms = dict(self._rooms)
        found = [self._read(name, read) for name, read in rooms.items()]
        with self._lock:
            return merge((*found, self._retired, self._own))

    def _read(self, name: str, read: Callable[[], Mapping[str, float]]) -> Mapping[str, float]:
        try:
            found = read()
        except Exception:  # a broken room must not take the metrics of the others with it
            with self._lock:
                self._own[sample("telemetry_failed_reads", name)] += 1
            return {}
        known = {key: value for key, value in found.items() if is_known(key)}
        if len(known) < len(found):
            with self._lock:
                self._own["telemetry_unknown_samples"] += len(found) - len(known)
        return known

    def text(self) -> bytes:
        """Return the page a Prometheus server scrapes."""
        return generate_latest(self.registry)


def is_known(key: str) -> bool:
    """Whether a sample key names a metric of the table with as many labels as it has."""
    name, *labels = key.split(_SEPARATOR)
    metric = METRICS.get(name)
    if metric is None:
        return False
    if metric.kind == "histogram":
        return len(labels) == len(metric.labels) + 1 and (labels[-1] in _BOUNDS or labels[-1] == _SUM)
    return len(labels) == len(metric.labels)


def _kind(key: str) -> str:
    metric = METRICS.get(key.partition(_SEPARATOR)[0])
    return metric.kind if metric else ""


class _Reader(Collector):
    """Turns a snapshot into metric families at every scrape."""

    def __init__(self, read: Callable[[], Snapshot]) -> None:
        self._read = read

    def collect(self) -> Iterator[Family]:
        found: dict[str, list[tuple[tuple[str, ...], float]]] = defaultdict(list)
        for key, value in sorted(self._read().items()):
            name, *labels = key.split(_SEPARATOR)
            found[name].append((tuple(labels), value))
        for name, samples in found.items():
            metric = METRICS[name]
            yield _family(PREFIX + name, metric, samples)
            if metric.alias:
                yield from _aliases(metric, samples)


def _family(name: str, metric: Metric, samples: list[tuple[tuple[str, ...], float]]) -> Family:
    if metric.kind == "histogram":
        return _histogram_family(name, metric, samples)
    kind: Any = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
    family: Family = kind(name, metric.help, labels=metric.labels)
    for labels, value in samples:
        family.add_metric(labels, value)  # type: ignore[attr-defined]
    return family


def _histogram_family(name: str, metric: Metric, samples: list[tuple[tuple[str, ...], float]]) -> Family:
    family = HistogramMetricFamily(name, metric.help, labels=metric.labels)
    by_labels: dict[tuple[str, ...], dict[str, float]] = defaultdict(dict)
    for (*labels, bound), value in samples:
        by_labels[tuple(labels)][bound] = value
    for own_labels, values in by_labels.items():
        running = 0.0
        buckets = []
        for bound in _BOUNDS:
            running += values.get(bound, 0)
            buckets.append((bound, running))
        family.add_metric(own_labels, buckets, values.get(_SUM, 0.0))
    return family


def _aliases(metric: Metric, samples: list[tuple[tuple[str, ...], float]]) -> Iterator[Family]:
    """Show the Collector's own names, so that its dashboards work.

    Counters twice: Collectors up to 0.11x show them without `_total`, newer ones with it.
    """
    places = [metric.labels.index(label) for label in metric.alias_labels]
    sums: Counter[tuple[str, ...]] = Counter()
    for labels, value in samples:
        sums[tuple(labels[place] for place in places)] += value  # type: ignore[assignment]
    plain: Any = UntypedMetricFamily if metric.kind == "counter" else GaugeMetricFamily
    kinds = [plain, CounterMetricFamily] if metric.kind == "counter" else [plain]
    for kind in kinds:
        family = kind(metric.alias, metric.help, labels=metric.alias_labels)
        for alias_labels, value in sums.items():
            family.add_metric(alias_labels, value)
        yield family
