"""Requests nobody made by hand: synthetic checks and bots, told from what the request says of its sender.

In: the exceptions of a trace. Out: who checked, or None. A check is no user: it is counted apart from those that are
hit. What a trace says itself (`user_agent.synthetic.type` of the semantic conventions) comes before what its user
agent looks like.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Literal, NamedTuple

from analyzer.errors.model import Asker, ExceptionFact
from analyzer.spans import AttributeValue

TYPE_KEY = "user_agent.synthetic.type"
AGENT_KEYS = ("user_agent.original", "http.user_agent")  # new and old name
AGENT_MAX = 512  # characters of a user agent
_KINDS: Mapping[str, Literal["test", "bot"]] = {"test": "test", "bot": "bot"}
# What services that check from outside write into the user agent, in any case.
_CHECKERS: tuple[tuple[str, str], ...] = (
    ("datadogsynthetics", "Datadog Synthetics"),
    ("checkly", "Checkly"),
    ("pingdom", "Pingdom"),
    ("uptimerobot", "UptimeRobot"),
    ("statuscake", "StatusCake"),
    ("site24x7", "Site24x7"),
    ("newrelicpinger", "New Relic Synthetics"),
    ("newrelicsynthetics", "New Relic Synthetics"),
    ("cloudwatchsynthetics", "CloudWatch Synthetics"),
    ("googlestackdrivermonitoring", "Google Cloud uptime checks"),
    ("better uptime bot", "Better Stack"),
    ("uptime-kuma", "Uptime Kuma"),
    ("blackbox exporter", "Blackbox Exporter"),
)
# Googlebot/2.1, bingbot/2.0: a product whose name ends in "bot"; and those that are called otherwise.
_BOT = re.compile(r"\b[\w-]{1,40}bot(?=/\d)|baiduspider|yahoo! slurp|facebookexternalhit", re.IGNORECASE)


class Synthetic(NamedTuple):
    """Who asked, when it was no person. kind : "test" (a check) or "bot". name : for people; empty: not said."""

    kind: Literal["test", "bot"]
    name: str = ""

    def __str__(self) -> str:
        what = "a synthetic check" if self.kind == "test" else "a bot"
        return f"{what} ({self.name})" if self.name else what


def asker_of(places: Iterable[Mapping[str, AttributeValue]]) -> Asker:
    """Read the sender off the attributes of spans, entry first: the first type, and the first user agent."""
    said = agent = ""
    for place in places:
        said = said or str(place.get(TYPE_KEY) or "")[:AGENT_MAX]
        agent = agent or next((str(place[key])[:AGENT_MAX] for key in AGENT_KEYS if place.get(key)), "")
    return Asker(said, agent)


def synthetic_of(facts: Iterable[ExceptionFact], agents: Sequence[str] = ()) -> Synthetic | None:
    """Say who asked, when it was a check or a bot.

    Parameters
    ----------
    facts : of one trace
    agents : more user agents of checks, by any part of theirs, in any case

    Examples
    --------
    >>> str(of_agent("Pingdom.com_bot_version_1.4_(http://www.pingdom.com/)"))
    'a synthetic check (Pingdom)'
    """
    asker = next((fact.asker for fact in facts if any(fact.asker)), None)
    if asker is None:
        return None
    looks = of_agent(asker.agent) or _own(asker.agent, agents)
    kind = _KINDS.get(asker.synthetic_type.lower())
    return Synthetic(kind, looks.name if looks is not None else "") if kind is not None else looks


@lru_cache(maxsize=1024)
def of_agent(agent: str) -> Synthetic | None:
    """Tell a check or a bot from its user agent."""
    lower = agent.lower()
    checker = next((name for part, name in _CHECKERS if part in lower), "")
    if checker:
        return Synthetic("test", checker)
    bot = _BOT.search(agent)
    return Synthetic("bot", bot.group()) if bot is not None else None


def _own(agent: str, agents: Sequence[str]) -> Synthetic | None:
    lower = agent.lower()
    found = next((part for part in agents if part.lower() in lower), "")
    return Synthetic("test", found) if found else None
