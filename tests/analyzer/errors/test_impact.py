"""Users, sessions and tenants that are hit: counted without being kept, weighed, and said when they are not known."""

from __future__ import annotations

import math

import pytest

from analyzer.errors.impact import ENTITIES_MAX, REGISTERS, Distinct, ImpactBook, Reach, impact_score
from tests.support.naive import distinct as naive

NOBODY = Reach(False, 0, 0, math.nan, 0, 0)


def users(count: int, active: int) -> Reach:
    return Reach(True, count, active, count / active, count, 0)


def counted(names: range | list[str]) -> Distinct:
    sketch = Distinct()
    for name in names:
        sketch.add(f"user-{name}")
    return sketch


@pytest.mark.parametrize("count", [0, 1, 2, 10, 100, 1_000, 20_000, 100_000])
def test_counts_are_those_of_a_set(count: int):
    """Within three standard errors (7 %); small counts are nearly exact."""
    sketch, truth = Distinct(), naive.Distinct()
    for number in range(count):
        for twin in (sketch, truth):
            twin.add(f"user-{number}")
            twin.add(f"user-{number}")  # the same one again

    assert sketch.count() == pytest.approx(truth.count(), rel=0.07, abs=1 if count <= 100 else 0)


def test_the_error_is_what_is_documented():
    """Over many sets the root mean square error is about 2.3 %."""
    errors = [counted([f"{seed}-{n}" for n in range(5_000)]).count() / 5_000 - 1 for seed in range(40)]

    assert math.sqrt(sum(error**2 for error in errors) / len(errors)) < 0.032


def test_joined_sketches_count_each_name_once():
    one, other = counted(range(1_000)), counted(range(500, 1_500))

    assert one.join(other).count() == pytest.approx(1_500, rel=0.07)


def test_a_sketch_is_two_kibibytes_and_comes_back():
    sketch = counted(range(300))

    assert len(sketch.dump()) == REGISTERS == 2048
    assert Distinct.load(sketch.dump()).count() == sketch.count()


@pytest.mark.parametrize("raw", [b"", b"x" * 10, b"\xff" * 2048])
def test_other_bytes_are_no_sketch(raw: bytes):
    with pytest.raises(ValueError, match="no sketch"):
        Distinct.load(raw)


def test_who_is_hit_of_who_is_active():
    book = ImpactBook()
    for number in range(200):
        attributes = {"user.id": f"u{number}", "session.id": f"s{number // 2}", "tenant.id": "acme"}
        book.note(attributes)
        if number < 50:
            book.blame("card declined", attributes, failed=True)

    found = book.impact("card declined")

    assert found.users.hit == pytest.approx(50, abs=2)
    assert found.users.share == pytest.approx(0.25, abs=0.02)
    assert found.sessions.hit == pytest.approx(25, abs=1)
    assert found.tenants.hit == 1
    assert (found.failed, found.degraded) == (50, 0)
    assert found.sentence.startswith(f"50 requests failed, of about {found.users.hit} users (")


def test_who_was_hit_before_is_returning():
    book = ImpactBook()
    for number in range(100):
        book.blame("timeout", {"enduser.id": f"u{number}"}, failed=True)
    book.turn()
    for number in range(60, 160):
        book.blame("timeout", {"enduser.id": f"u{number}"}, failed=True)

    found = book.impact("timeout").users

    assert found.new == pytest.approx(60, abs=8)
    assert found.returning == pytest.approx(40, abs=8)
    assert found.new + found.returning == found.hit


def test_without_user_attributes_it_says_so():
    book = ImpactBook()
    for _ in range(30):
        book.note({})
        book.blame("timeout", {}, failed=False)

    found = book.impact("timeout")

    assert not found.users.known
    assert math.isnan(found.users.share)
    assert found.score > 0
    assert "no user attribute" in found.sentence


def test_nobody_is_blamed_nobody_is_hit():
    found = ImpactBook().impact("never seen")

    assert (found.score, found.users.hit, found.requests) == (0.0, 0, 0)


def test_more_entities_than_fit_are_counted():
    book = ImpactBook()
    for number in range(ENTITIES_MAX + 3):
        book.blame(f"error {number}", {}, failed=True)

    assert book.left_out == 3
    assert book.impact(f"error {ENTITIES_MAX + 1}").requests == 0


@pytest.mark.parametrize(("count", "expected"), [(1, 7), (10, 24), (100, 47), (1_000, 70), (20_000, 100), (10**7, 100)])
def test_the_score_is_logarithmic(count: int, expected: int):
    assert round(impact_score(count, 0, users(count, 10**9), NOBODY)) == expected


def test_a_degraded_request_weighs_half():
    failed = impact_score(1_000, 0, NOBODY, NOBODY)
    degraded = impact_score(0, 2_000, NOBODY, NOBODY)

    assert failed == degraded


def test_one_user_who_tries_a_thousand_times_is_one_user():
    assert impact_score(1_000, 0, users(1, 10_000), NOBODY) < impact_score(50, 0, users(50, 10_000), NOBODY)


def test_half_of_all_active_users_weigh_at_least_half():
    assert impact_score(500, 0, users(500, 1_000), NOBODY) >= 50.0
    assert impact_score(1, 0, users(1, 1), NOBODY) < 15.0


def test_a_heavier_business_weighs_more():
    assert impact_score(10, 0, users(10, 10**6), NOBODY, 3.0) > impact_score(10, 0, users(10, 10**6), NOBODY)
