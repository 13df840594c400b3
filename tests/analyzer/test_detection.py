"""What is told and what is not: streams of counts with a change that we put in, and without one."""

from __future__ import annotations

import copy
from functools import lru_cache

import numpy as np
import pytest

from analyzer.detection import Alarm, DetectionConfig, Detector, EntityName
from analyzer.kernels.detection import INNER, OPERATION
from analyzer.snapshot import read_snapshot, write_snapshot
from tests.support.naive.vocabulary import vocabulary
from tests.support.ticks import SECOND, START_NS, Instances, System, raised

MINUTE = 60 * SECOND
OTHERS = [50.0, 300.0, 5000.0, 50.0, 300.0, 5000.0]  # enough entries that one alone is not the load of all


SMALL = DetectionConfig(entities_max=256)


@lru_cache
def _lived(hours: float, first: float, day: float) -> System:
    system = System([first, *OTHERS[1:]], seed=3, errors=0.01, day=day, config=SMALL)
    assert raised(system.run(hours)) == []
    return system


def system_after(hours: float = 1.5, first: float = OTHERS[0], day: float = 0.5) -> System:
    """A system that has run well for some hours; service 0 is called `first` times a minute."""
    return copy.deepcopy(_lived(hours, first, day))


def of_service(alarms: list[Alarm], service: int) -> list[Alarm]:
    return [alarm for alarm in raised(alarms) if alarm.entity.service == f"s{service}"]


@pytest.mark.parametrize(
    ("what", "usual", "now", "symptom", "within_min"),
    [
        ("errors", 0.01, 0.05, "errors", {50: 36, 5000: 3}),
        ("slow", 1.0, 4.0, "latency", {50: 10, 5000: 2}),  # a step of x1.5 when durations spread by half a log unit
        ("rate", 1.0, 0.0, "silence", {50: 2, 5000: 1}),
        ("rate", 1.0, 4.0, "traffic_up", {50: 2, 5000: 1}),
        ("rate", 1.0, 0.3, "traffic_down", {50: 15, 5000: 2}),
    ],
)
def test_a_change_is_told_soon_and_of_nobody_else(
    what: str, usual: float, now: float, symptom: str, within_min: dict[int, int]
):
    """Service 0 has 50 calls a minute, service 2 has 5000; both change at once, the other four do not."""
    system = system_after()
    change_ns = system.now_ns

    told = system.run(0.6, **{what: np.where(system.of(0, 1, 0) + system.of(2, 1, 0) > 0, now, usual)})

    assert {alarm.entity.service for alarm in raised(told)} == {"s0", "s2"}
    for service, rate in ((0, 50), (2, 5000)):
        found = of_service(told, service)
        assert {alarm.symptom for alarm in found} == {symptom}
        # A service asks its store as often as it is asked: that is no news of the edge.
        kinds = {"service", "operation"} if what == "rate" else {"service", "operation", "edge"}
        assert {alarm.entity.kind for alarm in found} == kinds
        assert max(alarm.at_ns - change_ns for alarm in found) <= within_min[rate] * MINUTE
        assert all(abs(alarm.onset_ns - change_ns) <= (30 if rate == 5000 else 1200) * SECOND for alarm in found)


def test_lost_calls_are_told_of_the_edge():
    """A third of the calls finds no server; the caller goes on calling."""
    assert told_of_lost(of=2 * len(OTHERS) + 1) == [("s1 -> store1", "silence")]


def test_missing_calls_are_told_of_the_operation():
    """A third of what the entry operation answers lacks calls that it usually makes."""
    assert told_of_lost(of=1) == [("s1 GET /", "structure")]


def told_of_lost(of: int) -> list[tuple[str, str]]:
    system = system_after()
    lost = np.full(len(system.keys), 0.02)
    lost[of] = 0.35
    return [(alarm.entity.text, alarm.symptom) for alarm in raised(system.run(0.2, lost=lost))]


def test_calls_that_are_left_out_are_told_of_the_edge():
    """Service 2 is called as ever and asks its store no more."""
    system = system_after()
    calls = np.ones(len(system.keys))
    calls[2 * system.count + 2] = 0.0

    told = raised(system.run(0.2, rate=calls))

    assert [(alarm.entity.text, alarm.symptom) for alarm in told] == [("s2 -> store2", "silence")]


def test_a_third_fewer_calls_than_the_caller_is_asked_for_is_told_of_the_edge():
    """What comes in may be a third less for a while; calls that go out for each that comes in may not."""
    system = system_after()
    calls = np.ones(len(system.keys))
    calls[2 * system.count + 2] = 0.65

    told = raised(system.run(0.25, rate=calls))

    assert [(alarm.entity.text, alarm.symptom) for alarm in told] == [("s2 -> store2", "traffic_down")]
    assert system_after().run(0.25, rate=system.of(2, 0.75, 1.0)) == []


def test_a_store_that_never_sends_spans_is_no_news():
    """None of its calls is served, thousands of times a minute; two in a hundred more would be, if it could be."""
    system = System(OTHERS, seed=5)

    assert raised(system.run(3, lost=1.0)) == []


def test_a_sparse_entity_that_falls_silent_is_missed():
    """One call a minute: its silence says something only after many minutes, and then is dated back."""
    system = system_after(hours=4.5, first=1.0, day=0.0)
    change_ns = system.now_ns

    told = of_service(system.run(0.8, rate=system.of(0, 0.0, 1.0)), 0)

    assert {alarm.symptom for alarm in told} == {"silence"}
    assert all(abs(alarm.onset_ns - change_ns) <= 12 * MINUTE for alarm in told)


@pytest.mark.parametrize("load", [0.4, 2.5, 6.0])
def test_load_that_all_entries_share_is_no_fault(load: float):
    system = system_after()

    assert raised(system.run(1.0, rate=load)) == []


def test_a_surge_with_errors_is_told():
    """The same load, but the entries fail under it."""
    system = system_after()

    told = raised(system.run(0.2, rate=2.5, errors=0.2))

    assert {alarm.symptom for alarm in told} >= {"errors"}


def test_everything_silent_is_an_outage():
    system = system_after()

    told = raised(system.run(0.1, rate=0.0))

    assert len(told) == 2 * len(OTHERS)  # services and entries; that they ask their stores no more follows
    assert {alarm.symptom for alarm in told} == {"silence"}


def test_new_instances_that_behave_as_the_old_are_nothing():
    """A deploy: within minutes every instance is another one."""
    system = System(OTHERS, seed=8)
    pods = Instances(system)
    old = {f"old-{i}": (0.01, 0.05) for i in range(6)}
    new = {f"new-{i}": (0.01, 0.05) for i in range(6)}
    told = [alarm for _ in range(360) for alarm in pods.tick(old)]
    for step in range(6):
        mixed = dict([*list(new.items())[: step + 1], *list(old.items())[step + 1 :]])
        told += [alarm for _ in range(12) for alarm in pods.tick(mixed)]
    told += [alarm for _ in range(360) for alarm in pods.tick(new)]

    assert told == []


@pytest.mark.parametrize(("shares", "symptom"), [((0.2, 0.05), "errors"), ((0.01, 0.4), "latency")])
def test_a_bad_new_instance_is_seen_beside_its_siblings(shares: tuple[float, float], symptom: str):
    """Nothing is known of it, and the whole service hardly moves."""
    system = System(OTHERS, seed=9)
    pods = Instances(system)
    good = {f"pod-{i}": (0.01, 0.05) for i in range(5)}
    for _ in range(30):  # five minutes: everything is still cold
        pods.tick(good)
    told = [alarm for _ in range(60) for alarm in pods.tick({**good, "canary": shares})]

    assert [(alarm.entity.instance, alarm.symptom) for alarm in raised(told)] == [("canary", symptom)]


def test_an_alarm_ends_and_may_come_again():
    system = system_after()
    first = of_service(system.run(0.1, errors=system.of(2, 0.3, 0.005)), 2)
    between = system.run(0.5)
    second = of_service(system.run(0.1, errors=system.of(2, 0.3, 0.005)), 2)

    assert len(first) == len(second) == 3
    assert [(alarm.symptom, alarm.cleared, alarm.new_normal) for alarm in between] == [("errors", True, False)] * 3


def test_a_lasting_shift_without_errors_becomes_normal_once():
    """Twice as many calls from now on: told, then accepted, then usual; going back is a change again."""
    system = system_after(day=0.0)
    told = system.run(1.5, rate=system.of(2, 4.0, 1.0))

    assert [(alarm.cleared, alarm.new_normal) for alarm in told] == [(False, False)] * 2 + [(True, True)] * 2
    assert "normal now" in told[-1].sentence
    assert {alarm.symptom for alarm in of_service(system.run(0.2), 2)} == {"traffic_down"}


def test_errors_never_become_normal():
    system = system_after()
    told = system.run(1.5, errors=system.of(2, 0.3, 0.005))

    assert [(alarm.symptom, alarm.cleared) for alarm in told] == [("errors", False)] * 3


def test_nothing_is_told_of_what_is_hardly_known():
    """Five minutes old, without siblings: half of it fails, and nobody knows whether that is usual."""
    system = System(OTHERS, seed=13)
    system.run(5 / 60)

    assert raised(system.run(4 / 60, errors=0.5)) == []


def test_a_long_stall_of_the_owner_is_no_silence():
    """Nobody came by for an hour (a stopped process): what was not looked at was not silent."""
    system = system_after(day=0.0)
    system.now_ns += 3600 * SECOND

    assert raised(system.run(0.3)) == []


def test_memory_is_bounded_and_what_is_lost_is_counted():
    """A flood of names: the busy ones stay."""
    config = DetectionConfig(entities_max=64, tick_s=10)
    system = System([300.0] * 6, config=config)
    system.run(0.2)
    for number in range(40):
        keys = np.array([(1 << 62) | (1000 + 20 * number + i) for i in range(20)], np.uint64)
        system.detector.add_counts(keys, np.ones((20, 7), np.int32), system.now_ns)
        system.tick()
    entities = system.detector.entities

    assert len(entities) <= 64
    assert entities.evicted > 0
    assert entities.refused > 0
    assert (entities.find(system.keys) >= 0).all()


def test_what_is_saved_and_loaded_goes_on_alike():
    """Ids are given anew after a restart; names are not."""
    first = system_after()
    first.run(0.02, errors=first.of(2, 0.3, 0.005))  # in the middle of it
    blob = first.detector.save()
    words = vocabulary()
    words.strings.intern(b"someone else")
    second = System(OTHERS, errors=0.01, words=words, config=SMALL)
    second.detector.load(blob)
    second.now_ns = first.now_ns
    second.rng = np.random.default_rng(99)
    first.rng = np.random.default_rng(99)
    change = {"errors": first.of(2, 0.3, 0.005), "rate": first.of(1, 0.0, 1.0)}

    expected = [(alarm.entity.text, alarm.symptom, alarm.at_ns, alarm.e_value) for alarm in first.run(0.1, **change)]
    told = [(alarm.entity.text, alarm.symptom, alarm.at_ns, alarm.e_value) for alarm in second.run(0.1, **change)]

    assert expected
    assert told == expected
    assert len(second.detector.save()) == pytest.approx(len(first.detector.save()), rel=0.01)


def test_an_operation_within_traces_is_saved_as_one():
    words, later = vocabulary(), vocabulary()
    later.operations.intern(later.strings.intern(b"met before"), later.strings.intern(b"GET /"), 2)
    detector, again = Detector(), Detector()
    detector.meet(words)
    detector.add_counts(np.array([inner_key(words)], np.uint64), np.ones((1, 7), np.int32), START_NS)
    detector.tick(START_NS + 10 * SECOND)

    again.load(detector.save())
    again.meet(later)

    assert again.entities.keys[0] == inner_key(later) != inner_key(words)


def inner_key(words) -> int:  # type: ignore[no-untyped-def]
    name = words.strings.intern(b"pay")
    return (OPERATION << 62) | INNER | words.operations.intern(name, words.strings.intern(b"POST /pay"), 2)


def test_a_usual_call_is_saved_under_the_names_of_both_ends():
    words, later = vocabulary(), vocabulary()
    later.operations.intern(later.strings.intern(b"met before"), later.strings.intern(b"GET /"), 2)
    detector, again = Detector(), Detector()
    detector.meet(words)
    detector.add_counts(np.array([call_key(words)], np.uint64), np.ones((1, 7), np.int32), START_NS)
    detector.tick(START_NS + 10 * SECOND)

    again.load(detector.save())
    again.meet(later)

    assert again.entities.keys[0] == call_key(later) != call_key(words)


def call_key(words) -> int:  # type: ignore[no-untyped-def]
    """shop GET /buy, which usually calls ledger POST /book."""
    intern, operation = words.strings.intern, words.operations.intern
    caller, callee = (
        operation(intern(service), intern(name), 2)
        for service, name in ((b"shop", b"GET /buy"), (b"ledger", b"POST /book"))
    )
    return (OPERATION << 62) | ((callee + 1) << 31) | caller


def test_a_call_that_is_left_out_is_told_of_the_operation_and_its_callee():
    """One of twenty calls is not seen, ever: spans are lost. Then it is left out of every third execution."""
    words, rng, now_ns = vocabulary(), np.random.default_rng(4), START_NS
    detector = Detector(SMALL)
    detector.meet(words)
    key, told = np.array([call_key(words)], np.uint64), []
    for minute in range(90):
        for _ in range(6):
            executions = rng.poisson(2.0)
            left_out = rng.binomial(executions, 0.05 if minute < 75 else 0.38)
            row = np.array([[executions, 0, executions - left_out, 0, 0, 0, 0]], np.int32)
            detector.add_counts(key, row, now_ns)
            now_ns += 10 * SECOND
            told += [(alarm.entity.text, alarm.symptom, minute) for alarm in raised(detector.tick(now_ns))]

    assert [(text, symptom) for text, symptom, _ in told] == [("shop GET /buy -> ledger", "structure")]
    assert 75 <= told[0][2] < 85


def test_a_few_very_long_times_are_told_where_the_usual_rare_ones_say_little():
    """One in twelve takes longer than 998 of 1000 did; the share of p <= 0.05 hardly moves."""
    system = system_after()
    told = []
    for _ in range(60):
        counts = system.counts()
        counts[2, 6] += system.rng.binomial(counts[2, 3], 0.01)  # service 2, its entry operation: thousands a minute
        system.detector.add_counts(system.keys, counts, system.now_ns)
        system.now_ns += system.tick_ns
        told += raised(system.detector.tick(system.now_ns))

    assert {(alarm.entity.kind, alarm.entity.service, alarm.symptom) for alarm in told} == {
        ("operation", "s2", "latency")
    }


def test_state_of_the_version_before_is_read():
    """Five shares were four, seven counts six, nine bets five; what stands of them goes on."""
    system = system_after()
    words, arrays = read_snapshot(system.detector.save(), "detection", 3, 1 << 30)
    before = dict(arrays)
    for name in ("share_n", "share_k", "share_z", "share_one", "share_size"):
        before[name] = arrays[name][:, :4].copy()
    before["wait_counts"] = arrays["wait_counts"][:, :6].copy()
    before["log_ratio"] = arrays["log_ratio"][:, [0, 2, 6, 7, 8]].copy()
    entities = [name[:4] for name in words["entities"]]
    again = Detector(SMALL)
    again.load(write_snapshot("detection", 2, {**words, "entities": entities}, before))
    again.meet(system.words)

    old, new = (one.entities for one in (system.detector, again))
    at, there = old.find(system.keys), new.find(system.keys)
    assert (new["share_n"][there, :4] == old["share_n"][at, :4]).all()
    assert (new["share_n"][there, 4] == 0).all()
    assert (new["rate_sum"][there] == old["rate_sum"][at]).all()


def test_what_waits_for_its_names_is_saved_again():
    system = system_after()
    blob = system.detector.save()
    waiting = Detector(SMALL)
    waiting.load(blob)

    assert waiting.save() == blob


@pytest.mark.parametrize("harm", [lambda blob: blob[:-1], lambda blob: b"", lambda blob: blob[:20] + b"x" + blob[21:]])
def test_a_broken_snapshot_is_refused_and_changes_nothing(harm):  # type: ignore[no-untyped-def]
    system = system_after()
    blob = system.detector.save()

    with pytest.raises(ValueError, match="detection snapshot"):
        system.detector.load(harm(blob))

    assert system.detector.save() == blob


def test_another_vocabulary_is_refused():
    system = System(OTHERS)

    with pytest.raises(ValueError, match="one engine has one vocabulary"):
        system.detector.meet(vocabulary())


def test_an_alarm_says_itself_in_a_sentence():
    """Names come from telemetry: what could steer a terminal is not shown."""
    name = EntityName("operation", "pay\x1b[31m", 1, operation="POST /\n", operation_id=7)
    alarm = Alarm(name, "errors", 1e9, START_NS, START_NS + 30 * SECOND, 3, 500, 40.0, 2.5)

    assert alarm.sentence == "pay [31m POST / : more calls fail than usual; 40 in 3 ticks, 2.5 expected."
