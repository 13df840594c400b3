"""Counters of every room become one page."""

from __future__ import annotations

import json
import re

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from collector.health import metrics_server
from collector.metric_table import METRICS
from collector.telemetry import BUCKETS_S, Histogram, Telemetry, is_known, merge, sample


def _page(telemetry: Telemetry) -> dict[str, float]:
    """Every sample of the page: `name{label="value"}` -> number."""
    found = {}
    for family in text_string_to_metric_families(telemetry.text().decode()):
        for item in family.samples:
            labels = ",".join(f'{name}="{value}"' for name, value in item.labels.items())
            found[item.name + (f"{{{labels}}}" if labels else "")] = item.value
    return found


def test_counters_are_shown_under_our_name_and_the_collectors():
    telemetry = Telemetry()
    telemetry.register("gate", lambda: {"receiver_accepted_spans|otlp|grpc": 7})

    labels = '{receiver="otlp",transport="grpc"}'
    assert _page(telemetry) == {
        f"firstfault_receiver_accepted_spans_total{labels}": 7,
        f"otelcol_receiver_accepted_spans{labels}": 7,
        f"otelcol_receiver_accepted_spans_total{labels}": 7,
    }


def test_the_collectors_name_sums_over_labels_it_does_not_know():
    telemetry = Telemetry()
    telemetry.register(
        "gate", lambda: {"receiver_refused_spans|otlp|http|full": 2, "receiver_refused_spans|otlp|http|draining": 3}
    )

    page = _page(telemetry)

    assert page['otelcol_receiver_refused_spans{receiver="otlp",transport="http"}'] == 5
    assert page['firstfault_receiver_refused_spans_total{reason="full",receiver="otlp",transport="http"}'] == 2


def test_gauges_are_shown_as_they_are():
    telemetry = Telemetry()
    telemetry.register("assembly", lambda: {"assembly_open_traces": 4, "exporter_queue_size|otlp": 9})

    assert _page(telemetry) == {
        "firstfault_assembly_open_traces": 4,
        'firstfault_exporter_queue_size{exporter="otlp"}': 9,
        'otelcol_exporter_queue_size{exporter="otlp"}': 9,
    }


def test_rooms_that_count_the_same_are_added_up():
    telemetry = Telemetry()
    for process in ("one", "two"):
        telemetry.register(process, lambda: {"receiver_accepted_spans|otlp|grpc": 5, "journal_oldest_seconds": 3})

    assert telemetry.snapshot() == {"receiver_accepted_spans|otlp|grpc": 10, "journal_oldest_seconds": 3}


def test_merge_adds_up_or_takes_the_largest_as_the_table_says():
    one = {"assembly_open_traces": 1, "journal_oldest_seconds": 9.0, "redacted_values|jwt": 1}
    two = {"assembly_open_traces": 2, "journal_oldest_seconds": 4.0}

    assert merge([one, two]) == {
        "assembly_open_traces": 3,
        "journal_oldest_seconds": 9.0,
        "redacted_values|jwt": 1,
    }
    assert merge([]) == {}


def test_a_snapshot_crosses_a_process_border_as_json():
    histogram = Histogram()
    histogram.observe(0.002)
    snapshot = {"receiver_accepted_spans|otlp|grpc": 5, **histogram.samples("query_seconds", "rest")}

    assert json.loads(json.dumps(snapshot)) == snapshot


def test_histograms_are_cumulative_on_the_page():
    histogram = Histogram()
    for seconds in (0.0004, 0.0005, 0.3, 99.0):
        histogram.observe(seconds)
    telemetry = Telemetry()
    telemetry.register("query", lambda: histogram.samples("query_seconds", "rest"))

    page = _page(telemetry)

    assert page['firstfault_query_seconds_bucket{le="0.0005",protocol="rest"}'] == 2
    assert page['firstfault_query_seconds_bucket{le="0.25",protocol="rest"}'] == 2
    assert page['firstfault_query_seconds_bucket{le="0.5",protocol="rest"}'] == 3
    assert (
        page['firstfault_query_seconds_bucket{le="+Inf",protocol="rest"}']
        == 4
        == page['firstfault_query_seconds_count{protocol="rest"}']
    )
    assert page['firstfault_query_seconds_sum{protocol="rest"}'] == pytest.approx(99.3009)
    assert len([name for name in page if "_bucket" in name]) == len(BUCKETS_S) + 1


def test_counters_do_not_go_back_when_a_process_ends():
    """Its gauges go with it, its counters stay."""
    telemetry = Telemetry()
    telemetry.register("one", lambda: {"receiver_accepted_spans|otlp|grpc": 5, "assembly_open_traces": 2})
    telemetry.retire("one")
    telemetry.register("one", lambda: {"receiver_accepted_spans|otlp|grpc": 1, "assembly_open_traces": 1})

    assert telemetry.snapshot() == {"receiver_accepted_spans|otlp|grpc": 6, "assembly_open_traces": 1}


def test_the_last_snapshot_of_a_process_that_died_can_be_given():
    telemetry = Telemetry()
    telemetry.register("one", dict)
    telemetry.retire("one", {"receiver_accepted_spans|otlp|grpc": 5})

    assert telemetry.snapshot() == {"receiver_accepted_spans|otlp|grpc": 5}


def test_a_room_that_fails_does_not_take_the_others_with_it():
    def broken() -> dict[str, float]:
        raise OSError("the process is gone")

    telemetry = Telemetry()
    telemetry.register("broken", broken)
    telemetry.register("well", lambda: {"assembly_open_traces": 1})

    assert telemetry.snapshot() == {"assembly_open_traces": 1, "telemetry_failed_reads|broken": 1}


@pytest.mark.parametrize(
    "key", ["no_such_metric", "assembly_open_traces|x", "redacted_values", "query_seconds|rest", "query_seconds|rest|7"]
)
def test_samples_that_are_not_in_the_table_are_counted_not_shown(key: str):
    telemetry = Telemetry()
    telemetry.register("room", lambda: {key: 1, "assembly_open_traces": 1})

    assert telemetry.snapshot() == {"assembly_open_traces": 1, "telemetry_unknown_samples": 1}


def test_hostile_label_values_stay_in_their_quotes():
    """No label holds text from telemetry; if one ever did, the page would still be a page."""
    telemetry = Telemetry()
    telemetry.register("room", lambda: {sample("redacted_values", 'a"} 1\nevil 2'): 3})

    assert [family.name for family in text_string_to_metric_families(telemetry.text().decode())] == [
        "firstfault_redacted_values"
    ]


def test_the_table_is_named_as_prometheus_asks():
    """Lower case, unit last, `_total` left to the page; an alias only where all its labels exist."""
    for name, metric in METRICS.items():
        assert re.fullmatch(r"[a-z][a-z0-9_]*[a-z0-9]", name)
        assert not name.endswith("_total")
        assert metric.help.endswith(".")
        assert set(metric.alias_labels) <= set(metric.labels)
        assert metric.alias == "" or metric.alias.startswith("otelcol_")


def test_every_metric_of_the_table_can_be_shown():
    telemetry = Telemetry()
    everything = {
        sample(name, *("x" for _ in metric.labels), *(["sum"] if metric.kind == "histogram" else [])): 1.0
        for name, metric in METRICS.items()
    }
    telemetry.register("all", lambda: everything)

    shown = {line.split()[2] for line in telemetry.text().decode().splitlines() if line.startswith("# TYPE firstfault")}

    assert all(is_known(key) for key in everything)
    assert {name.removeprefix("firstfault_").removesuffix("_total") for name in shown} == set(METRICS)


def test_the_page_is_served():
    telemetry = Telemetry()
    telemetry.register("assembly", lambda: {"assembly_open_traces": 1})
    server = metrics_server(telemetry, "127.0.0.1", 0)
    port = server.start()
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
            answers = [client.get("/metrics"), client.get("/"), client.post("/metrics")]
    finally:
        server.stop(1)

    assert [answer.status_code for answer in answers] == [200, 404, 405]
    assert answers[0].headers["content-type"].startswith("text/plain; version=0.0.4")
    assert "firstfault_assembly_open_traces 1.0" in answers[0].text
