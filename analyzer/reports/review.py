"""A draft of the review after an incident: hypotheses, times, what contributed, what to do, by four heads.

In: what is known. Out: `Review`. A draft for people: it asks, it does not judge.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from analyzer.errors.model import PatternMatch
from analyzer.reports.advice import mitigation
from analyzer.reports.model import ActionItems, Claim, Review

PATTERNS_MAX = 2


@dataclass(frozen=True, slots=True)
class Known:
    """What the draft is filled with; None: not known."""

    first: str
    final: str
    contributing: Sequence[Claim] = ()
    time_to_detect_ns: int | None = None
    time_to_recover_ns: int | None = None


def review_of(known: Known, patterns: Sequence[PatternMatch]) -> Review:
    """Write the draft."""
    best = patterns[:PATTERNS_MAX]
    return Review(
        due="within 48 hours",
        first_hypothesis=known.first,
        final_hypothesis=known.final,
        time_to_detect_ns=known.time_to_detect_ns,
        time_to_recover_ns=known.time_to_recover_ns,
        contributing=list(known.contributing),
        actions=ActionItems(
            prevent=[match.prevention for match in best] or ["Find out what would have prevented it."],
            detect=[match.monitor for match in best] or ["Find out which signal would have shown it first."],
            mitigate=[mitigation(patterns), "Keep the runbook of this report where the alarm points to."],
            communicate=[
                "Send the first message within five minutes, updates every 15 minutes.",
                "Agree on who tells users, and where the status page is.",
            ],
        ),
        questions=[
            "Was the first hypothesis right? What led to it?",
            "What went well, and what was luck?",
            "Which of the whys that need people can be answered now?",
        ],
    )
