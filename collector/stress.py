"""Stress mode: under pressure that lasts, most new traces are left out whole, so that the others are decided whole.

In: how full assembly and the way to it are, and the time. Out: assembly is told to leave out new traces, or no longer
to (`Assembler.shed`). Never by default: without it a request that finds no room is refused with a delay, and nothing
that was acknowledged is given up.

Two thresholds, so that it does not flutter, and no more than two changes in any minute:

- on over `on_share`, a minute after it went on the last time at the earliest;
- off under `off_share`, after `min_s` at the earliest; after a minute when it went on within a minute of being left:
  then the pressure lasts, and what let it off was only that so much was left out.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from collector.telemetry import Snapshot

logger = logging.getLogger(__name__)

MINUTE_NS = 60_000_000_000
_WAITING_S = 2.0  # the ring is full for moments whenever the engine decides: only its mean over some time is pressure


@dataclass(frozen=True, slots=True)
class StressLimits:
    """What is kept, and when.

    keep_share : of new traces, from 0 to 1
    on_share, off_share : how full it must be, from 0 to 1
    min_s : how long it stays on at least
    """

    keep_share: float = 0.1
    on_share: float = 0.9
    off_share: float = 0.75
    min_s: float = 10.0


class Counts(Protocol):
    """What assembly counts, as far as it is told of here."""

    @property
    def dropped_spans(self) -> Mapping[str, int]: ...

    @property
    def shed_traces(self) -> int: ...


class Hall(Protocol):
    """Where traces wait (collector.assembly)."""

    def fill(self) -> float: ...

    def shed(self, keep_share: float | None) -> None: ...

    def counts(self) -> Counts: ...


class StressMode:
    """On or off. Owner: the engine's thread; `snapshot` reads single words, from any thread.

    Parameters
    ----------
    hall : told what to leave out
    waiting : how full the way to it is, from 0 to 1
    """

    def __init__(self, limits: StressLimits, hall: Hall, waiting: Callable[[], float]) -> None:
        self._limits, self._hall, self._waiting = limits, hall, waiting
        self._is_on = False
        self._changes = 0
        self._on_ns = self._off_ns = -MINUTE_NS  # when it went on and off the last time
        self._stay_ns = 0
        self._level = 0.0  # of what waits, its mean
        self._looked_ns: int | None = None
        self._before = (0, 0)  # spans and traces left out before it went on

    @property
    def is_on(self) -> bool:
        return self._is_on

    def look(self, now_ns: int) -> None:
        """Go on or off when it is time to. Called before and after what is due is decided: then the ring fills."""
        held = self._hall.fill()
        level = self._smooth(now_ns)
        pressure = max(held, level)
        if not self._is_on and pressure > self._limits.on_share and now_ns - self._on_ns >= MINUTE_NS:
            what = "what waits for the engine" if level > held else "the memory of open traces"
            self._begin(now_ns, f"{what} is {pressure:.0%} full")
        elif self._is_on and pressure < self._limits.off_share and now_ns - self._on_ns >= self._stay_ns:
            self._end(now_ns, pressure)

    def snapshot(self) -> Snapshot:
        """Whether it is on, and how often that changed."""
        return {"assembly_stress_mode": int(self._is_on), "assembly_stress_changes": self._changes}

    def _smooth(self, now_ns: int) -> float:
        if self._looked_ns is not None:
            passed_s = (now_ns - self._looked_ns) / 1e9
            self._level += (self._waiting() - self._level) * -math.expm1(-passed_s / _WAITING_S)
        self._looked_ns = now_ns
        return self._level

    def _begin(self, now_ns: int, why: str) -> None:
        least_ns = round(self._limits.min_s * 1e9)
        self._stay_ns = least_ns if now_ns - self._off_ns >= MINUTE_NS else max(least_ns, MINUTE_NS)
        self._is_on, self._on_ns = True, now_ns
        self._changes += 1
        self._before = self._left_out()
        self._hall.shed(self._limits.keep_share)
        logger.warning(
            "stress mode is on: %s (on over %.0f%%). All spans of %.0f%% of new traces are dropped and counted "
            "(assembly_dropped_spans, reason stress), for %.0f s at least; open traces go on",
            why,
            self._limits.on_share * 100,
            (1 - self._limits.keep_share) * 100,
            self._stay_ns / 1e9,
        )

    def _end(self, now_ns: int, pressure: float) -> None:
        self._is_on, self._off_ns = False, now_ns
        self._changes += 1
        self._hall.shed(None)
        spans, traces = self._left_out()
        logger.warning(
            "stress mode is off after %.0f s: %.0f%% full (off under %.0f%%). %d spans of %d traces were dropped",
            (now_ns - self._on_ns) / 1e9,
            pressure * 100,
            self._limits.off_share * 100,
            spans - self._before[0],
            traces - self._before[1],
        )

    def _left_out(self) -> tuple[int, int]:
        counts = self._hall.counts()
        return counts.dropped_spans["stress"], counts.shed_traces
