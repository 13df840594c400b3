"""The simulator keeps its word: what it says it broke is broken in the data, and only that."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable
from dataclasses import fields
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest

from analyzer.simulator import (
    ARCHETYPES,
    DIALECTS,
    GRANULARITIES,
    TRUE_NEGATIVES,
    CaseSettings,
    SimulatedCase,
    SimulatedSpans,
    plan_cases,
    simulate_case,
)

SERVER, CLIENT, CONSUMER = 2, 3, 5
# No nuisance: what is seen is what was injected.
CLEAR = CaseSettings(
    services=12,
    baseline_traces=120,
    fault_traces=120,
    span_loss=0.0,
    late_share=0.0,
    uninstrumented_share=0.0,
    clock_skew_ms=0.0,
    dialect="otel_http",
    sampling="none",
    benign_deploys=0,
)


@lru_cache(maxsize=64)
def clear(archetype: str, seed: int = 1, **changes: object) -> SimulatedCase:
    values = {field.name: getattr(CLEAR, field.name) for field in fields(CaseSettings)} | changes
    return simulate_case(archetype, seed, settings=CaseSettings(**values))


def find(archetype: str, good: Callable[[SimulatedCase], bool]) -> SimulatedCase:
    """The first of twenty seeds whose case has what the test is about."""
    return next(case for case in (clear(archetype, seed) for seed in range(20)) if good(case))


def same(one: SimulatedSpans, other: SimulatedSpans) -> bool:
    return all(
        np.array_equal(a, b) if isinstance(a, np.ndarray) else a == b
        for a, b in ((getattr(one, f.name), getattr(other, f.name)) for f in fields(SimulatedSpans))
    )


def of(spans: SimulatedSpans, service: str, *kinds: int) -> list[int]:
    return [i for i in range(len(spans)) if spans.service[i] == service and spans.kind[i] in kinds]


def milliseconds(spans: SimulatedSpans, chosen: list[int]) -> float:
    """Median duration of some spans."""
    return statistics.median((spans.end_ns[i] - spans.start_ns[i]) / 1e6 for i in chosen)


def gaps(spans: SimulatedSpans) -> dict[tuple[str, str], float]:
    """Median ms between a client span and the server span inside it, by (caller, callee)."""
    at = {span_id: i for i, span_id in enumerate(spans.span_id)}
    found: dict[tuple[str, str], list[float]] = {}
    for i in range(len(spans)):
        parent = at.get(spans.parent_id[i])
        if spans.kind[i] == SERVER and parent is not None and spans.kind[parent] == CLIENT and not spans.status[parent]:
            outside = (spans.end_ns[parent] - spans.start_ns[parent]) - (spans.end_ns[i] - spans.start_ns[i])
            found.setdefault((spans.service[parent], spans.service[i]), []).append(outside / 1e6)
    return {edge: statistics.median(values) for edge, values in found.items() if len(values) >= 5}


def below(spans: SimulatedSpans, chosen: Iterable[int]) -> list[int]:
    """How many spans each of the chosen has below it."""
    count = dict.fromkeys(spans.span_id, 0)
    parent = dict(zip(spans.span_id, spans.parent_id, strict=True))
    for span_id in spans.span_id:
        above = parent[span_id]
        while above:
            count[above] += 1
            above = parent[above]
    return [count[spans.span_id[i]] for i in chosen]


@pytest.mark.parametrize("archetype", ARCHETYPES)
def test_every_archetype_breaks_what_it_says(archetype: str):
    """The label names who is in the system, and the truth of single spans agrees with it."""
    case = clear(archetype)
    fault, healthy = case.fault, archetype in TRUE_NEGATIVES
    loud = archetype not in (*TRUE_NEGATIVES, "traffic_surge", "traffic_drop")

    assert case.root_cause_services == [] if healthy else case.root_cause_services
    assert bool(fault.is_origin.any()) == loud
    assert not case.baseline.is_origin.any()
    assert not case.baseline.fault_touched.any()
    assert not (fault.is_origin & ~fault.fault_touched).any()
    if loud:
        named = {name for names in fault.culprits.values() for name in names}
        assert named & set(case.root_cause_services)
    assert fault.start_ns.min() >= case.window_start_ns > case.baseline.start_ns.min()


def test_the_same_seed_gives_the_same_case():
    """To the byte, whatever was drawn in between."""
    one = simulate_case("two_roots", 7, settings=CaseSettings(baseline_traces=40, fault_traces=40))
    simulate_case("error", 8, settings=CaseSettings(baseline_traces=10, fault_traces=10))
    other = simulate_case("two_roots", 7, settings=CaseSettings(baseline_traces=40, fault_traces=40))

    assert same(one.baseline, other.baseline)
    assert same(one.fault, other.fault)
    assert one.root_cause_services == other.root_cause_services


def test_another_seed_gives_another_case():
    assert clear("error", 1).fault.span_id != clear("error", 2).fault.span_id


def test_spans_nest_and_traces_have_one_root():
    """Without losses every parent is there, and a clean synchronous child lies inside its parent."""
    spans = clear("healthy").fault
    at = {span_id: i for i, span_id in enumerate(spans.span_id)}
    roots = [i for i in range(len(spans)) if not spans.parent_id[i]]

    assert len(at) == len(spans)
    assert len(roots) == spans.trace_count == 120
    assert all(spans.parent_id[i] in at for i in range(len(spans)) if spans.parent_id[i])
    assert (spans.end_ns >= spans.start_ns).all()


def test_a_killed_service_says_nothing():
    """No server span of it after the onset; its callers fail."""
    case = clear("kill")
    (root,) = case.root_cause_services

    assert of(case.baseline, root, SERVER)
    assert of(case.fault, root, SERVER, CLIENT) == []
    origins = np.flatnonzero(case.fault.is_origin)
    assert all((("server.address", root) in case.fault.attributes[i]) and case.fault.status[i] == 2 for i in origins)


def test_a_hanging_service_answers_nobody():
    """Its span never ends, so it is never exported; the call that waits for it is where the trouble shows.

    Unless the caller, giving up, also cancels what it asked for: then the hanging span ends there.
    """
    case = clear("hang")
    (root,) = case.root_cause_services
    cancelled = ("http.response.status_code", 499)

    ended = [i for i in of(case.fault, root, SERVER) if cancelled not in case.fault.attributes[i]]
    origins = np.flatnonzero(case.fault.is_origin)

    assert len(ended) < len(of(case.baseline, root, SERVER))
    assert all(
        case.fault.kind[i] == CLIENT or (case.fault.service[i] == root and case.fault.status[i] == 2) for i in origins
    )


def test_delay_on_an_edge_is_on_this_edge_only():
    """The gap between client and server span grows there, nowhere else; the servers are as fast as ever."""
    case = find("network_delay", lambda c: c.granularity == "edge" and c.details["below_deadline"])
    before, after = gaps(case.baseline), gaps(case.fault)
    grown = {edge for edge in before.keys() & after.keys() if after[edge] > before[edge] + 2.5}

    assert grown <= set(case.root_cause_edges)
    assert len(grown) == 1


def test_delay_into_a_service_is_on_every_edge_into_it():
    case = find("network_delay", lambda c: c.granularity == "ingress" and c.details["below_deadline"])
    before, after = gaps(case.baseline), gaps(case.fault)
    grown = {edge for edge in before.keys() & after.keys() if after[edge] > before[edge] + 2.5}

    assert grown
    assert {callee for _, callee in grown} == set(case.root_cause_services)


@pytest.mark.parametrize("granularity", GRANULARITIES)
def test_a_slow_service_is_slow_where_the_label_says(granularity: str):
    """Origins are spans of the root, and of the part of it that is named."""
    case = clear("own_latency", 3, granularity=granularity)
    spans, origins = case.fault, np.flatnonzero(case.fault.is_origin)
    where = {
        "pod": lambda i: spans.pod[i] == case.root_cause_instance,
        "host": lambda i: spans.host[i] == case.root_cause_instance,
        "version": lambda i: spans.version[i] == "1.5.0",
    }.get(granularity, lambda i: True)

    assert {spans.service[i] for i in origins} <= set(case.root_cause_services)
    assert all(where(i) for i in origins)
    slow = milliseconds(spans, origins.tolist())
    names = {(spans.service[i], spans.name[i]) for i in origins}
    usual = [i for i in range(len(case.baseline)) if (case.baseline.service[i], case.baseline.name[i]) in names]
    assert slow > milliseconds(case.baseline, usual) + 1


def test_the_median_does_not_see_a_slow_tail():
    case = clear("tail_latency")
    (root,) = case.root_cause_services
    usual, now = (milliseconds(s, of(s, root, SERVER)) for s in (case.baseline, case.fault))
    slow = milliseconds(case.fault, np.flatnonzero(case.fault.is_origin).tolist())

    assert now < 1.5 * usual + 1
    assert slow > 5 * usual


def test_an_error_begins_in_its_root_and_is_passed_on():
    """The root throws; whoever fails above it says so of its own."""
    case = clear("error")
    spans = case.fault
    (root,) = case.root_cause_services

    assert {spans.service[i] for i in np.flatnonzero(spans.is_origin)} == {root}
    assert all(spans.status[i] == 2 and spans.exception[i] for i in np.flatnonzero(spans.is_origin))
    assert {spans.service[i] for i in np.flatnonzero(spans.status == 2)} > {root}


def test_a_silent_200_fails_nowhere_and_lacks_calls():
    case = clear("silent_200")
    spans, origins = case.fault, np.flatnonzero(case.fault.is_origin)
    names = {(spans.service[i], spans.name[i]) for i in origins}
    usual = [i for i in range(len(case.baseline)) if (case.baseline.service[i], case.baseline.name[i]) in names]

    assert not (spans.status[origins] == 2).any()
    assert statistics.mean(below(spans, origins)) < statistics.mean(below(case.baseline, usual)) - 0.9


def test_n_plus_one_makes_many_calls_of_one():
    case = clear("n_plus_one")
    (root,) = case.root_cause_services

    assert len(of(case.fault, root, CLIENT)) > 3 * len(of(case.baseline, root, CLIENT))


def test_a_backlog_is_a_wait_before_the_consumer():
    case = clear("queue_backlog")
    at = {span_id: i for i, span_id in enumerate(case.fault.span_id)}
    origins = np.flatnonzero(case.fault.is_origin)
    consumed = [i for i in origins if case.fault.kind[i] == CONSUMER]

    assert consumed
    assert all(case.fault.start_ns[i] - case.fault.end_ns[at[case.fault.parent_id[i]]] > 50e6 for i in consumed)


def test_a_timeout_inversion_leaves_the_callee_as_it_was():
    """The caller gives up on a callee that takes as long as ever."""
    case = clear("timeout_inversion")
    (edge,) = case.root_cause_edges
    usual, now = (milliseconds(s, of(s, edge[1], SERVER)) for s in (case.baseline, case.fault))

    assert now < 1.5 * usual + 1
    assert (
        {case.fault.service[i] for i in np.flatnonzero(case.fault.is_origin)}
        == {edge[0]}
        == {*case.root_cause_services}
    )


def test_traffic_comes_faster_in_a_surge():
    case = clear("traffic_surge")
    before = case.window_start_ns - int(case.baseline.start_ns.min())

    assert case.window_end_ns - case.window_start_ns < 0.8 * before


def test_two_roots_are_two():
    case = clear("two_roots")
    named = {name for names in case.fault.culprits.values() for name in names}

    assert len(set(case.root_cause_services)) >= 2
    assert len(named & set(case.root_cause_services)) >= 2


@pytest.mark.parametrize("archetype", TRUE_NEGATIVES)
def test_a_true_negative_blames_nobody(archetype: str):
    case = clear(archetype)

    assert (case.root_cause_services, case.root_cause_edges, case.root_loudest) == ([], [], False)
    assert case.fault.culprits == {}


def test_a_benign_deploy_shows_a_new_version():
    case = clear("benign_deploy")

    assert set(case.fault.version) - set(case.baseline.version) == {"1.5.0"}


def test_the_lead_in_is_healthy_and_before_the_onset():
    case = clear("error", lead_in_traces=50)
    before = case.fault.start_ns < case.window_start_ns

    assert 0 < before.sum() < len(case.fault)
    assert not case.fault.is_origin[before].any()
    assert case.baseline.end_ns.min() < case.fault.start_ns.min()


def test_the_documentation_knows_every_archetype_and_dialect():
    text = (Path(__file__).parents[2] / "docs/simulator.md").read_text()

    assert [name for name in (*ARCHETYPES, *DIALECTS, *GRANULARITIES) if f"`{name}`" not in text] == []


def test_a_set_holds_every_archetype_and_more_of_the_hard_ones():
    planned = [name for name, _ in plan_cases(80, 5)]

    assert set(planned) == set(ARCHETYPES)
    assert planned.count("own_latency") > planned.count("kill")
    assert plan_cases(80, 5) == plan_cases(80, 5)
    assert [seed for _, seed in plan_cases(3, 5, ["error"])] == [5, 6, 7]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: simulate_case("gremlins", 1), ("gremlins", "own_latency")),
        (lambda: simulate_case("error", -1), ("seed is -1", "0 or more")),
        (lambda: simulate_case("error", 1, settings=CaseSettings(dialect="latin")), ("latin", "otel_http")),
        (lambda: simulate_case("error", 1, settings=CaseSettings(granularity="planet")), ("planet", "pod")),
        (lambda: CaseSettings(span_loss=0.9), ("span_loss is 0.9", "0.2")),
        (lambda: CaseSettings(services=3), ("services is 3", "5")),
        (lambda: CaseSettings(sampling="some"), ("some", "tail")),
        (lambda: plan_cases(3, 1, ["gremlins"]), ("gremlins",)),
    ],
)
def test_wrong_use_is_told_in_words(make: Callable[[], object], words: tuple[str, ...]):
    with pytest.raises(ValueError) as told:
        make()

    assert all(word in str(told.value) for word in words)
