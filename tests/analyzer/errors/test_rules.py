"""People put groups together, take them apart, name them, leave errors out; and see before what would change."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from analyzer.errors.fingerprint import fingerprint_of
from analyzer.errors.model import ExceptionFact
from analyzer.errors.rules import Grouping, Rule, replay
from tests.support.drawn_stacks import parse_drawn

STACK = "CardError: declined\n  lib.Http.send(Http.java:1)\n  app.Charge.authorize(Charge.java:45)\n"


def fact(service: str = "payment", message: str = "card 1 declined", **more: object) -> ExceptionFact:
    known = {
        "trace_id": "aa",
        "span_id": "01",
        "service": service,
        "operation": "POST /charge",
        "time_ns": 1,
        "type": "CardError",
        "message": message,
    }
    return ExceptionFact(**(known | more))  # type: ignore[arg-type]


def rule(action: str, name: str = "mine", match: dict | None = None, **more: object) -> Rule:
    return Rule.model_validate({"name": name, "action": action, "match": match or {"type": "CardError"}, **more})


def group(*rules: Rule, **of: object) -> str | None:
    found = Grouping(rules)(fact(**of))  # type: ignore[arg-type]
    return found.fine if found else None


def test_without_a_rule_that_matches_nothing_changes():
    assert group(rule("ignore", match={"service": "ledger"})) == fingerprint_of(fact()).fine


def test_merged_errors_are_one_group_whatever_they_say():
    merge = rule("merge", match={"type": "Card*"})

    assert group(merge, message="declined") == group(merge, message="no funds", service="ledger")
    assert group(merge, type="Other") != group(merge)


def test_a_split_tells_groups_apart_by_what_is_named():
    split = rule("split", by=["environment"])

    assert group(split, environment="dev") != group(split, environment="production")
    found = Grouping([split])(fact(environment="dev"))
    assert found is not None
    assert found.parts[-1] == ("by environment", "dev")
    assert found.coarse == fingerprint_of(fact()).coarse


def test_what_is_ignored_is_in_no_group():
    assert group(rule("ignore", match={"message": "*declined"})) is None


def test_a_fingerprint_of_ones_own_is_filled_in():
    own = rule("fingerprint", fingerprint="cards-{service}")

    assert group(own, message="a") == group(own, message="b", operation="GET /x")
    assert group(own) != group(own, service="ledger")


def test_the_first_rule_that_matches_decides():
    first, second = rule("merge", "one"), rule("ignore", "two")

    assert group(first, second) == group(first)
    assert group(second, first) is None


@pytest.mark.parametrize(
    ("match", "fits"),
    [
        ({"service": "pay*", "type": "CardError"}, True),
        ({"service": "pay*", "type": "Other"}, False),
        ({"frame": "app.Charge:*"}, True),
        ({"frame": "lib.*"}, False),
        ({"attributes": {"tenant.id": "acme"}}, True),
        ({"attributes": {"tenant.id": "other"}}, False),
        ({"version": "1.*"}, False),
    ],
)
def test_all_that_is_given_must_match(match: dict, fits: bool):
    one = fact(stack=parse_drawn(STACK), attributes=(("tenant.id", "acme"),))

    assert rule("ignore", match=match).match.fits(one) is fits


def test_a_group_is_meant_by_its_own_fingerprint():
    found = fingerprint_of(fact())

    assert rule("ignore", match={"group": found.fine.upper()}).match.fits(fact())
    assert rule("ignore", match={"group": found.coarse}).match.fits(fact(operation="GET /other"))
    assert not rule("ignore", match={"group": found.fine}).match.fits(fact(operation="GET /other"))


@pytest.mark.parametrize(
    "wrong",
    [
        {"match": {}},
        {"action": "split"},
        {"action": "merge", "by": ["host"]},
        {"action": "fingerprint"},
        {"action": "fingerprint", "fingerprint": "{fact.__class__}"},
        {"action": "fingerprint", "fingerprint": "{service"},
        {"match": {"servce": "x"}},
        {"action": "merge", "match": {"type": "x" * 300}},
    ],
)
def test_a_rule_that_cannot_be_meant_is_refused(wrong: dict):
    with pytest.raises(ValidationError):
        Rule.model_validate({"name": "n", "action": "ignore", "match": {"type": "x"}} | wrong)


def test_a_replay_says_what_would_change_before_anything_does():
    """Cards of two services become one group, timeouts are taken apart by host, health checks leave."""
    facts = [
        fact("payment"),
        fact("ledger"),
        fact(type="Timeout", message="slow", host="a"),
        fact(type="Timeout", message="slow", host="b"),
        fact(type="Probe", message="not ready"),
        fact(type="Untouched", message="x"),
    ]
    rules = [
        rule("merge", "cards"),
        rule("split", "hosts", {"type": "Timeout"}, by=["host"]),
        rule("ignore", "probes", {"type": "Probe"}),
        rule("ignore", "nobody", {"type": "Nothing"}),
    ]
    old = [fingerprint_of(one).fine for one in facts]

    found = replay(rules, facts)

    assert list(found.merged.values()) == [(old[0], old[1])]
    assert list(found.split) == [old[2]]
    assert len(found.split[old[2]]) == 2
    assert found.ignored == {old[4]: 1}
    assert (found.facts, found.moved_facts, found.left_out) == (6, 5, 0)
    assert found.used == {"cards": 2, "hosts": 2, "probes": 1}


def test_a_replay_against_the_rules_that_hold_already_changes_nothing():
    rules = [rule("merge", "cards"), rule("ignore", "probes", {"type": "Probe"})]

    found = replay(rules, [fact(), fact("ledger"), fact(type="Probe")], before=rules)

    assert found.moved_facts == 0


def test_hostile_patterns_take_no_time():
    """A glob with many stars against a long text."""
    hard = rule("ignore", match={"message": "*a" * 90 + "b"})

    assert not hard.match.fits(fact(message="a" * 100_000))
