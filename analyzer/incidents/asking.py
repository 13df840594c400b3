"""Who is slower only because of what is asked of it: more calls, or calls that nobody waits for any more.

In: facts and cast of reference and window, what fails, what is asked otherwise. Out: `Asking`, which says of a group
of like spans who answers for its time. Load runs from the caller to the callee, so a callee that is slower by no
more than the load can explain is a victim. Says nothing of failures.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from analyzer.incidents.cast import Cast
from analyzer.incidents.facts import TraceFacts
from analyzer.incidents.failing import Failing
from analyzer.incidents.reshaped import Reshaped

_NOBODY = -1
_MORE_MIN = 1.3  # times as many calls as usual, to be the reason that they got slower
_LOAD_MAX = 4.0  # times slower for each time as many calls: beyond, the calls are retries of what hangs
_WORK_MIN = 2.0  # times as much work in all, to be the reason for being slower oneself
_HURRIED_MIN = 0.01  # share of requests that fail because a caller gives up too early, to be more than an accident
_HURRIED_MAX = 2.0  # times slower that requests which nobody waits for any more make their server


@dataclass(frozen=True, slots=True)
class Asking:
    """Candidates by index.

    more : (caller, callee) where calls of some kind are made more often -> times as often; all kinds wait in one line
    hurried : callee -> caller that gives up too early on it and asks again
    loaded : callee -> (caller that asks it more often, times as much work as it had)
    """

    more: Mapping[tuple[int, int], float]
    hurried: Mapping[int, int]
    loaded: Mapping[int, tuple[int, float]]

    def answers_for(self, owner: int, callee: int, slower: float) -> int:
        """Return who is charged with the time of a group of like spans; -1: its own side, or both ends of the call.

        Parameters
        ----------
        callee : -1 of spans that are no calls
        slower : times as long as it was
        """
        if callee >= 0 and slower <= _LOAD_MAX * self.more.get((owner, callee), 0.0):
            return owner
        if callee < 0 and owner in self.hurried and slower <= _HURRIED_MAX:
            return self.hurried[owner]
        if owner in self.loaded and slower <= self.loaded[owner][1]:
            return self.loaded[owner][0]
        return _NOBODY


def find_asking(reference: TraceFacts, window: TraceFacts, cast: Cast, failing: Failing, reshaped: Reshaped) -> Asking:
    """Say who asks more than it did."""
    work_before, work_now = (
        np.bincount(lines.owner, minlength=len(cast.names)) / max(1, facts.trace_count)
        for facts, lines in ((reference, cast.reference), (window, cast.window))
    )
    more: dict[tuple[int, int], float] = {}
    loaded: dict[int, tuple[int, float]] = {}
    for change in reversed(reshaped.changes):  # the strongest last
        times = change.times_more
        if times >= _MORE_MIN:
            pair = change.owner, change.callee
            more[pair] = max(times, more.get(pair, 0.0))
        work = float(work_now[change.callee] / max(work_before[change.callee], 1e-9))
        if change.callee >= 0 and min(times, work) >= _WORK_MIN:
            loaded[change.callee] = (change.owner, work)
    hurried = {
        callee: caller
        for (caller, callee), share in sorted(failing.hurried.items(), key=lambda one: one[1])
        if share >= _HURRIED_MIN
    }
    return Asking(more, hurried, loaded)
