"""Draws a labelled case: a system, its fault-free traces, a fault, the traces of the window.

In: an archetype, a seed, settings. Out: `SimulatedCase`. Pure: the same in gives the same out, to the byte.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from analyzer.simulator.archetypes import ARCHETYPES, Archetype, archetype_named
from analyzer.simulator.blueprint import draw_dialect, draw_system
from analyzer.simulator.case import CaseSettings, SimulatedCase, SimulatedSpans
from analyzer.simulator.conditions import Conditions
from analyzer.simulator.dice import Dice
from analyzer.simulator.export import Exporter, PlayedTrace
from analyzer.simulator.faults import GRANULARITIES, Scene
from analyzer.simulator.faults_of_shape import benign_deploy
from analyzer.simulator.loudest import loudest_service
from analyzer.simulator.player import Player
from analyzer.simulator.system import Call, Operation, System
from analyzer.simulator.usage import Chooser, NoTargetError, Usage, count_usage

_EPOCH_NS = 1_760_000_000_000_000_000  # 2025-10-09; any fixed time will do
_DAY_NS = 86_400_000_000_000
_TARGETS_MAX, _SYSTEMS_MAX = 6, 8
_ORIGINS_MIN = 6  # traces in which a root must have done something
_KEPT_BY_TAIL = 0.5  # of the traces that a tail sampler finds dull


def simulate_case(archetype: str, seed: int, *, settings: CaseSettings | None = None) -> SimulatedCase:
    """Draw one case.

    Parameters
    ----------
    archetype : one of `ARCHETYPES`
    seed : int
        0 or more. The same archetype, seed and settings give the same case.
    settings : CaseSettings, optional

    Raises
    ------
    ValueError
        Unknown archetype, dialect or granularity; a negative seed.
    RuntimeError
        No system that can have this fault was found; another seed will do.
    """
    kind = archetype_named(archetype)
    settings = settings or CaseSettings()
    if seed < 0:
        raise ValueError(f"seed is {seed}; expected 0 or more")
    if settings.granularity not in (None, *GRANULARITIES):
        raise ValueError(f"granularity is {settings.granularity!r}; expected one of {', '.join(GRANULARITIES)}")
    for attempt in range(_SYSTEMS_MAX):
        found = _try(archetype, kind, seed, settings, attempt)
        if found is not None:
            return found
    raise RuntimeError(f"no system drawn with seed {seed} can have {archetype}; try another seed or more traces")


def _try(name: str, kind: Archetype, seed: int, settings: CaseSettings, attempt: int) -> SimulatedCase | None:
    # Chance of its own for each part: the same system also when more traces are asked for or more is lost.
    dice, chance, traffic, losses = (
        Dice(np.random.default_rng([seed, attempt, part, *name.encode()])) for part in range(4)
    )
    dialect = draw_dialect(dice)
    while dialect in kind.silent_in:
        dialect = draw_dialect(dice)
    dialect = settings.dialect or dialect
    system = draw_system(dice, settings, dialect)
    drawn = dice.weighted(("none", "head", "tail"), (6, 2, 2))
    sampling = settings.sampling or drawn
    stage = Stage(system, traffic, sampling)
    length_ns = dice.between(180, 900) * 1e9
    rate = settings.baseline_traces / length_ns
    baseline = stage.play(settings.baseline_traces, 0.0, rate, Conditions())
    usage = count_usage([trace.records for trace in baseline])
    lead_in = stage.play(settings.lead_in_traces, length_ns, rate, Conditions())
    onset = length_ns + settings.lead_in_traces / rate
    for _ in range(_TARGETS_MAX):
        scene = new_scene(system, usage, chance, settings)
        try:
            kind.draw(scene)
        except NoTargetError:
            return None
        benign = settings.benign_deploys
        benign_deploy(scene, (chance.whole(0, 2) if chance.chance(0.3) else 0) if benign is None else benign)
        factor = traffic_factor(system, scene.conditions)
        fault = stage.play(settings.fault_traces, onset, rate * factor, scene.conditions)
        if not kind.marks or _shown(scene, fault):
            break
    else:
        return None
    end = onset + settings.fault_traces / (rate * factor)
    epoch_ns = _EPOCH_NS + (seed % 365) * _DAY_NS + int(chance.uniform() * _DAY_NS)
    exporter = Exporter(system, losses, settings, epoch_ns)
    before, during = exporter.export(baseline), exporter.export(fault)
    loudest = loudest_service(before, during)
    if lead_in:
        during = _joined(exporter.export(lead_in), during)
    return SimulatedCase(
        case_id=f"{name}-{seed}",
        system=system.name,
        archetype=name,
        window_start_ns=epoch_ns + int(onset),
        window_end_ns=epoch_ns + int(end),
        root_cause_services=list(scene.roots),
        root_cause_instance=scene.instance,
        root_cause_edges=list(scene.edges),
        root_loudest=loudest in scene.roots,
        baseline=before,
        fault=during,
        granularity=scene.found_granularity or ("service" if scene.roots else ""),
        dialect=dialect,
        details={
            "law": system.law,
            "sampling": sampling,
            "span_loss": settings.span_loss,
            "uninstrumented": sum(not service.seen for service in system.services),
            "loudest": loudest,
            **scene.details,
        },
    )


@dataclass(slots=True)
class Stage:
    """Plays traces at their times, as a sampler leaves them."""

    system: System
    dice: Dice
    sampling: str
    player: Player | None = None
    slow_ns: dict[int, float] | None = None

    def play(self, count: int, start: float, rate: float, conditions: Conditions) -> list[PlayedTrace]:
        if count <= 0:
            return []
        player = self.player = self.player or Player(self.system, self.dice)
        player.conditions = conditions
        system, dice = self.system, self.dice
        factors = conditions.entry_factors
        weights = [w * factors.get(e.index, 1.0) for e, w in zip(system.entries, system.entry_weights, strict=True)]
        tail = self.sampling == "tail"
        asked = round(count / (0.9 * _KEPT_BY_TAIL + 0.1)) if tail else count
        traces: list[PlayedTrace] = []
        for at in self._arrivals(player, asked, start, count / rate):
            tenant = dice.weighted(system.tenants, [1 / (i + 1.5) for i in range(len(system.tenants))])
            records = player.play(dice.weighted(system.entries, weights), at, tenant)
            traces.append(PlayedTrace(records, tenant, conditions.clocks))
        return self._tail_sampled(traces, count) if tail else traces

    def _arrivals(self, player: Player, count: int, start: float, length: float) -> list[float]:
        """Draw times as the load has it: more where there is more traffic."""
        most = 1 + self.system.wave_depth
        times: list[float] = []
        while len(times) < count:
            at = start + self.dice.uniform() * length
            if self.dice.uniform() * most < player.load(at):
                times.append(at)
        return sorted(times)

    def _tail_sampled(self, traces: list[PlayedTrace], count: int) -> list[PlayedTrace]:
        """Keep what failed or took long (against the first window), and a part of the others."""
        if self.slow_ns is None:
            taken: dict[int, list[float]] = {}
            for trace in traces:
                root = trace.records[0]
                assert isinstance(root.what, Operation)
                taken.setdefault(root.what.index, []).append(root.end - root.start)
            self.slow_ns = {index: float(np.quantile(found, 0.95)) for index, found in taken.items()}
        kept: list[PlayedTrace] = []
        for trace in traces:
            root = trace.records[0]
            assert isinstance(root.what, Operation)
            slow = root.end - root.start > self.slow_ns.get(root.what.index, np.inf)
            if root.failure is not None or slow or self.dice.chance(_KEPT_BY_TAIL):
                kept.append(trace)
        if len(kept) <= count:
            return kept
        chosen = np.sort(self.dice.rng.choice(len(kept), count, replace=False))
        return [kept[i] for i in chosen]


def new_scene(system: System, usage: Usage, dice: Dice, settings: CaseSettings) -> Scene:
    chooser = Chooser(system, usage, dice)
    return Scene(system, usage, dice, chooser, settings.fault_traces, settings.granularity)


def traffic_factor(system: System, conditions: Conditions) -> float:
    """Return the traffic of the window over that of the baseline."""
    usual = sum(system.entry_weights)
    now = sum(
        weight * conditions.entry_factors.get(entry.index, 1.0)
        for entry, weight in zip(system.entries, system.entry_weights, strict=True)
    )
    return max(0.05, conditions.traffic * now / usual)


def _shown(scene: Scene, traces: list[PlayedTrace]) -> bool:
    """Return whether every root did something in some traces: one may hide the other."""
    seen: Counter[str] = Counter()
    for trace in traces:
        names = set()
        for record in trace.records:
            if record.origin and scene.system.services[record.service].seen:
                names.add(scene.name(record.service))
                if isinstance(record.what, Call):
                    names.add(record.what.callee)
        seen.update(names)
    least = min(_ORIGINS_MIN, max(1, len(traces) // 20))
    if scene.found_granularity == "two":
        return all(seen[name] >= least for name in scene.roots if name in scene.must_show)
    return any(seen[name] >= least for name in scene.roots)


def _joined(first: SimulatedSpans, second: SimulatedSpans) -> SimulatedSpans:
    values: dict[str, Any] = {}
    for name in SimulatedSpans.__dataclass_fields__:
        one, other = getattr(first, name), getattr(second, name)
        if isinstance(one, np.ndarray):
            values[name] = np.concatenate([one, other])
        else:
            values[name] = {**one, **other} if isinstance(one, dict) else one + other
    return replace(first, **values)


__all__ = ["ARCHETYPES", "simulate_case"]
