"""The life of a group: seen, decided about, seen again, forgotten."""

from __future__ import annotations

from dataclasses import replace

import pytest
from pydantic import ValidationError

from analyzer.errors.counting import NAMES_MAX, Series, UserSketch
from analyzer.errors.fingerprint import fingerprint_of
from analyzer.errors.group_state import EXAMPLES_FIRST, EXAMPLES_LAST, HOUR_NS, MINUTE_NS
from analyzer.errors.group_words import ErrorGroup, GroupChange
from analyzer.errors.groups import Groups, GroupsConfig
from analyzer.errors.model import ExceptionFact
from analyzer.errors.trends import trend_of
from analyzer.errors.versions import is_older

T0 = 1_760_000_000_000_000_000
T0 -= T0 % HOUR_NS
DAY_NS = 24 * HOUR_NS


class Life:
    """One tracker and a clock that the test turns."""

    def __init__(self, **config: float) -> None:
        self.groups = Groups(GroupsConfig(**config))  # type: ignore[arg-type]
        self.now_ns, self.traces = T0, 0

    def seen(self, message: str = "card declined", version: str = "1.0.0", user: str = "", **more: object) -> str:
        self.traces += 1
        fact = ExceptionFact(
            trace_id=f"{self.traces:032x}",
            span_id="01",
            service="payment",
            operation="POST /charge",
            time_ns=self.now_ns,
            type="CardError",
            message=message,
            version=version,
        )
        fact = replace(fact, **more)  # type: ignore[arg-type]
        return self.groups.observe(fact, fingerprint_of(fact), self.now_ns, ("gateway",), [user] if user else [])

    def after(self, ns: int) -> Life:
        self.now_ns += ns
        self.groups.age(self.now_ns)
        return self

    def decide(self, group_id: str, **change: object) -> ErrorGroup:
        found = self.groups.decide(group_id, GroupChange(**change), self.now_ns)  # type: ignore[arg-type]
        assert found is not None
        return found

    def group(self, group_id: str) -> ErrorGroup:
        found = self.groups.find(group_id)
        assert found is not None
        return found

    def status(self, group_id: str) -> str:
        return self.group(group_id).status


def test_one_trace_id_of_two_tenants_counts_once_for_each():
    """Whoever sends first under another's id must not keep the other's error from being counted."""
    life = Life()
    for tenant in ("bank", "shop", "shop"):
        one = life.seen(trace_id="ab" * 16, tenant=tenant)

    group = life.group(one)
    assert (group.count, group.example_trace_ids) == (2, [f"{'ab' * 16}@bank", f"{'ab' * 16}@shop"])
    assert life.groups.counts.repeated == 1


def test_what_is_new_becomes_ongoing_after_a_day():
    life = Life()
    one = life.seen()
    assert life.status(one) == "new"

    life.after(DAY_NS)
    life.seen()

    group = life.group(one)
    assert (group.status, group.count, group.first_seen_ns, group.last_seen_ns) == ("ongoing", 2, T0, T0 + DAY_NS)


def test_a_resolved_group_that_is_seen_again_has_regressed():
    life = Life()
    one = life.seen()
    life.after(HOUR_NS).decide(one, status="resolved")
    assert life.status(one) == "resolved"

    life.after(HOUR_NS).seen()

    group = life.group(one)
    assert (group.status, group.regressions) == ("regressed", 1)
    assert "seen again in version 1.0.0" in group.status_reason
    assert life.after(DAY_NS).status(one) == "ongoing"


def test_what_happened_before_the_decision_is_no_regression():
    """A trace that ended before it, and was only analysed after it."""
    life = Life()
    one = life.seen()
    life.after(HOUR_NS).decide(one, status="resolved")

    life.seen(time_ns=T0 + MINUTE_NS)

    assert (life.status(one), life.group(one).count) == ("resolved", 2)


@pytest.mark.parametrize(
    ("version", "status"),
    [
        ("1.9.0", "resolved"),
        ("2.0.0-rc.1", "resolved"),
        ("", "resolved"),
        ("2.0.0", "regressed"),
        ("2.10", "regressed"),
    ],
)
def test_only_the_fixed_release_or_a_newer_one_regresses(version: str, status: str):
    """Older pods still run for a while."""
    life = Life()
    one = life.seen()
    life.after(HOUR_NS).decide(one, status="resolved", in_version="2.0.0")

    life.after(HOUR_NS).seen(version=version)

    assert life.status(one) == status


def test_releases_without_an_order_are_told_by_when_they_were_seen():
    """Commit hashes: the one seen before the decision is old, one never seen is new."""
    life = Life()
    one = life.seen(version="9f3c1e")
    life.after(HOUR_NS).decide(one, status="resolved", in_version="a01b2c")
    life.after(HOUR_NS).seen(version="9f3c1e")
    assert life.status(one) == "resolved"

    life.after(HOUR_NS).seen(version="77d0aa")

    assert life.status(one) == "regressed"


def test_ignored_until_a_time():
    life = Life()
    one = life.seen()
    life.decide(one, status="ignored", for_s=3600)
    life.after(30 * MINUTE_NS).seen()
    assert (life.status(one), life.group(one).count) == ("ignored", 2)

    assert life.after(30 * MINUTE_NS).status(one) == "ongoing"


def test_ignored_for_a_number_of_errors():
    life = Life()
    one = life.seen()
    life.decide(one, status="ignored", for_count=2)
    life.seen()
    assert life.after(0).status(one) == "ignored"
    life.seen()

    assert life.after(0).status(one) == "ongoing"


def test_ignored_without_a_bound_stays():
    life = Life()
    one = life.seen()
    life.decide(one, status="ignored")

    assert life.after(400 * DAY_NS).status(one) == "ignored"


def test_opening_again_takes_the_decision_back():
    life = Life()
    one = life.seen()
    life.decide(one, status="resolved", in_version="2")

    group = life.decide(one, status="ongoing")

    assert (group.status, group.decided, group.resolved_in_version, group.resolved_ns) == ("ongoing", False, "", 0)


@pytest.mark.parametrize(
    "change",
    [
        {"status": "ongoing", "in_version": "1"},
        {"status": "resolved", "for_count": 3},
        {"status": "ignored", "for_count": 3, "for_s": 3},
        {"status": "new"},
        {"status": "ignored", "for_s": float("nan")},
    ],
)
def test_a_decision_that_contradicts_itself_is_refused(change: dict):
    with pytest.raises(ValidationError):
        GroupChange(**change)


def test_a_trace_counts_once():
    """A late span has the trace explained again."""
    life = Life()
    one = life.seen(trace_id="aa")
    life.seen(trace_id="aa")

    assert (life.group(one).count, life.groups.counts.repeated) == (1, 1)


def test_an_absurd_time_counts_as_now():
    """A clock in 2096 must not push everything else out of the hours."""
    life = Life()
    one = life.seen(time_ns=4_000_000_000_000_000_000)
    life.seen(time_ns=-5)

    group = life.group(one)
    assert (group.first_seen_ns, group.last_seen_ns) == (T0, T0)
    assert life.groups.counts.misdated == 2


def test_who_it_hit_and_where_is_counted():
    life = Life()
    for number in range(20):
        one = life.seen(user=f"u{number % 4}", version=f"1.{number % 2}", host="pod-1", environment="production")

    group = life.group(one)
    assert group.users == 4
    assert [(seen.name, seen.count) for seen in group.services] == [("gateway", 20), ("payment", 20)]
    assert [(seen.name, seen.count) for seen in group.versions] == [("1.0", 10), ("1.1", 10)]
    assert [seen.name for seen in group.operations] == ["payment POST /charge"]
    assert ([seen.name for seen in group.hosts], [seen.name for seen in group.environments]) == (
        ["pod-1"],
        ["production"],
    )


def test_examples_keep_how_it_began_and_how_it_is_now():
    life = Life()
    for _ in range(100):
        one = life.seen()

    numbers = [int(trace_id, 16) for trace_id in life.group(one).example_trace_ids]
    assert numbers == [1, 2, 3, *range(94, 101)]
    assert len(numbers) == EXAMPLES_FIRST + EXAMPLES_LAST


def test_lists_of_names_are_bounded_and_say_so():
    life = Life()
    for number in range(NAMES_MAX + 5):
        one = life.after(1).seen(host=f"pod-{number}")

    group = life.group(one)
    assert len(group.hosts) == NAMES_MAX
    assert group.lost == 5
    assert "pod-0" not in {seen.name for seen in group.hosts}


def test_minutes_and_hours_are_counted_within_their_bounds():
    series = Series(3)
    for bucket in (10, 10, 11, 13, 9, 12):
        series.add(bucket)

    assert [(one.start, one.count) for one in series.buckets()] == [(11, 1), (12, 1), (13, 1)]


def test_the_longest_unseen_leave_first_and_decisions_stay():
    """Room for sixteen; the oldest has been resolved by a person and stays."""
    life = Life(groups_max=16)
    oldest = life.seen("kind A")
    life.decide(oldest, status="resolved")
    second = life.after(1).seen("kind B")
    for letter in "CDEFGHIJKLMNOPQ":
        life.after(1).seen(f"kind {letter}")

    assert len(life.groups) == 16
    assert life.groups.find(oldest) is not None
    assert life.groups.find(second) is None
    assert life.groups.counts.evicted == 1


def test_what_changed_is_told_once_with_a_new_revision():
    life = Life()
    one, two = life.seen("kind A"), life.seen("kind B")
    life.seen("kind A")
    assert [(group.group_id, group.revision) for group in life.groups.take_changed(1)] == [(one, 1)]
    assert [(group.group_id, group.revision) for group in life.groups.take_changed(9)] == [(two, 1)]
    assert life.groups.take_changed(9) == []

    life.seen("kind A")

    assert [(group.group_id, group.revision) for group in life.groups.take_changed(9)] == [(one, 2)]


def test_groups_survive_a_restart():
    """Counts go on, users are not counted twice, nor is the trace that comes again."""
    life = Life()
    for number in range(50):
        one = life.seen(user=f"u{number}")
    life.decide(one, status="resolved", in_version="2.0.0")
    before = life.group(one)
    again = Life()
    again.groups.load([before], life.groups.save())
    assert again.group(one) == before

    again.traces = 49
    again.seen(user="u49")
    again.after(HOUR_NS).seen(user="u7", version="2.0.0")

    after = again.group(one)
    assert (after.status, after.count, after.users) == ("regressed", 51, before.users)


@pytest.mark.parametrize("blob", [b"nonsense", b"[]", b"{}", b'{"version": 9}', b'{"version": 1, "users": 3}'])
def test_a_saved_state_that_cannot_be_used_says_so_and_the_groups_are_there(blob: bytes):
    life = Life()
    one = life.seen()
    again = Life()

    with pytest.raises(ValueError, match="cannot be used"):
        again.groups.load([life.group(one)], blob)

    assert again.group(one).count == 1


def test_merging_is_suggested_where_heart_and_words_are_alike():
    """The same failure in two operations; the third says something else."""
    life = Life()
    one = life.seen(operation="POST /a")
    two = life.seen(operation="POST /b")
    three = life.seen("insufficient funds on account")

    assert life.group(one).merge_with == [two]
    assert life.group(three).merge_with == []


def test_users_are_counted_nearly_exactly_while_few_and_within_five_percent_when_many():
    few, many = UserSketch(), UserSketch()
    for number in range(20):
        few.add(f"user {number}")
    for number in range(50_000):
        many.add(f"user {number}")

    assert few.count() == 20
    assert abs(many.count() - 50_000) < 2_500


@pytest.mark.parametrize(
    ("one", "other", "older"),
    [
        ("v2.3.1", "2.10.0", True),
        ("2.3.1-rc.1", "2.3.1", True),
        ("2.3.1-rc.2", "2.3.1-rc.10", True),
        ("2.3", "2.3.0", False),
        ("2.3.1+build5", "2.3.1", False),
        ("20251011", "20251012", True),
        ("9f3c1e", "a01b2c", None),
        ("", "1", None),
        ("latest", "1.0", None),
    ],
)
def test_releases_are_ordered_by_their_numbers(one: str, other: str, older: bool | None):
    assert is_older(one, other) == older


def test_a_trend_needs_something_to_compare():
    life = Life()
    one = life.seen()

    assert trend_of(life.group(one), life.now_ns).direction == "too_little"


@pytest.mark.parametrize(("now", "direction"), [(4, "steady"), (40, "rising"), (0, "falling")])
def test_a_trend_compares_the_last_hour_with_the_day_before(now: int, direction: str):
    """Twelve hours with nine errors each, then an hour with more or fewer; 4 in 24 minutes is as before."""
    life = Life()
    for _ in range(12):
        for _ in range(9):
            one = life.seen()
        life.after(HOUR_NS)
    for _ in range(9 if now == 4 else now):
        life.seen()
    life.after(HOUR_NS + 24 * MINUTE_NS)
    for _ in range(now):
        life.seen()

    assert trend_of(life.group(one), life.now_ns).direction == direction
