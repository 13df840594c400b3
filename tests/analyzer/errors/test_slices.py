"""Slices that go wrong: one attribute, two, none, and one cause in two disguises."""

from __future__ import annotations

import math

import numpy as np
import pytest

from analyzer.errors.slices import SliceSettings, find_slices, g_statistic, phi
from tests.support.drawn_slices import false_slices, measure


def drawn(bad_share, size: int = 2_000, seed: int = 1):
    """Regions and versions, drawn evenly; `bad_share(region, version)` of the traces go wrong."""
    dice = np.random.default_rng(seed)
    regions = dice.choice(["eu", "us", "ap"], size)
    versions = dice.choice(["1", "2"], size)
    shares = np.array([bad_share(region, version) for region, version in zip(regions, versions, strict=True)])
    return {"region": regions.tolist(), "version": versions.tolist()}, dice.random(size) < shares


def told(found) -> list[dict[str, str]]:
    return [dict(one.where) for one in found]


def test_one_region_goes_wrong():
    found = find_slices(*drawn(lambda region, version: 0.3 if region == "eu" else 0.01))

    assert told(found) == [{"region": "eu"}]
    assert found[0].recall > 0.9
    assert found[0].sentence.startswith(f"Of {found[0].traces} traces with region eu {found[0].bad} went wrong (")


def test_one_version_in_one_region_goes_wrong():
    found = find_slices(*drawn(lambda region, version: 0.5 if (region, version) == ("us", "2") else 0.01))

    assert told(found) == [{"region": "us", "version": "2"}]


def test_what_goes_wrong_everywhere_has_no_slice():
    assert find_slices(*drawn(lambda region, version: 0.2)) == []


def test_two_faults_are_both_told():
    found = find_slices(
        *drawn(lambda region, version: 0.6 if region == "eu" or (version == "2" and region == "ap") else 0.0)
    )

    assert {"region": "eu"} in told(found)
    assert {"region": "ap", "version": "2"} in told(found)


def test_one_cause_in_two_disguises_is_told_once():
    """Every host of the zone is bad because the zone is."""
    dice = np.random.default_rng(4)
    zone = dice.integers(0, 4, 3_000)
    host = zone * 5 + dice.integers(0, 5, 3_000)
    bad = (zone == 2) & (dice.random(3_000) < 0.7)
    columns = {"host": [f"h{n}" for n in host], "zone": [f"z{n}" for n in zone]}

    assert told(find_slices(columns, bad)) == [{"zone": "z2"}]


def test_a_few_bad_traces_make_no_slice():
    columns = {"region": ["eu"] * 4 + ["us"] * 996}

    assert find_slices(columns, np.arange(1_000) < 4) == []


def test_an_attribute_that_is_not_there_is_no_slice():
    columns = {"tenant": [""] * 500 + ["acme"] * 500}

    assert find_slices(columns, np.arange(1_000) < 200) == []


def test_who_never_met_a_service_tells_nothing_of_its_hosts():
    """The service fails on both of its hosts alike; half of the traces never go there, and go well."""
    dice = np.random.default_rng(3)
    host = dice.choice(["", "", "h1", "h2"], 2_000)
    bad = (host != "") & (dice.random(2_000) < 0.5)

    assert find_slices({"host": host.tolist()}, bad) == []
    only_one = bad & (host == "h1")
    assert told(find_slices({"host": host.tolist()}, only_one)) == [{"host": "h1"}]


def test_columns_of_another_length_are_refused():
    with pytest.raises(ValueError, match="'region' has 1 values for 2 traces"):
        find_slices({"region": ["eu"]}, np.array([True, False]))


def test_a_small_effect_is_not_told_however_sure():
    columns, bad = drawn(lambda region, version: 0.12 if region == "eu" else 0.1, size=200_000)

    assert find_slices(columns, bad) == []
    assert told(find_slices(columns, bad, SliceSettings(effect_min=0.0, lift_min=1.1))) == [{"region": "eu"}]


def test_the_statistic_is_that_of_the_sum():
    """Written out: twice the sum of seen * log(seen / expected), over Williams' q for two by two."""
    (a, b), (c, d) = (2.0, 13.0), (10.0, 3.0)
    n = a + b + c + d
    expected = [(a + b) * (a + c) / n, (a + b) * (b + d) / n, (c + d) * (a + c) / n, (c + d) * (b + d) / n]
    g = 2 * sum(seen * math.log(seen / usual) for seen, usual in zip((a, b, c, d), expected, strict=True))
    q = 1 + (n / (a + b) + n / (c + d) - 1) * (n / (a + c) + n / (b + d) - 1) / (6 * n)
    table = np.array([[a, b], [c, d]])

    assert g_statistic(table) == pytest.approx(g / q)
    assert phi(table) == pytest.approx((a * d - b * c) / math.sqrt((a + b) * (c + d) * (a + c) * (b + d)))
    assert g_statistic(np.array([[5.0, 0.0], [7.0, 0.0]])) == 0.0


@pytest.mark.parametrize("attributes", [1, 2])
def test_drawn_faults_are_found(attributes: int):
    """`python -m tests.support.drawn_slices` has the figures over a hundred."""
    assert measure(range(200, 220), attributes) >= 0.9


def test_where_none_is_at_fault_hardly_any_is_told():
    assert false_slices(range(300, 330)) <= 2
