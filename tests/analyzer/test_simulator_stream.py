"""Streams of the simulator: hours of one system, harmless changes, perhaps a fault at the end."""

from __future__ import annotations

import numpy as np
import pytest

from analyzer.simulator.case import CaseSettings
from analyzer.simulator.stream import SimulatedStream, StreamSettings, simulate_stream

SMALL = CaseSettings(services=6, sampling="none", span_loss=0.0)
SHORT = StreamSettings(healthy_s=300.0, quiet_s=60.0, fault_s=120.0, case=SMALL)


def test_a_stream_is_the_same_for_the_same_seed():
    first, again = (simulate_stream("error", 3, SHORT) for _ in range(2))

    assert [(at, spans.span_id) for at, spans in first.ticks()] == [(at, spans.span_id) for at, spans in again.ticks()]
    assert first.root_cause_services == again.root_cause_services != []


def test_nothing_is_wrong_before_the_onset():
    stream = simulate_stream("error", 3, SHORT)

    wrong = [at for at, spans in stream.ticks() if spans.is_origin.any()]

    assert wrong
    assert stream.onset_ns < min(wrong) <= max(wrong) <= stream.end_ns


def test_ticks_follow_the_clock_and_hold_the_requests_that_began_in_them():
    stream = simulate_stream("healthy", 4, SHORT)

    ends = []
    for at, spans in stream.ticks():
        ends.append(at)
        roots = spans.start_ns[[i for i, parent in enumerate(spans.parent_id) if not parent]]
        assert np.all(roots < at + 10**9)  # a host's clock is a little off
    assert ends == list(range(stream.start_ns + 10**10, stream.end_ns + 1, 10**10))
    assert stream.end_ns == stream.onset_ns


def test_harmless_changes_come_and_shifts_of_load_go():
    settings = StreamSettings(
        healthy_s=4 * 3600.0, quiet_s=600.0, traces_per_second=0.02, changes_per_hour=4, case=SMALL
    )
    stream = simulate_stream("healthy", 5, settings)
    spans = sum(len(spans) for _, spans in stream.ticks())

    assert spans > 0
    assert {what for _, what in stream.changes} == {"benign_deploy", "benign_load_shift"}
    assert min(at for at, _ in stream.changes) >= stream.start_ns + 600 * 10**9


@pytest.mark.parametrize(("archetype", "seed"), [("nothing", 1), ("error", -1)])
def test_what_cannot_be_drawn_is_refused(archetype: str, seed: int):
    with pytest.raises(ValueError, match=r"archetype|seed"):
        simulate_stream(archetype, seed)


def test_a_true_negative_has_no_root():
    assert isinstance(stream := simulate_stream("benign_deploy", 1, SHORT), SimulatedStream)
    assert stream.root_cause_services == []
