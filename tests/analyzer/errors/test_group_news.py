"""What is news among groups: a spike against their own past, a kind nobody knew, one that is back. Each is told once."""

from __future__ import annotations

import numpy as np

from analyzer.errors.group_news import QUIET_LOOKS, SURPRISES_MAX, TURNS_MAX, Turn
from analyzer.errors.group_state import HOUR_NS, MINUTE_NS
from analyzer.errors.groups import GroupsConfig
from tests.analyzer.errors.test_groups import T0, Life


class Watched(Life):
    """A tracker whose groups are judged every minute."""

    def __init__(self, begin_ns: int = T0, **config: float) -> None:
        super().__init__(**config)
        self.now_ns = begin_ns
        self.groups.news.begin(begin_ns)
        self.told: list[Turn] = []
        self.calls: dict[int, int] = {}  # of a service, by minute
        self.calls_per_error = 0  # 0: a hundred calls a minute, whatever fails
        self.counted: set[str] = set()  # services whose calls are known

    def minutes(self, *rates: int, times: int = 1, **more: object) -> Watched:
        """So many errors in each minute, again and again."""
        for rate in rates * times:
            for _ in range(rate):
                self.seen(**more)  # type: ignore[arg-type]
            self.calls[self.now_ns // MINUTE_NS] = rate * self.calls_per_error if self.calls_per_error else 100
            self.now_ns += MINUTE_NS
            self.groups.judge(self.now_ns, lambda service: self.calls if service in self.counted else {})
            self.told += self.groups.news.take()
        return self

    @property
    def whats(self) -> list[str]:
        return [turn.what for turn in self.told]


def test_a_group_far_above_its_own_past_spikes():
    """Two errors a minute for an hour, then thirty: told with both numbers, and once."""
    life = Watched()
    life.minutes(2, times=60)
    began_ns = life.now_ns

    life.minutes(30, times=5)

    (turn,) = life.told
    spike = life.group(turn.group_id).spike
    assert spike is not None
    assert turn.what == "spike"
    assert began_ns - 5 * MINUTE_NS < turn.at_ns == spike.since_ns <= began_ns
    assert spike.now >= 90
    assert 9 < spike.usual < 12
    assert spike.ratio == spike.now / spike.usual
    assert spike.p < 1e-6
    assert spike.sentence.startswith(f"CardError in payment: {spike.now} events where 10")


def test_more_traffic_is_no_spike_where_calls_are_known():
    """Fifteen times the errors of fifteen times the calls: told by time, not per call."""
    by_time, per_call = Watched(), Watched()
    per_call.counted = {"payment"}
    for life in (by_time, per_call):
        life.calls_per_error = 50
        life.minutes(2, times=60).minutes(30, times=5)

    assert (by_time.whats, per_call.whats) == (["spike"], [])


def test_a_spike_says_what_was_divided_out():
    by_time, per_call = Watched(), Watched()
    per_call.counted = {"payment"}
    for life in (by_time, per_call):
        life.minutes(2, times=60).minutes(30, times=5)

    spikes = [life.group(life.told[0].group_id).spike for life in (by_time, per_call)]
    assert [(one.per, one.calls) for one in spikes if one is not None] == [("time", 0), ("calls", 500)]
    assert [one.sentence.rpartition("; ")[2] for one in spikes if one is not None] == [
        "by time, the calls of its service are not known",
        "for the 500 calls of its service in the window",
    ]


def test_errors_of_a_service_whose_calls_are_not_counted_are_compared_by_time():
    """A batch job fails without being called; its windows hold errors and no call."""
    life = Watched()
    life.counted = {"payment"}
    life.minutes(2, times=30)
    life.calls.clear()

    life.minutes(2, times=30).minutes(30, times=5)

    assert life.whats == ["spike"]


def test_a_spike_ends_and_the_next_one_is_told_again():
    life = Watched()
    life.minutes(2, times=60).minutes(30, times=5).minutes(2, times=7 + QUIET_LOOKS)
    group_id = life.told[0].group_id
    assert life.group(group_id).spike is None

    life.minutes(2, times=60).minutes(40, times=5)

    assert life.whats == ["spike", "spike"]
    assert life.told[0].at_ns < life.told[1].at_ns
    assert life.groups.news.counts.spikes == 2


def test_what_lasts_is_one_spike_and_then_what_is_usual():
    """Its own minutes are no past of it: it goes on for more than an hour, and ends when no other past is left."""
    life = Watched()
    life.minutes(2, times=120).minutes(30, times=60)
    (turn,) = life.told
    assert life.group(turn.group_id).spike is not None

    life.minutes(30, times=60)

    assert life.whats == ["spike"]
    assert life.group(turn.group_id).spike is None


def test_a_steady_group_is_no_news():
    """Ninety groups of Poisson errors for two hours: nothing."""
    rng = np.random.default_rng(7)
    life = Watched()
    names = [f"error {letter}{other}" for letter in "abcdefghi" for other in "klmnopqrst"]
    rates = rng.uniform(0.05, 2.0, len(names))
    for _ in range(120):
        for name, count in zip(names, rng.poisson(rates), strict=True):
            for _ in range(count):
                life.seen(type=name.replace(" ", "."))
        life.minutes(0)

    assert len(life.groups) == len(names)
    assert [what for what in life.whats if what == "spike"] == []


def test_a_young_group_and_a_young_watch_have_no_past():
    """Half an hour old: there is nothing to compare with, however steep."""
    life = Watched()

    life.minutes(1, times=20).minutes(50, times=5)

    assert life.told == []


def test_silence_while_nobody_watched_is_no_calm():
    """Started again after an hour: what was not counted meanwhile does not make the next minutes a spike."""
    before = Watched()
    before.minutes(20, times=60)
    groups, blob = before.groups.take_changed(9), before.groups.save()
    after = Watched(before.now_ns + HOUR_NS)
    after.traces = 10**6
    after.groups.load(groups, blob)

    after.minutes(20, times=60)

    assert after.told == []


def test_a_spike_that_was_kept_ends_when_the_next_start_sees_none():
    before = Watched()
    before.minutes(2, times=60).minutes(30, times=5)
    kept = [before.group(before.told[0].group_id)]
    assert kept[0].spike is not None
    after = Watched(before.now_ns)
    after.groups.load(kept, b"")

    after.minutes(0, times=QUIET_LOOKS)

    assert [one.spike for one in after.groups.take_changed(9)] == [None]


def test_a_new_kind_is_news_where_kinds_are_known():
    """Four hundred errors of one kind, then another: such a service brings hardly ever one."""
    life = Watched()
    life.minutes(10, times=40)

    life.minutes(1, type="LedgerError")

    (turn,) = life.told
    group = life.group(turn.group_id)
    assert turn.what == "new"
    assert (group.type, group.novel) == ("LedgerError", True)
    assert group.novel_reason == "400 errors of 1 kind were known: a new one had a chance of 0.097"


def test_a_new_kind_is_no_news_where_every_error_is_one():
    life = Watched()
    for letter in "abcdefghijklmnopqrst":
        life.minutes(1, type=f"Error{letter}")

    assert len(life.groups) == 20
    assert life.told == []


def test_the_first_error_of_a_service_is_news_after_a_while_of_watching():
    young, old = Watched(), Watched()
    old.minutes(0, times=60)

    young.minutes(1)
    old.minutes(1)

    assert (young.whats, old.whats) == ([], ["new"])


def test_one_that_is_back_is_told_once():
    life = Watched()
    group_id = life.seen()
    life.minutes(0)
    life.decide(group_id, status="resolved")
    life.minutes(0)

    life.minutes(3, times=2)

    assert life.told == [Turn(group_id, "regressed", T0 + 2 * MINUTE_NS)]


def test_a_spike_of_an_ignored_group_is_shown_and_not_told():
    life = Watched()
    life.minutes(2, times=60)
    (group,) = life.groups.take_changed(9)
    life.decide(group.group_id, status="ignored")

    life.minutes(30, times=5)

    assert life.group(group.group_id).spike is not None
    assert life.told == []


def test_a_flood_of_news_is_bounded_and_counted():
    """Two hundred services fail for the first time in one minute."""
    life = Watched()
    life.minutes(0, times=60)
    for number in range(200):
        life.seen(service=f"service-{chr(97 + number // 26)}{chr(97 + number % 26)}")

    life.minutes(0)

    counts = life.groups.news.counts
    assert len(life.told) == TURNS_MAX
    assert (counts.novel, counts.untold) == (SURPRISES_MAX, SURPRISES_MAX - TURNS_MAX)


def test_a_group_that_spikes_is_not_the_one_to_leave():
    life = Watched(groups_max=GroupsConfig(16).groups_max)
    life.minutes(2, times=60).minutes(30, times=5)
    spiking = life.told[0].group_id
    for letter in "abcdefghijklmnopqrstuvwx":
        life.now_ns += 1
        life.seen(type=f"Error{letter}")

    assert life.groups.find(spiking) is not None
