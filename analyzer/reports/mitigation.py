"""Did the mitigation work? Answered from the share of failing calls of whoever is blamed.

In: failed and all calls before the onset, until the mitigation and after it. Out: a verdict with its numbers: worked,
worked in part, did not work, cannot tell yet. Knows no store and no clock.
"""

from __future__ import annotations

from typing import NamedTuple

from analyzer.errors.exact_shares import Calls, chance_of_more, share_limits
from analyzer.reports.clock_text import utc
from analyzer.reports.model import Claim, Mitigation, MitigationVerdict
from analyzer.words import shown

RARE = 0.01  # chance below which two shares are told apart
WINDOW_S_BEFORE = 3_600
WINDOW_S_AFTER = 1_800  # the runbook waits 15 to 30 minutes


class Attempt(NamedTuple):
    """Something that was done against the harm, with the calls until it and after it."""

    at_ns: int
    what: str
    during: Calls
    after: Calls


def mitigation_of(who: str, before: Calls, attempt: Attempt) -> Mitigation:
    """Judge one attempt.

    Parameters
    ----------
    who : whose calls they are, in words
    before : of the hour before the onset

    Notes
    -----
    Shares are compared by Fisher's exact test, and known within Clopper-Pearson limits of 95 %. It worked: after it the
    share lies below the half of the way back, and is not told apart from before. In part: below the half, but above
    before. It did not: the share lies above the half. Else the calls are too few.
    """
    during, after = attempt.during, attempt.after
    low, high = share_limits(after)
    half = (before.share + during.share) / 2.0
    rose, fell = chance_of_more(during, before), chance_of_more(during, after)
    above = chance_of_more(after, before)
    verdict: MitigationVerdict = "cannot tell yet"
    why = f"{_counted(after.calls)} after it are too few"
    if not during.calls:
        why = "no calls were counted between the onset and it"
    elif not before.calls:
        why = "no calls were counted before the onset, so what is usual is not known"
    elif rose >= RARE:
        why = "no more calls failed than before, so failures cannot show it"
    elif not after.calls:
        why = "no calls were counted after it"
    elif high < half and fell < RARE:
        verdict = "worked" if above >= RARE else "worked in part"
        why = "" if verdict == "worked" else "more still fail than before"
    elif low > half:
        verdict, why = "did not work", "most of the failures stayed"
    shares = f"{_share(before)} failed before the onset, {_share(during)} until it, {_share(after)} after it"
    reason = f" ({why})" if why else ""
    text = f"{shown(attempt.what)} at {utc(attempt.at_ns)}: {verdict}{reason}. Of {shown(who)} {shares}."
    return Mitigation(
        what=shown(attempt.what),
        at_ns=attempt.at_ns,
        verdict=verdict,
        claim=Claim(
            text=text,
            level="measured" if verdict != "cannot tell yet" else "inferred",
            numbers={
                "before_failed": before.failed,
                "before_calls": before.calls,
                "during_failed": during.failed,
                "during_calls": during.calls,
                "after_failed": after.failed,
                "after_calls": after.calls,
                "after_share_low": low,
                "after_share_high": high,
                "p_fell": fell,
                "p_above_before": above,
            },
        ),
        before_share=before.share if before.calls else None,
        after_share=after.share if after.calls else None,
    )


def _share(one: Calls) -> str:
    return f"{one.failed:,} of {one.calls:,} calls ({one.share:.2%})" if one.calls else "none of no calls"


def _counted(calls: int) -> str:
    return "1 call" if calls == 1 else f"{calls:,} calls"
