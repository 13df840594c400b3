"""What real data suffers from: losses, clocks, samplers, dialects, services that emit nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from analyzer.simulator import DIALECTS, CaseSettings, SimulatedSpans, simulate_case

PLAIN = CaseSettings(
    services=10,
    baseline_traces=60,
    fault_traces=60,
    span_loss=0.0,
    late_share=0.0,
    uninstrumented_share=0.0,
    clock_skew_ms=0.0,
    dialect="otel_http",
    sampling="none",
    benign_deploys=0,
)


def fault(archetype: str = "error", **changes: object) -> SimulatedSpans:
    return simulate_case(archetype, 4, settings=replace(PLAIN, **changes)).fault  # type: ignore[arg-type]


def orphans(spans: SimulatedSpans) -> int:
    known = set(spans.span_id)
    return sum(bool(parent) and parent not in known for parent in spans.parent_id)


def keys(spans: SimulatedSpans) -> set[str]:
    return {key for attributes in spans.attributes for key, _ in attributes}


def test_lost_spans_leave_orphans():
    whole, holed = fault(), fault(span_loss=0.2)

    assert orphans(whole) == 0
    assert orphans(holed) > 20
    assert 0.7 * len(whole) < len(holed) < 0.9 * len(whole)


def test_a_lost_origin_is_still_known_to_the_truth():
    spans = fault(span_loss=0.2)

    assert spans.lost_origins
    assert {trace_id for trace_id, _, _ in spans.lost_origins} <= set(spans.culprits)


def test_clocks_that_differ_put_children_before_their_parents():
    def early(spans: SimulatedSpans) -> int:
        at = {span_id: i for i, span_id in enumerate(spans.span_id)}
        pairs = [(i, at[parent]) for i, parent in enumerate(spans.parent_id) if parent in at]
        return sum(spans.start_ns[child] < spans.start_ns[parent] for child, parent in pairs)

    assert early(fault()) == 0
    assert early(fault(clock_skew_ms=50.0)) > 30


def test_uninstrumented_services_emit_nothing():
    """Their callers' spans name them; what is behind them hangs on the caller, or begins traces of its own."""
    whole, dark = fault("healthy"), fault("healthy", uninstrumented_share=0.4)
    missing = set(whole.service) - set(dark.service)

    assert len(missing) == 4
    assert orphans(dark) == 0
    assert missing & {value for attributes in dark.attributes for key, value in attributes if key == "server.address"}


def test_a_tail_sampler_keeps_what_fails():
    """Of the others it drops about half, so a failing trace is far more often seen."""

    def failing(sampling: str) -> float:
        spans = fault("intermittent_error", sampling=sampling, baseline_traces=200, fault_traces=200)
        roots = [i for i in range(len(spans)) if not spans.parent_id[i]]
        return float(np.mean(spans.status[roots] == 2))

    assert failing("tail") > 1.2 * failing("none") > 0


def test_what_is_late_says_so():
    spans = fault(late_share=0.3)

    assert 0.1 < spans.late.mean() < 0.5
    assert not any(spans.late[i] for i in range(len(spans)) if not spans.parent_id[i])


def test_the_dialect_changes_the_words_and_nothing_else():
    one, other = fault(), fault(dialect="without_pods")

    assert one.service == other.service
    assert (one.start_ns == other.start_ns).all()
    assert (one.is_origin == other.is_origin).all()


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_dialect_tells_of_failure_in_its_own_way(dialect: str):
    spans = fault(dialect=dialect)
    failed, told = (spans.status == 2).any(), any(spans.exception)

    assert failed == (DIALECTS[dialect].status != "never")
    assert told == (DIALECTS[dialect].exception == "event")
    assert (set(spans.kind.tolist()) == {1}) == (dialect == "all_internal")
    assert any(spans.pod) == (dialect != "without_pods")


def test_dialects_differ_in_keys():
    assert "http.response.status_code" in keys(fault())
    assert "http.status_code" in keys(fault(dialect="http_without_status"))
    assert "rpc.grpc.status_code" in keys(fault(dialect="otel_grpc"))
    assert "exception.type" in keys(fault(dialect="exception_attributes"))
    assert "error" in keys(fault(dialect="all_internal"))
    assert keys(fault("own_latency", dialect="bare")) <= {"db.namespace", "db.system.name"}


def test_without_client_spans_services_are_called_directly():
    spans = fault("healthy", dialect="server_only")
    at = {span_id: i for i, span_id in enumerate(spans.span_id)}
    between = [
        spans.kind[at[parent]] for i, parent in enumerate(spans.parent_id) if parent in at and spans.kind[i] == 2
    ]

    assert between
    assert 3 not in between


def test_a_mixed_system_speaks_several_dialects():
    codes = keys(fault("healthy", dialect="mixed", services=20)) & {
        "http.response.status_code", "http.status_code", "rpc.grpc.status_code"
    }  # fmt: skip

    assert len(codes) > 1


def test_two_hundred_services():
    case = simulate_case("own_latency", 2, settings=replace(PLAIN, services=200))

    assert len(set(case.baseline.service)) > 60
    assert max(np.unique([t.hex() for t in case.fault.trace_id], return_counts=True)[1]) < 1500


def test_background_failures_are_known_to_the_truth():
    """Flaky code, 404s, 402s: nobody injected them, each has its span and its services; no fault, no origin."""
    spans = fault("healthy", fault_traces=400)
    marked = np.flatnonzero(spans.is_background)

    assert len(marked)
    assert not spans.is_origin.any()
    assert all(spans.exception[i] for i in marked)
    assert all(spans.service[i] in spans.bystanders[spans.trace_id[i]] for i in marked)


def test_what_was_injected_is_no_background():
    spans = fault("error")

    assert spans.is_origin.any()
    assert not (spans.is_origin & spans.is_background).any()


def test_a_broken_way_has_two_ends():
    """One trace cannot say which of them is at fault."""
    spans = fault("network_partition")
    named = set(spans.ways.values())

    assert named
    assert all(len(names) >= 2 for names in named)
    assert set(spans.ways) <= set(spans.culprits)


def test_where_the_context_is_lost_the_truth_says_which_span_leads_out():
    """Behind a service without instrumentation a new trace begins; before it, a call is all that is seen."""
    settings = replace(PLAIN, services=14, uninstrumented_share=0.4, dialect="otel_http")
    cases = (simulate_case("own_latency", seed, settings=settings).fault for seed in range(80))
    spans = next(case for case in cases if case.leads_out.any())
    last = np.flatnonzero(spans.leads_out)

    assert spans.fault_touched[last].all()
    assert all(spans.service[i] in spans.ways[spans.trace_id[i]] for i in last)
