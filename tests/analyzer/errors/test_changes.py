"""Changes: caused, coincident, masked by a shift of traffic, no harm, cannot tell."""

from __future__ import annotations

import numpy as np
import pytest

from analyzer.errors.change_tests import onset_range, side_by_side
from analyzer.errors.change_words import Change
from analyzer.errors.changes import ChangeSettings, Requests, deployments, judge_change
from tests.support.drawn_changes import measure, shares

SECOND_NS = 1_000_000_000
MINUTE_NS = 60 * SECOND_NS
AT_NS = 1_760_000_000 * SECOND_NS
DEPLOYED = Change(change_id="payment@2", kind="deployment", service="payment", time_ns=AT_NS, version="2", previous="1")


def stretch(
    minutes: tuple[int, int], count: int, bad: float, *, version: str = "1", stratum: int = 0, slow: float = 0.0
):
    """`count` requests, evenly over minutes around the change; a share of them bad, drawn with a fixed seed."""
    dice = np.random.default_rng([count, minutes[0] + 1000, stratum, len(version)])
    at = AT_NS + np.linspace(minutes[0] * MINUTE_NS, minutes[1] * MINUTE_NS - 1, count).astype(np.int64)
    own = dice.lognormal(2.0, 0.3, count) * 1e6 * np.where(dice.random(count) < slow, 10.0, 1.0)
    return at, dice.random(count) < bad, own, np.full(count, stratum), [version] * count


def together(*stretches) -> Requests:
    at, bad, own, stratum, versions = zip(*stretches, strict=True)
    return Requests(
        np.concatenate(at),
        np.concatenate(bad),
        np.concatenate(own),
        np.concatenate(stratum).astype(np.int64),
        [version for part in versions for version in part],
    )


def test_a_new_version_that_fails_beside_a_sound_old_one_is_the_cause():
    found = judge_change(
        DEPLOYED,
        together(stretch((-60, 0), 1000, 0.01), stretch((0, 10), 200, 0.01), stretch((0, 10), 200, 0.12, version="2")),
    )

    assert (found.verdict, found.test, found.measure) == ("caused", "side_by_side", "failed")
    assert found.after_share == pytest.approx(0.12, abs=0.05)
    assert found.affected_requests > 10
    assert "of like requests to the old version beside it" in found.sentence


def test_when_the_old_version_fails_as_well_the_new_one_is_not_blamed():
    """A dependency broke in the minute of the canary."""
    found = judge_change(
        DEPLOYED,
        together(stretch((-60, 0), 1000, 0.01), stretch((0, 10), 300, 0.3), stretch((0, 10), 100, 0.3, version="2")),
    )

    assert (found.verdict, found.test) == ("coincident", "side_by_side")


def test_a_harmless_canary():
    found = judge_change(
        DEPLOYED,
        together(stretch((-60, 0), 1000, 0.02), stretch((0, 10), 300, 0.02), stretch((0, 10), 100, 0.02, version="2")),
    )

    assert found.verdict == "no_harm"


def test_a_deploy_everywhere_that_fails_from_its_minute_on():
    found = judge_change(DEPLOYED, together(stretch((-60, 0), 1000, 0.01), stretch((0, 10), 200, 0.2, version="2")))

    assert (found.verdict, found.test) == ("caused", "before_after")
    assert found.p < 1e-6


def test_slow_is_harm_too():
    found = judge_change(
        DEPLOYED, together(stretch((-60, 0), 1000, 0.01), stretch((0, 10), 200, 0.01, version="2", slow=0.6))
    )

    assert (found.verdict, found.measure) == ("caused", "slow")


def test_trouble_that_began_before_the_deploy_is_not_its_work():
    """Twenty minutes of errors, then somebody deployed a fix that does not help."""
    found = judge_change(
        DEPLOYED,
        together(
            stretch((-120, -20), 1500, 0.01), stretch((-20, 0), 300, 0.3), stretch((0, 20), 300, 0.3, version="2")
        ),
    )

    assert found.verdict == "coincident"
    assert "minutes before" in found.sentence


def test_trouble_that_began_long_after_cannot_be_told():
    found = judge_change(
        DEPLOYED,
        together(
            stretch((-60, 0), 900, 0.01),
            stretch((0, 40), 600, 0.01, version="2"),
            stretch((40, 60), 300, 0.3, version="2"),
        ),
    )

    assert found.verdict == "cannot_tell"
    assert "minutes or more after" in found.sentence


def test_another_change_at_the_same_time_is_named_and_nobody_blamed():
    flag = Change(
        change_id="flag-7", kind="feature_flag", service="payment", time_ns=AT_NS + 30 * SECOND_NS, version="new-flow"
    )
    requests = together(stretch((-60, 0), 1000, 0.01), stretch((0, 10), 200, 0.2, version="2"))

    found = judge_change(DEPLOYED, requests, others=[DEPLOYED, flag])

    assert (found.verdict, found.suspects) == ("cannot_tell", ["flag-7"])
    assert "payment new-flow" in found.sentence


def test_a_change_of_yesterday_is_no_rival():
    old = Change(change_id="flag-6", kind="feature_flag", service="payment", time_ns=AT_NS - 50 * MINUTE_NS)
    requests = together(stretch((-60, 0), 1000, 0.01), stretch((0, 10), 200, 0.2, version="2"))

    assert judge_change(DEPLOYED, requests, others=[old]).verdict == "caused"


def test_what_others_show_too_is_not_its_work():
    """Everything on the network got worse in that minute; the deploy was everywhere at once."""
    requests = together(stretch((-60, 0), 1000, 0.02), stretch((0, 10), 200, 0.12, version="2"))
    elsewhere = together(stretch((-60, 0), 3000, 0.02, stratum=3), stretch((0, 10), 500, 0.14, stratum=3))

    assert judge_change(DEPLOYED, requests).verdict == "caused"
    assert judge_change(DEPLOYED, requests, elsewhere=elsewhere).verdict == "coincident"


def test_a_shift_of_traffic_is_no_harm():
    """Report requests always failed at 30 %; after the change they are most of what is asked."""
    requests = together(
        stretch((-60, 0), 900, 0.01, stratum=0),
        stretch((-60, 0), 100, 0.3, stratum=1),
        stretch((0, 10), 100, 0.01, stratum=0, version="2"),
        stretch((0, 10), 200, 0.3, stratum=1, version="2"),
    )

    found = judge_change(DEPLOYED, requests)

    assert found.verdict == "masked_by_traffic_shift"
    assert "nothing got worse" in found.sentence


def test_harm_that_a_shift_of_traffic_hides_is_found():
    """Fewer reports are asked, so the whole looks no worse, but every kind of request fails more."""
    requests = together(
        stretch((-60, 0), 500, 0.02, stratum=0),
        stretch((-60, 0), 500, 0.3, stratum=1),
        stretch((0, 20), 500, 0.14, stratum=0, version="2"),
        stretch((0, 20), 20, 0.6, stratum=1, version="2"),
    )

    found = judge_change(DEPLOYED, requests)

    assert found.after_share <= found.before_share + 0.02
    assert found.verdict == "caused"


def test_too_little_traffic_is_said():
    found = judge_change(DEPLOYED, together(stretch((-60, 0), 100, 0.01), stretch((0, 1), 8, 0.9, version="2")))

    assert (found.verdict, found.test) == ("cannot_tell", "none")
    assert "Too little traffic to tell: 100 requests before and 8 after" in found.sentence


def test_looking_often_makes_no_harm_out_of_chance():
    """The same numbers count less when they were asked for the thousandth time."""
    requests = together(stretch((-60, 0), 1000, 0.02), stretch((0, 10), 200, 0.09, version="2"))

    assert judge_change(DEPLOYED, requests).verdict == "caused"
    assert judge_change(DEPLOYED, requests, looks=1000).verdict == "no_harm"


def test_the_evidence_is_valid_at_every_look():
    """Two equal versions, looked at after every slice: the bet grows a hundredfold in at most one run of a hundred."""
    dice = np.random.default_rng(5)
    crossed = 0
    for _ in range(300):
        block = np.repeat(np.arange(40), 10)
        is_new = dice.random(400) < 0.4
        # The common rate jumps about: that alone is no evidence.
        bad = dice.random(400) < np.repeat(dice.choice([0.02, 0.1, 0.5], 40), 10)
        stratum = np.zeros(400, np.int64)
        crossed += any(
            side_by_side(bad[: 10 * k], is_new[: 10 * k], stratum[: 10 * k], block[: 10 * k], np.array([0.05])) >= 100.0
            for k in range(4, 41, 4)
        )

    assert crossed / 300 <= 0.01


def test_the_onset_is_where_the_rate_steps():
    slices = np.repeat(np.arange(-20, 20), 50)
    bad = np.random.default_rng(1).random(2000) < np.where(slices < 4, 0.02, 0.3)

    first, last = onset_range(bad, np.full(2000, 0.02), slices)

    assert first <= 4 <= last
    assert last - first <= 2


def test_the_first_request_of_a_new_version_is_a_deployment():
    requests = together(stretch((-60, 0), 100, 0.0), stretch((0, 10), 50, 0.0, version="2"))

    (found,) = deployments("payment", requests, environment="production")

    assert (found.time_ns, found.version, found.previous) == (AT_NS, "2", "1")
    assert (found.kind, found.source, found.environment) == ("deployment", "telemetry", "production")


def test_versions_that_were_there_from_the_start_are_no_deployments():
    both = together(
        stretch((-60, 0), 100, 0.0), stretch((-60, 0), 100, 0.0, version="2"), stretch((-60, 0), 9, 0.0, version="")
    )

    assert deployments("payment", both) == []


def test_hostile_names_are_harmless_in_sentences():
    change = DEPLOYED.model_copy(update={"service": "pay\x1b[2J\n", "version": "2"})
    requests = together(stretch((-60, 0), 1000, 0.01), stretch((0, 10), 200, 0.2, version="2"))

    assert judge_change(change, requests).sentence.isprintable()


@pytest.mark.parametrize("systems", [3, pytest.param(6, marks=pytest.mark.deep)])
def test_simulated_deployments_are_judged_rightly(systems: int):
    """A few systems only; `python -m tests.support.drawn_changes 0 60` has the figures of docs/trends.md."""
    guilty, benign = measure(range(100, 100 + systems))

    blamed, wrongly = shares(guilty, benign)
    assert guilty.total() >= systems / 2
    assert benign.total() >= 2.5 * systems
    assert blamed >= 0.7
    assert wrongly <= 0.05


def test_settings_are_bounds_not_advice():
    requests = together(stretch((-60, 0), 1000, 0.01), stretch((0, 10), 200, 0.2, version="2"))

    assert judge_change(DEPLOYED, requests, settings=ChangeSettings(share_min=0.5)).verdict == "no_harm"
