"""What is news among groups of errors: one that is far above its own past, one of a kind nobody knew, one that is back.

In: the states of groups and the time, once a minute. Out: `Turn`s, each once: spike, new, regressed. Pure: no clock.
Owner: `Groups`.

A spike is the last five full minutes against the five-minute windows before, as far back as the engine watched and
the group is known, at most two hours. Windows since a spike began are no past of it: what lasts stays a spike until
fewer than six older windows are left (some 90 minutes), then it is what is usual. Where the calls of the service are
known, errors are compared per call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

from analyzer.errors.group_state import MINUTE_NS, GroupState
from analyzer.errors.group_words import Spike
from analyzer.errors.own_past import LAG_MINUTES, WINDOW_MINUTES, WINDOWS, PastSeries, key_of, past_series, said
from analyzer.errors.spikes import Series, SpikeSettings, Trend, find_spikes, novelty

What = Literal["spike", "new", "regressed"]
# A service -> its calls by minute.
CallsOf: TypeAlias = Callable[[str], Mapping[int, int]]

QUIET_LOOKS = WINDOW_MINUTES  # until every minute that made a window a spike has left it
LOOKS_A_DAY = 1_440
# Each look may find something by chance: the rate of a day is shared among its looks.
SETTINGS = SpikeSettings(false_discovery_rate=0.05 / LOOKS_A_DAY)
JUDGED_MAX = 500  # groups with most errors of one look, some 0.1 ms each; the others are counted
TURNS_MAX = 20  # told in one minute; a flood of news is one piece of news
WARM_NS = (SETTINGS.reference_min + 1) * WINDOW_MINUTES * MINUTE_NS  # before, a service's first error says nothing
SURPRISES_MAX = 100  # new groups of one minute that are judged, some 2 ms each at worst
NOVELTY_MAX = 0.5  # more likely than not, such a service would have shown no new kind


class Turn(NamedTuple):
    """One piece of news. at_ns : when it began; with group and kind it is told once."""

    group_id: str
    what: What
    at_ns: int


@dataclass(slots=True)
class NewsCounts:
    """Plain counters."""

    spikes: int = 0
    novel: int = 0
    unjudged: int = 0  # groups of a look that found no room in it
    untold: int = 0  # turns over `TURNS_MAX` a minute


class GroupNews:
    """Judges groups against their own past. Owner: one thread."""

    def __init__(self) -> None:
        self.counts = NewsCounts()
        self.spiking = 0
        self._began_ns: int | None = None
        self._turns: list[Turn] = []
        self._room, self._surprises = TURNS_MAX, SURPRISES_MAX

    def begin(self, now_ns: int) -> None:
        """Note when watching began: silence before it is not calm."""
        if self._began_ns is None:
            self._began_ns = now_ns

    def is_flooded(self) -> bool:
        """Count one more new group of this minute; so many that another one is no news."""
        self._surprises -= 1
        return self._surprises < 0

    def is_novel(self, counts: Sequence[int], recent: int, now_ns: int) -> tuple[bool, str]:
        """Whether another group of a service is news, and why.

        Parameters
        ----------
        counts : errors of every group of the service that was known before
        recent : errors of them in the last window
        now_ns : Unix nanoseconds
        """
        self.begin(now_ns)
        if not counts:
            watched_ns = now_ns - (self._began_ns or 0)
            if watched_ns < WARM_NS:
                return False, "no error of this service was known, and it was watched too shortly to be surprised"
            return True, f"the first error of this service in {watched_ns // MINUTE_NS} minutes of watching"
        chance = novelty(counts, recent + 1)
        kinds = "1 kind" if len(counts) == 1 else f"{len(counts)} kinds"
        found = f"{sum(counts)} errors of {kinds} were known: a new one had a chance of {chance:.2g}"
        return chance < NOVELTY_MAX, found

    def tell(self, turn: Turn) -> None:
        """Keep a turn until it is taken."""
        if self._room <= 0:
            self.counts.untold += 1
            return
        self._room -= 1
        self._turns.append(turn)

    def take(self) -> list[Turn]:
        taken, self._turns = self._turns, []
        return taken

    def look(
        self, states: Mapping[str, GroupState], now_ns: int, calls: CallsOf = lambda service: {}
    ) -> list[GroupState]:
        """Judge the last window of every group; those whose spike began, went on or ended."""
        self.begin(now_ns)
        self._room, self._surprises = TURNS_MAX, SURPRISES_MAX
        end = now_ns // MINUTE_NS - LAG_MINUTES
        judged = self._judged(states.values(), end)
        pasts = [_past(state, end, self._began_ns or 0, calls(state.fixed.service)) for state in judged]
        trends = self._trends([past.series for past in pasts], len(states), end)
        found = {state.group_id: (trend, past) for state, trend, past in zip(judged, trends, pasts, strict=True)}
        changed = [state for state in states.values() if self._settle(state, found.get(state.group_id), end)]
        self.spiking = sum(state.spike is not None for state in states.values())
        return changed

    def _judged(self, states: Iterable[GroupState], end: int) -> list[GroupState]:
        """Fewer than `events_min` errors are no spike, whatever the past: they need not be looked at."""
        counted = [
            (state.minutes.between(end - WINDOW_MINUTES, end), state)
            for state in states
            if state.spike is not None or (state.last_ns // MINUTE_NS >= end - WINDOW_MINUTES)
        ]
        wanted = [pair for pair in counted if pair[0] >= SETTINGS.events_min or pair[1].spike is not None]
        wanted.sort(key=lambda pair: (-pair[0], pair[1].group_id))
        self.counts.unjudged += max(0, len(wanted) - JUDGED_MAX)
        return [state for _, state in wanted[:JUDGED_MAX]]

    def _trends(self, series: list[Series], groups: int, end: int) -> list[Trend]:
        if not series:
            return []
        # Benjamini-Hochberg over all groups: those left out would have stood behind, each with a p of 1.
        rate = SETTINGS.false_discovery_rate * len(series) / max(1, groups)
        settings = SpikeSettings(false_discovery_rate=rate)
        window_ns = WINDOW_MINUTES * MINUTE_NS
        return find_spikes(series, window_ns=window_ns, end_ns=end * MINUTE_NS, settings=settings)

    def _settle(self, state: GroupState, found: tuple[Trend, PastSeries] | None, end: int) -> bool:
        """Begin, renew or end the spike of one group; whether it changed."""
        if found is not None and found[0].state == "spike":
            since_ns = state.spike.since_ns if state.spike is not None else (end - WINDOW_MINUTES) * MINUTE_NS
            if state.spike is None:
                self.counts.spikes += 1
                if state.status != "ignored":  # a person wants to hear nothing of it
                    self.tell(Turn(state.group_id, "spike", since_ns))
            state.spike, state.quiet_looks = spike_of(*found, since_ns), 0
            return True
        if state.spike is None:
            return False
        state.quiet_looks += 1
        if state.quiet_looks < QUIET_LOOKS:
            return False
        state.spike, state.quiet_looks = None, 0
        return True


def spike_of(trend: Trend, past: PastSeries, since_ns: int) -> Spike:
    return Spike(
        now=trend.count,
        usual=trend.expected,
        ratio=trend.ratio,
        p=trend.p,
        since_ns=since_ns,
        window_s=WINDOW_MINUTES * 60,
        sentence=said(trend, past),
        per=past.per,
        calls=past.calls,
    )


def _past(state: GroupState, end: int, began_ns: int, calls: Mapping[int, int]) -> PastSeries:
    """Counts of the windows that say what is usual, and of the last."""
    first = max(began_ns, state.first_ns) // MINUTE_NS + 1  # the first full minute
    until = end if state.spike is None else state.spike.since_ns // MINUTE_NS
    begins = [end - (back + 1) * WINDOW_MINUTES for back in range(WINDOWS - 1, 0, -1)]
    begins = [begin for begin in begins if begin >= first and begin + WINDOW_MINUTES <= until]
    return past_series(key_of(state.fixed), state.minutes.between, [*begins, end - WINDOW_MINUTES], calls)
