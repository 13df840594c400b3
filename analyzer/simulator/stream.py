"""Hours of one system's traffic, tick by tick: the load of the day, harmless changes, then perhaps a fault.

In: an archetype, a seed, settings. Out: `SimulatedStream`, whose spans are drawn while they are asked for. What is
harmless (new versions as good as the old, shifts of load and of its mix) comes and goes by itself; the truth (whose
fault, since when) stands beside the spans, never in them. Pure and seeded, as cases are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from math import pi, sin

import numpy as np

from analyzer.simulator.archetypes import TRUE_NEGATIVES, archetype_named
from analyzer.simulator.blueprint import draw_dialect, draw_system
from analyzer.simulator.case import CaseSettings, SimulatedSpans
from analyzer.simulator.conditions import Conditions
from analyzer.simulator.dice import Dice
from analyzer.simulator.draw import Stage, new_scene, traffic_factor
from analyzer.simulator.export import Exporter
from analyzer.simulator.faults import Scene
from analyzer.simulator.faults_of_shape import benign_deploy, benign_load_shift
from analyzer.simulator.usage import NoTargetError, Usage, count_usage

_EPOCH_S = 1_760_000_400  # a Thursday morning, on a full minute
_DAY_S = 86_400
_USED_TRACES = 400  # played before the stream begins, to know what is used; never exported
_SYSTEMS_MAX = 8
_SHIFT_S = (600.0, 3600.0)  # how long a shift of load lasts


@dataclass(frozen=True, slots=True)
class StreamSettings:
    """How a stream is drawn.

    healthy_s             healthy traffic, harmless changes among it; before the fault, when there is one
    quiet_s               of that, the first part, in which nothing changes but the load
    fault_s               how long the fault lasts
    traces_per_second     mean over the day
    changes_per_hour      harmless ones: deploys and shifts of load, alike often
    day_depth             of the load of the day; its own, shorter waves a system draws itself
    tick_s                spans that arrive together
    case                  what a case draws too: dialect, span loss, sampling
    """

    healthy_s: float = 3600.0
    quiet_s: float = 1800.0
    fault_s: float = 900.0
    traces_per_second: float = 1.0
    changes_per_hour: float = 1.0
    day_depth: float = 0.4
    tick_s: float = 10.0
    case: CaseSettings = field(default_factory=CaseSettings)


@dataclass(slots=True)
class SimulatedStream:
    """A labelled stream; `ticks` plays it, once. Owner: one thread.

    start_ns, onset_ns, end_ns : of the stream's time; the onset is the end where nothing is ever wrong
    root_cause_services : empty when nothing is
    changes : (time, what) of harmless changes that were played so far
    """

    archetype: str
    seed: int
    dialect: str
    root_cause_services: list[str]
    start_ns: int
    onset_ns: int
    end_ns: int
    settings: StreamSettings
    changes: list[tuple[int, str]]
    _parts: _Parts

    def ticks(self) -> Iterator[tuple[int, SimulatedSpans]]:
        """Yield (end of the tick, its spans); a tick without requests has none."""
        return self._parts.play(self)


def simulate_stream(archetype: str, seed: int, settings: StreamSettings | None = None) -> SimulatedStream:
    """Draw a stream.

    Parameters
    ----------
    archetype : one of `ARCHETYPES`; a true negative is healthy to its end
    seed : int
        0 or more.

    Raises
    ------
    ValueError
        Unknown archetype or dialect; a negative seed.
    RuntimeError
        No system that can have this fault was found; another seed will do.
    """
    kind = archetype_named(archetype)
    settings = settings or StreamSettings()
    if seed < 0:
        raise ValueError(f"seed is {seed}; expected 0 or more")
    for attempt in range(_SYSTEMS_MAX):
        dice, chance, traffic, losses = (
            Dice(np.random.default_rng([seed, attempt, part, *b"stream", *archetype.encode()])) for part in range(4)
        )
        dialect = draw_dialect(dice)
        while dialect in kind.silent_in:
            dialect = draw_dialect(dice)
        dialect = settings.case.dialect or dialect
        system = draw_system(dice, settings.case, dialect)
        sampling = settings.case.sampling or dice.weighted(("none", "head", "tail"), (6, 2, 2))
        stage = Stage(system, traffic, sampling)
        used = stage.play(_USED_TRACES, 0.0, settings.traces_per_second, Conditions())
        usage = count_usage([trace.records for trace in used])
        harmless, fault = _scene(stage, usage, chance, settings), None
        if archetype not in TRUE_NEGATIVES:
            fault = _scene(stage, usage, chance, settings)
            try:
                kind.draw(fault)
            except NoTargetError:
                continue
        start_ns = (_EPOCH_S + round(chance.uniform() * _DAY_S / settings.tick_s) * round(settings.tick_s)) * 10**9
        onset_ns = start_ns + int(settings.healthy_s * 1e9)
        return SimulatedStream(
            archetype=archetype,
            seed=seed,
            dialect=dialect,
            root_cause_services=list(fault.roots) if fault else [],
            start_ns=start_ns,
            onset_ns=onset_ns,
            end_ns=onset_ns + int(settings.fault_s * 1e9) if fault else onset_ns,
            settings=settings,
            changes=[],
            _parts=_Parts(stage, Exporter(system, losses, settings.case, start_ns), chance, harmless, fault),
        )
    raise RuntimeError(f"no system drawn with seed {seed} can have {archetype}; try another seed")


def _scene(stage: Stage, usage: Usage, dice: Dice, settings: StreamSettings) -> Scene:
    scene = new_scene(stage.system, usage, dice, settings.case)
    scene.fault_traces = max(1, int(settings.fault_s * settings.traces_per_second))
    return scene


@dataclass(slots=True)
class _Parts:
    """What plays a stream, and the harmless changes under way."""

    stage: Stage
    exporter: Exporter
    dice: Dice
    harmless: Scene
    fault: Scene | None
    shift_ends: float = 0.0

    def play(self, stream: SimulatedStream) -> Iterator[tuple[int, SimulatedSpans]]:
        settings, dice = stream.settings, self.dice
        tick_s, at = settings.tick_s, 0.0
        last = (stream.end_ns - stream.start_ns) / 1e9
        next_change = settings.quiet_s + self._until_next(settings)
        while at < last:
            conditions = self.harmless.conditions
            if self.fault is not None and stream.start_ns + int(at * 1e9) >= stream.onset_ns:
                conditions = _with(self.fault.conditions, conditions)
            elif at >= next_change:
                stream.changes.append((stream.start_ns + int(at * 1e9), self._change(at)))
                next_change = at + self._until_next(settings)
            if self.shift_ends and at >= self.shift_ends:
                self.shift_ends = 0.0
                self.harmless.conditions.traffic = 1.0
                self.harmless.conditions.entry_factors.clear()
            mean = settings.traces_per_second * tick_s * self._load(stream, at)
            count = int(dice.rng.poisson(mean * traffic_factor(self.stage.system, conditions)))
            traces = self.stage.play(count, at * 1e9, count / (tick_s * 1e9), conditions) if count else []
            at += tick_s
            yield stream.start_ns + int(at * 1e9), self.exporter.export(traces)

    def _load(self, stream: SimulatedStream, at: float) -> float:
        """Return the load of the moment over its mean: of the day, and of the system's own shorter waves."""
        assert self.stage.player is not None
        day = sin(2 * pi * (stream.start_ns / 1e9 + at) / _DAY_S)
        return (1 + stream.settings.day_depth * day) * self.stage.player.load(at * 1e9)

    def _until_next(self, settings: StreamSettings) -> float:
        return float(self.dice.rng.exponential(3600.0 / max(1e-9, settings.changes_per_hour)))

    def _change(self, at: float) -> str:
        if self.dice.chance(0.5) or self.shift_ends:
            benign_deploy(self.harmless)
            return "benign_deploy"
        own = {service: list(effects) for service, effects in self.harmless.conditions.own.items()}
        benign_load_shift(self.harmless)
        self.harmless.conditions.own = own  # the hair slower of many shifts would add up
        self.shift_ends = at + self.dice.between(*_SHIFT_S)
        return "benign_load_shift"


def _with(fault: Conditions, harmless: Conditions) -> Conditions:
    """Return the conditions of a fault in a system that goes on under its harmless ones."""
    return Conditions(
        own={key: [*harmless.own.get(key, ()), *fault.own.get(key, ())] for key in {**harmless.own, **fault.own}},
        edges=fault.edges,
        plans=fault.plans,
        pods={**harmless.pods, **fault.pods},
        down=fault.down,
        backlog=fault.backlog,
        clocks=fault.clocks,
        entry_factors={
            key: harmless.entry_factors.get(key, 1.0) * fault.entry_factors.get(key, 1.0)
            for key in {**harmless.entry_factors, **fault.entry_factors}
        },
        traffic=harmless.traffic * fault.traffic,
    )
