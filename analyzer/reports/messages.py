"""The two messages to send: that something is wrong, and that it has been stopped. Golden texts; nothing made up.

In: what is known. Out: `Messages`. A field nobody knows reads "(not known: why)". Names from telemetry call nobody in a
chat and make no link.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from analyzer.graph_text import visible
from analyzer.reports.chat_text import for_chat
from analyzer.reports.model import Messages
from analyzer.words import shown

_RISE = "\U0001f6a8"
_DONE = "\u2705"
CHANNEL_MAX = 40  # of the words in a channel's name; chat systems allow 80 in all


class Notice(NamedTuple):
    """What the messages are filled with; None or empty: not known."""

    title: str
    severity: str
    started: str
    symptoms: Sequence[str]
    error: str
    cause: str
    next_steps: Sequence[str]
    looked_at: Sequence[str]
    day: str = ""
    about: str = ""
    duration: str = ""
    status_after: str = ""
    error_share: str = ""
    error_share_now: str = ""
    error_share_usual: str = ""
    mitigation: str = ""
    severity_after: str = ""


def messages_of(notice: Notice) -> Messages:
    """Write both messages."""
    severity = notice.severity.capitalize() or not_known("severity was not judged")
    share = notice.error_share or not_known("the rate was not measured")
    usual = notice.error_share_usual or not_known("the usual rate was not given")
    initial = [
        f"{_RISE} INCIDENT: {_line(notice.title)}",
        "",
        f"Severity: {severity}",
        "Status: Investigating",
        f"Started: {notice.started or not_known('no time was seen')}",
        f"Incident Commander: {not_known('assign one')}",
        "",
        "Symptoms:",
        f"- Error rate: {share} (normal: {usual})",
        *(f"- {_line(text)}" for text in notice.symptoms),
        f"- Affected users: {not_known('spans carry no count of users')}",
        f"- Error: {_quoted(notice.error)}",
        "",
        "Actions Taken:",
        *(f"- {_line(text)}" for text in notice.looked_at),
        "",
        "Updates: Will provide update every 15 minutes",
        f"Status Page: {not_known('no status page is configured')}",
    ]
    mitigation = [
        f"{_DONE} INCIDENT UPDATE: Mitigation Applied",
        "",
        f"Severity: {severity} \u2192 {notice.severity_after or not_known('judge it again')}",
        f"Status: {notice.status_after or not_known('send this when the harm has stopped')}",
        f"Duration: {notice.duration or not_known('it has not ended')}",
        "",
        f"Root Cause: {_line(notice.cause) or not_known('no cause was named')}",
        "",
        f"Mitigation: {notice.mitigation or not_known('write what was done')}",
        "",
        "Current Status:",
        f"- Error rate: {notice.error_share_now or not_known('measure it now')}",
        f"- All systems operational: {not_known('check')}",
        f"- Backlog: {not_known('check the queues')}",
        "",
        "Next Steps:",
        "- Monitor for 30 minutes",
        *(f"- {_line(text)}" for text in notice.next_steps),
        "- Schedule the review within 48 hours",
    ]
    words = re.sub(r"[^a-z0-9]+", "-", notice.about.lower()).strip("-")[:CHANNEL_MAX].strip("-")
    channel = "-".join(word for word in ("#incident", notice.day, words) if word)
    return Messages(channel=channel, initial=_written(initial), mitigation=_written(mitigation))


def not_known(why: str) -> str:
    """Mark what is missing, and what to do about it."""
    return f"(not known: {why})"


def _written(lines: Sequence[str]) -> str:
    """Lines of ours with text of theirs in them: none can begin a line of its own."""
    return "".join(for_chat(visible(" ".join(line.split()))) + "\n" for line in lines)


def _line(text: str) -> str:
    return shown(" ".join(text.split()))


def _quoted(text: str) -> str:
    return f'"{_line(text)}"' if text else not_known("no error message was recorded")
