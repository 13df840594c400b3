"""What is said beside a section of a runbook that people wrote. Text of ours only."""

from __future__ import annotations

from analyzer.reports.model import ByHand


def by_hand_words(hand: ByHand) -> str:
    """When it was written; nobody told us by whom."""
    return f"edited by hand, edit {hand.edit}, {hand.edited_at}"


def newer_words(hand: ByHand) -> str:
    """That the edit stands in the place of other words than it did when it was made."""
    if not hand.text:
        return "The section this edit was made of is not generated any more."
    return "What is generated here has changed since the edit. Now it would be:"
