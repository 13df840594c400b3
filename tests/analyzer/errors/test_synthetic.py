"""Synthetic checks and bots: told from people, in old and new conventions and by their user agents."""

from __future__ import annotations

import json

import pytest

from analyzer.engine import Analyzer
from analyzer.errors.model import Asker, ExceptionFact
from analyzer.errors.synthetic import AGENT_MAX, Synthetic, asker_of, synthetic_of
from analyzer.errors.trace_groups import Explained
from collector.exporters.findings import ExportSettings, finding_exports
from collector.exporters.sentry import SentrySettings, sentry_events
from collector.verdict_text import verdict_text
from tests.support.drawing import batch, draw
from tests.support.reported import Reporter

CHROME = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36"
PAY = """
    gateway  SERVER POST /pay  0..100  ERROR  {who}
      gateway  CLIENT Charge  5..95  ERROR
        payment  SERVER Charge  6..94  ERROR  !CardError: "card 4711 declined"  user_agent.original=okhttp/4.9
"""


def told(agent: str = "", synthetic_type: str = "", agents: tuple[str, ...] = ()) -> Synthetic | None:
    asker = Asker(synthetic_type, agent)
    return synthetic_of([ExceptionFact("t", "s", "payment", "Charge", 0, "E", "", asker=asker)], agents)


@pytest.mark.parametrize(
    ("agent", "name"),
    [
        (f"{CHROME} DatadogSynthetics", "Datadog Synthetics"),
        ("Checkly/1.0 (https://www.checklyhq.com)", "Checkly"),
        ("Pingdom.com_bot_version_1.4_(http://www.pingdom.com/)", "Pingdom"),
        ("Mozilla/5.0+(compatible; UptimeRobot/2.0; http://www.uptimerobot.com/)", "UptimeRobot"),
        (f"{CHROME} StatusCake", "StatusCake"),
        ("Site24x7", "Site24x7"),
        ("NewRelicPinger/1.0 (370512)", "New Relic Synthetics"),
    ],
)
def test_known_checks_are_told_by_their_user_agent(agent: str, name: str):
    assert told(agent) == told(agent.upper()) == Synthetic("test", name)


@pytest.mark.parametrize(
    ("agent", "name"),
    [
        ("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", "Googlebot"),
        ("Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)", "bingbot"),
        ("Mozilla/5.0 (compatible; Baiduspider/2.0)", "Baiduspider"),
    ],
)
def test_crawlers_are_bots_and_no_checks(agent: str, name: str):
    assert told(agent) == Synthetic("bot", name)


@pytest.mark.parametrize(
    "agent",
    ["", CHROME, "okhttp/4.9", "curl/8.5.0", "Mozilla/5.0 (Linux; Android 9; CUBOT X19) Mobile", "bot", "/bot/1"],
)
def test_people_and_programs_of_ours_are_neither(agent: str):
    assert told(agent) is None


@pytest.mark.parametrize(
    ("said", "agent", "expected"),
    [
        ("test", CHROME, Synthetic("test")),
        ("bot", CHROME, Synthetic("bot")),
        ("TEST", "Googlebot/2.1", Synthetic("test", "Googlebot")),
        ("none", CHROME, None),
        ("x" * 10_000, "", None),
    ],
)
def test_what_the_trace_says_itself_comes_first(said: str, agent: str, expected: Synthetic | None):
    assert told(agent, said) == expected


def test_agents_of_ours_are_checks_too():
    assert told("acme-Prober/3 (night shift)", agents=("ACME-prober",)) == Synthetic("test", "ACME-prober")
    assert told("acme-Prober/3 (night shift)", agents=("other",)) is None


@pytest.mark.parametrize("key", ["user_agent.original", "http.user_agent"])
def test_both_names_of_the_user_agent_are_read_and_cut(key: str):
    assert asker_of([{}, {key: "x" * 10_000}, {key: "later"}]) == Asker("", "x" * AGENT_MAX)


@pytest.mark.parametrize("value", [7, True, ["Pingdom", "x"], {"a": "b"}, b"\xff", None])
def test_a_user_agent_of_another_kind_breaks_nothing(value):
    assert synthetic_of([ExceptionFact("t", "s", "", "", 0, "", "", asker=asker_of([{"http.user_agent": value}]))]) in (
        None,
        Synthetic("test", "Pingdom"),
    )


@pytest.mark.parametrize(
    ("who", "expected"),
    [
        ("user_agent.original=Checkly/1.0", "a synthetic check (Checkly) asked, no user"),
        ("user_agent.synthetic.type=bot", "a bot asked, no user"),
        ("user_agent.original=Firefox/120", "the user saw it"),
    ],
)
def test_the_report_of_a_trace_says_who_asked(who: str, expected: str):
    """The entry counts: what services call themselves among each other says nothing of who asked."""
    _, report = Reporter().report(draw(PAY.format(who=who)))

    assert [claim.text for claim in report.summary.scope][-1] == expected


def test_an_entry_that_did_not_fail_says_it_too():
    """The failure was worked around: of the entry nothing is read but this."""
    handled = draw("""
        shop  SERVER GET /buy  0..100  OK  user_agent.original=Pingdom.com_bot
          shop  CLIENT stock.Get  5..20  ERROR  peer.service=stock
            stock  SERVER Get  6..19  ERROR  !Busy: "try again"
          shop  CLIENT stock.Get  30..50  peer.service=stock
            stock  SERVER Get  31..49
    """)

    _, report = Reporter().report(handled)

    assert "a synthetic check (Pingdom) asked, no user" in [claim.text for claim in report.summary.scope]


def explained(who: str, agents: tuple[str, ...] = ()) -> Explained:
    analyzer = Analyzer(agents=agents)
    return analyzer.explain_errors(analyzer.analyse(batch(draw(PAY.format(who=who)))), 0)


@pytest.mark.parametrize(
    ("who", "agents", "asked_by"),
    [
        ("user_agent.original=Pingdom.com_bot", (), "a synthetic check (Pingdom)"),
        ("user_agent.synthetic.type=bot", (), "a bot"),
        ("user_agent.original=acme-prober/3", (), ""),
        ("user_agent.original=acme-prober/3", ("acme-prober",), "a synthetic check (acme-prober)"),
        ("user_agent.original=Firefox/120", (), ""),
        ("", (), ""),
    ],
)
def test_the_answer_says_who_asked(who: str, agents: tuple[str, ...], asked_by: str):
    """The request failed for its caller either way; whether that was a user is another question."""
    answer = explained(who, agents).answer

    assert answer.asked_by == asked_by
    assert answer.user_visible


@pytest.mark.parametrize(
    ("who", "seen", "tag"),
    [
        (
            "user_agent.original=Pingdom.com_bot",
            "a synthetic check (Pingdom) asked, no user",
            "a synthetic check (Pingdom)",
        ),
        ("user_agent.original=Firefox/120", "the user saw it", None),
    ],
)
def test_everybody_who_is_told_hears_who_asked(who: str, seen: str, tag: str | None):
    """In words, in the finding that is written back, in an error tracker's tags."""
    found = explained(who)
    (event,) = sentry_events(found, SentrySettings())
    written = b"".join(item.payload for item in finding_exports(found.answer, ExportSettings(), 0))

    assert seen in verdict_text(found.answer).plain
    assert (b"firstfault.asked_by" in written) == (tag is not None)
    assert json.loads(event.payload.split(b"\n")[2])["tags"].get("asked_by") == tag
    assert tag is None or tag.encode() in written
