"""Whom the errors of today hit: per group and per service, with what is known, and no more than that."""

from __future__ import annotations

import math
import zlib

import pytest

from analyzer.errors.impact import ENTITIES_MAX, Reach, impact_score
from analyzer.errors.impact_sheet import DAY_NS, NO_USERS, SHOWN_MAX, Hit, ImpactDesk, ImpactWord, who_of
from analyzer.errors.model import ExceptionFact

T0 = 20_000 * DAY_NS
CARD = Hit("c" * 16, "payment", ("gateway",), visible=True)
NOBODY = Reach(False, 0, 0, math.nan, 0, 0)
RETRIED = Hit("d" * 16, "stock", (), visible=False)


def fact(**attributes: str) -> ExceptionFact:
    pairs = tuple((name.replace("_", "."), value) for name, value in attributes.items())
    return ExceptionFact("t", "s", "payment", "Charge", 0, "CardError", "", attributes=pairs)


def lines(found: list[ImpactWord]) -> dict[str, tuple[int, int, int]]:
    return {one.entity: (one.requests, one.failed, one.handled) for one in found}


def test_who_asked_is_read_off_every_fact_of_a_trace():
    facts = [fact(user_id="ann", http_route="/pay"), fact(user_id="root", session_id="s1"), fact(app_tenant="acme")]

    assert who_of(facts) == {"user.id": "ann", "session.id": "s1", "app.tenant": "acme"}


def test_a_trace_counts_once_in_each_group_and_in_each_service():
    """Its card failed, and on the way a call to the stock was retried."""
    desk = ImpactDesk()

    desk.add([CARD, RETRIED], {"user.id": "ann"}, T0)
    desk.add([CARD], {"user.id": "ann"}, T0)

    found = desk.sheet(T0 + 5)
    assert lines(found.groups) == {CARD.group_id: (2, 2, 0), RETRIED.group_id: (1, 0, 1)}
    assert lines(found.services) == {"payment": (2, 2, 0), "gateway": (2, 2, 0), "stock": (1, 0, 1)}
    assert {one.entity: one.service for one in found.groups} == {CARD.group_id: "payment", RETRIED.group_id: "stock"}
    assert (found.from_ns, found.to_ns) == (T0, T0 + 5)


def test_the_score_is_made_of_the_counts_beside_it():
    """A hundred users are 47; that they all are of one tenant is said."""
    desk = ImpactDesk()
    for number in range(100):
        desk.add([CARD], {"user.id": f"u{number}", "tenant.id": "acme"}, T0)

    (group,) = desk.sheet(T0).groups

    assert group.users.hit == pytest.approx(100, abs=3)
    assert group.tenants.hit == 1
    assert group.score == pytest.approx(47, abs=1)
    assert group.sentence == (
        f"{CARD.group_id}: 100 explained failing traces today, 100 failed for their caller; "
        f"about {group.users.hit} users ({group.users.new} new, 0 returning); about 1 tenants (1 new, 0 returning)."
    )


def test_without_a_user_attribute_that_is_said_and_requests_are_weighed():
    desk = ImpactDesk()
    for _ in range(30):
        desk.add([CARD], {}, T0)

    (group,) = desk.sheet(T0).groups

    assert (group.users.known, group.users.hit) == (False, 0)
    assert NO_USERS in group.sentence
    assert group.score == impact_score(30, 0, NOBODY, NOBODY) > 0


def test_checks_and_bots_are_counted_apart():
    """Two users, and a check with a user of its own that fails every minute: two users weigh, the check does not."""
    desk, without = ImpactDesk(), ImpactDesk()
    for one in (desk, without):
        for user in ("ann", "bob"):
            one.add([CARD], {"user.id": user}, T0)
    for _ in range(60):
        desk.add([CARD], {"user.id": "checker"}, T0, synthetic=True)

    (group,), (alone,) = desk.sheet(T0).groups, without.sheet(T0).groups

    assert (group.requests, group.failed, group.handled, group.synthetic) == (62, 2, 0, 60)
    assert (group.users, group.score) == (alone.users, alone.score)
    assert "62 explained failing traces today, 60 of them from synthetic checks or bots, 2 failed" in group.sentence
    later = ImpactDesk()
    later.load(desk.save())
    assert later.sheet(T0) == desk.sheet(T0)


def test_what_only_checks_met_hits_nobody():
    desk = ImpactDesk()
    desk.add([CARD], {"user.id": "checker"}, T0, synthetic=True)

    (group,) = desk.sheet(T0).groups

    assert (group.synthetic, group.users.hit, group.score) == (1, 0, 0.0)
    assert group.sentence == (
        f"{CARD.group_id}: 1 explained failing traces today, all from synthetic checks or bots: "
        "no user is known to be hit."
    )


def test_who_was_hit_yesterday_is_returning():
    desk = ImpactDesk()
    for user in ("ann", "bob"):
        desk.add([CARD], {"user.id": user}, T0)
    for user in ("bob", "eve"):
        desk.add([CARD], {"user.id": user}, T0 + DAY_NS)

    (group,) = desk.sheet(T0 + DAY_NS).groups

    assert (group.requests, group.users.hit, group.users.new, group.users.returning) == (2, 2, 1, 1)


def test_a_day_without_errors_hits_nobody():
    desk = ImpactDesk()
    desk.add([CARD], {"user.id": "ann"}, T0)
    desk.sheet(T0)

    desk.turn(T0 + DAY_NS)

    assert desk.changed
    assert desk.sheet(T0 + DAY_NS).groups == []


def test_it_goes_on_after_a_restart():
    desk, later = ImpactDesk(), ImpactDesk()
    desk.add([CARD], {"user.id": "ann"}, T0)
    desk.add([CARD], {"user.id": "bob"}, T0 + DAY_NS)

    later.load(desk.save())

    assert later.sheet(T0 + DAY_NS) == desk.sheet(T0 + DAY_NS)
    later.add([CARD], {"user.id": "ann"}, T0 + DAY_NS)
    assert [(one.users.new, one.users.returning) for one in later.sheet(T0 + DAY_NS).groups] == [(1, 1)]


@pytest.mark.parametrize(
    "blob",
    [
        b"nonsense",
        zlib.compress(b"[]"),
        zlib.compress(b'{"version": 2}'),
        zlib.compress(b'{"version": 1, "day": 1, "service_of": {}, "books": {"groups": {"a": {}}, "services": {}}}'),
        zlib.compress(b" " * 100_000_000),
    ],
)
def test_what_it_did_not_save_is_refused(blob: bytes):
    desk = ImpactDesk()

    with pytest.raises(ValueError, match="expected version 1"):
        desk.load(blob)

    assert desk.sheet(T0).groups == []


def test_more_groups_than_fit_are_counted():
    desk = ImpactDesk()
    for number in range(ENTITIES_MAX + 3):
        desk.add([Hit(f"{number:016x}", "payment", (), visible=True)], {}, T0)

    found = desk.sheet(T0)

    assert len(found.groups) == SHOWN_MAX
    assert (found.left_out, found.unshown) == (3, ENTITIES_MAX - SHOWN_MAX)


def test_what_is_long_over_makes_room():
    """A full book; two days later another group begins."""
    desk = ImpactDesk()
    for number in range(ENTITIES_MAX):
        desk.add([Hit(f"{number:016x}", "payment", (), visible=True)], {}, T0)
    for day in (1, 2):
        desk.turn(T0 + day * DAY_NS)

    desk.add([CARD], {}, T0 + 2 * DAY_NS)

    assert [one.entity for one in desk.sheet(T0 + 2 * DAY_NS).groups] == [CARD.group_id]
