"""Drawn days of groups: calm ones are hardly ever told, tenfold rises nearly always."""

from __future__ import annotations

import pytest

from tests.support.drawn_groups import RAISED, day, raised, told


@pytest.mark.parametrize("kind", ["steady", "rhythm"])
def test_a_calm_day_is_no_news(kind: str):
    """Twenty groups, 22 hours: at most one false spike."""
    assert len(told(day(kind, 20, seed=3))) <= 1


def test_a_tenfold_rise_is_told_where_it_has_errors_to_show():
    """Of those with 20 errors or more at least three quarters, and nothing else."""
    counts, begins = raised(20, 10.0, seed=3)
    large = {one for one in range(20) if counts[one, begins[one] : begins[one] + RAISED].sum() >= 20}

    found = told(counts)

    assert len({one for one, _ in found} & large) >= 0.75 * len(large) > 0
    assert [one for one, minute in found if not begins[one] <= minute < begins[one] + RAISED + 6] == []
