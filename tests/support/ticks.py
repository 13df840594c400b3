"""A system as streams of counts: services, entry operations and edges with known laws, tick by tick.

Not our detector's laws: shares wander by beta draws, rates by gamma draws and with the time of day.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from analyzer.detection import Alarm, DetectionConfig, Detector
from analyzer.kernels.detection import INSTANCE, OPERATION, SERVICE
from tests.support.naive.vocabulary import Vocabulary, vocabulary

SECOND = 10**9
START_NS = 1_760_000_400 * SECOND  # a Thursday morning, on a full minute


class System:
    """Service i answers the entry operation i, and asks store i; all three are called at `rates[i]` a minute."""

    def __init__(
        self,
        rates: Sequence[float],
        tick_s: int = 10,
        seed: int = 1,
        errors: float = 0.005,
        spread: float = 0.01,
        day: float = 0.5,
        config: DetectionConfig | None = None,
        words: Vocabulary | None = None,
    ) -> None:
        """`errors`: share of failed calls; `spread`: variance between ticks; `day`: log amplitude of the day."""
        self.words = words or vocabulary()
        self.rng = np.random.default_rng(seed)
        self.tail = np.random.default_rng([seed, 1])
        self.detector = Detector(config or DetectionConfig(tick_s=tick_s))
        self.detector.meet(self.words)
        self.count = len(rates)
        self.per_tick = np.tile(np.array(rates, float) * tick_s / 60, 3)
        self.errors, self.spread, self.day = errors, spread, day
        self.tick_ns = tick_s * SECOND
        self.now_ns = START_NS
        intern = self.words.strings.intern
        names = [intern(f"s{i}".encode()) for i in range(self.count)]
        entries = [self.words.operations.intern(name, intern(b"GET /"), 2) for name in names]
        keys = [(OPERATION << 62) | entry for entry in entries]
        keys += [(SERVICE << 62) | name for name in names]
        keys += [(name << 31) | intern(f"store{i}".encode()) for i, name in enumerate(names)]
        self.keys = np.array(keys, np.uint64)

    def of(self, service: int, value: float, usual: float) -> np.ndarray:
        """`value` for one service, its entry operation and its calls; `usual` for all others."""
        values = np.full(3 * self.count, usual)
        values[service :: self.count] = value
        return values

    def counts(self, **change: float | np.ndarray) -> np.ndarray:
        """One tick's counts: `rate` and `slow` are factors, `errors` and `lost` shares."""
        rng, shape = self.rng, len(self.keys)
        day = np.exp(self.day * np.sin(2 * np.pi * self.now_ns / SECOND / 86_400))
        calls = rng.poisson(self.per_tick * day * change.get("rate", 1.0) * self._around(1.0, shape))
        failures = rng.binomial(calls, self._share(change.get("errors", self.errors), shape))
        wild = change.get("slow", 1.0) * self._around(1.0, shape, 0.1)  # rare durations come in bunches
        rare = rng.binomial(calls, np.clip(0.05 * wild, 0, 1))
        served = calls - rng.binomial(calls, np.broadcast_to(change.get("lost", 0.02), shape))
        rarest = rng.binomial(rare, 0.2)
        columns = [calls, failures, served, calls, rare, rarest, self.tail.binomial(rarest, 0.2)]
        return np.stack(columns, axis=1).astype(np.int32)

    def tick(self, **change: float | np.ndarray) -> list[Alarm]:
        self.detector.add_counts(self.keys, self.counts(**change), self.now_ns)
        self.now_ns += self.tick_ns
        return self.detector.tick(self.now_ns)

    def run(self, hours: float, **change: float | np.ndarray) -> list[Alarm]:
        """Everything that was told within some hours."""
        told: list[Alarm] = []
        for _ in range(round(hours * 3600 * SECOND / self.tick_ns)):
            told += self.tick(**change)
        return told

    def _around(self, mean: float, shape: int, spread: float | None = None) -> np.ndarray:
        spread = self.spread if spread is None else spread
        return self.rng.gamma(1 / spread, spread * mean, shape) if spread else np.full(shape, mean)

    def _share(self, share: float | np.ndarray, shape: int) -> np.ndarray:
        share = np.broadcast_to(share, shape)
        if not self.spread:
            return share
        known = 1 / self.spread - 1
        return self.rng.beta(share * known, (1 - share) * known)


class Instances:
    """One service whose instances share its calls; shares of failed and of rare calls per instance."""

    def __init__(self, system: System) -> None:
        self.system = system
        self.service = (SERVICE << 62) | system.words.strings.intern(b"pods")

    def tick(self, shares: Mapping[str, tuple[float, float]], calls: int = 100) -> list[Alarm]:
        """`shares`: instance -> (failed, rare)."""
        system, rng = self.system, self.system.rng
        keys, counts = [self.service], [np.zeros(7, np.int64)]
        for name, (failed, rare) in shares.items():
            n = int(rng.poisson(calls / len(shares)))
            slow = rng.binomial(n, rare)
            slowest = rng.binomial(slow, 0.2)
            row = np.array([n, rng.binomial(n, failed), 0, n, slow, slowest, system.tail.binomial(slowest, 0.2)])
            keys.append((INSTANCE << 62) | self._resource(name))
            counts.append(row)
            counts[0] = counts[0] + row
        services = np.array([0] + [self.service] * len(shares), np.uint64)
        system.detector.add_counts(
            np.array(keys, np.uint64), np.array(counts, np.int32), system.now_ns, services=services
        )
        system.now_ns += system.tick_ns
        return system.detector.tick(system.now_ns)

    def _resource(self, name: str) -> int:
        from opentelemetry.proto.resource.v1.resource_pb2 import Resource

        message = Resource()
        for key, value in (("service.name", "pods"), ("service.instance.id", name)):
            pair = message.attributes.add()
            pair.key, pair.value.string_value = key, value
        return self.system.words.resources.intern(message.SerializeToString())


def raised(alarms: Sequence[Alarm]) -> list[Alarm]:
    return [alarm for alarm in alarms if not alarm.cleared]
