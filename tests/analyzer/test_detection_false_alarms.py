"""Healthy hours: what is told of them is the false alarms."""

from __future__ import annotations

import pytest

from tests.support.ticks import System, raised

RATES = [1.0, 1.0, 1.0, 50.0, 50.0, 50.0, 5000.0, 5000.0, 5000.0]


@pytest.mark.parametrize("hours", [30, pytest.param(100, marks=pytest.mark.deep)])
def test_healthy_hours_stay_within_the_budget(hours: int):
    """27 streams of calls with the day's load, wandering error shares, bunched slow calls: budget 0.1 an hour."""
    system = System(RATES, tick_s=60, seed=1)

    assert len(raised(system.run(hours))) <= hours / 10  # the budget itself; seed 1 has one in a hundred hours


def test_healthy_hours_at_ten_second_ticks():
    """A ragged system: shares and rates vary four times as much from tick to tick."""
    system = System(RATES, tick_s=10, seed=2, spread=0.04)

    assert raised(system.run(4)) == []
