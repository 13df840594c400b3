"""Whether a group is getting worse.

In: a group and the time. Out: `Trend`. Says so when there is too little to tell.
"""

from __future__ import annotations

import math

from analyzer.errors.group_state import HOUR_NS
from analyzer.errors.group_words import ErrorGroup, Trend

HOURS_BEFORE = 24
COUNT_MIN = 5  # errors in both together before a direction means anything
SIGMAS = 3.0


def trend_of(group: ErrorGroup, now_ns: int) -> Trend:
    """Compare the last full hour's errors with the hours before it, as counts that vary by chance.

    Notes
    -----
    Counts of independent errors vary by their square root: a change of three of them is called one (square roots of
    counts vary by 1/2 whatever the count, so the difference of two is compared with that).
    """
    hour = now_ns // HOUR_NS
    counts = {bucket.start: bucket.count for bucket in group.hours}
    last = counts.get(hour, 0) + counts.get(hour - 1, 0)
    into = (now_ns % HOUR_NS) / HOUR_NS
    elapsed = 1.0 + into
    known = max(0, min(HOURS_BEFORE, hour - 1 - group.first_seen_ns // HOUR_NS))
    before = sum(counts.get(hour - 1 - back, 0) for back in range(1, known + 1))
    rate = last / elapsed
    usual = before / known if known else 0.0
    if last + before < COUNT_MIN or not known:
        return Trend(
            last_hour=round(rate), usual_hour=usual, direction="too_little", reason=f"{last + before} errors to compare"
        )
    spread = 0.5 * math.sqrt(1.0 + elapsed / known)
    change = math.sqrt(last) - math.sqrt(usual * elapsed)
    reason = f"{rate:.1f} an hour now, {usual:.1f} in the {known} hours before"
    if change > SIGMAS * spread:
        return Trend(last_hour=round(rate), usual_hour=usual, direction="rising", reason=reason)
    if change < -SIGMAS * spread:
        return Trend(last_hour=round(rate), usual_hour=usual, direction="falling", reason=reason)
    return Trend(last_hour=round(rate), usual_hour=usual, direction="steady", reason=reason)
