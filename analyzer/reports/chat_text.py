"""Text that is pasted where words call people and addresses become links: chats, issues, tickets.

In: text with names from telemetry. Out: the same to read, but nobody is called and nothing can be clicked. Written for
Slack, Teams, Discord, GitHub and GitLab; a bare name of a host may still be made a link, which shows where it leads.
"""

from __future__ import annotations

import re

_MENTION = re.compile(r"(?<!\w)@(?=\w)")
_ANGLE = re.compile(r"<(?=[!@#/:]|\w+:)")  # Slack: <!channel>, <@U1>, <https://a|words>
_ADDRESS = re.compile(r"(?<=\w):(?=//)|(?<=\bmailto):|(?<=\bjavascript):|(?<=\bdata):|(?<=\bwww)(?=\.)", re.IGNORECASE)


def calls_nobody(text: str) -> str:
    """Write `@name` as `(at)name`: no person, team or channel is told."""
    return _MENTION.sub("(at)", text)


def for_chat(text: str) -> str:
    """And no link of an address, nor one that says other words than where it leads."""
    text = _ADDRESS.sub(lambda found: f"{found[0]} ", calls_nobody(text))
    return _ANGLE.sub("< ", text).replace("](", "] (")
