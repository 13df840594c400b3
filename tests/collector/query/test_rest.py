"""REST: what happened to a trace is always told apart, and every error says what to do."""

from __future__ import annotations

import gzip
import json

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from analyzer.findings import Answer, SpanRole
from collector.contracts import EdgeRollup, Encoding, Found, Rollup, Signal
from collector.query.desk import Desk, QuerySettings
from collector.query.lookup import look_here
from collector.query.rest import create_app
from collector.trace_names import name_of, text_of
from tests.collector.query.answers import TRACE, full, row, small
from tests.collector.query.rooms import CHECKOUT, PATH, Client, Room, problem
from tests.support.drawing import draw
from tests.support.fakes.clock import EPOCH_NS, HOUR_NS, ManualClock
from tests.support.fakes.store import FakeOpenTraces, FakeStore


def test_a_finding_is_answered(room: Room):
    """All of the answer, as it was stored."""
    room.keep(full())

    response = room.get(PATH)

    assert response.status_code == 200
    assert Answer.model_validate(response.json()) == full()


@pytest.mark.parametrize("status", ["finding", "clean", "partial"])
def test_final_answers_are_200(room: Room, status: str):
    room.keep(small(status=status))

    assert (room.get(PATH).status_code, room.get(PATH).json()["status"]) == (200, status)


def test_a_clean_trace_without_bytes_is_clean_and_not_unknown(room: Room):
    """Only its id was kept: still an answer."""
    room.store.found[TRACE] = Found("clean")

    response = room.get(PATH)

    assert (response.status_code, response.json()["status"], response.json()["verdict"]) == (200, "clean", "none")
    assert "not kept" in response.json()["status_reason"]


def test_an_open_trace_is_202(room: Room):
    """The answer so far, when to ask again, and nothing that a cache may keep."""
    room.open_traces.answers[TRACE] = small(status="in_progress", revision=0)

    response = room.get(PATH)

    assert (response.status_code, response.json()["status"]) == (202, "in_progress")
    assert (response.headers["retry-after"], response.headers["cache-control"]) == ("1", "no-store")
    assert "etag" not in response.headers


def test_a_trace_that_is_released_between_the_two_looks_is_found(room: Room):
    """Not yet stored at the first look, no longer open when the engine is asked."""
    room.open_traces.on_ask = lambda trace_id: room.keep(small())

    assert room.get(PATH).status_code == 200


def test_unknown_expired_and_dropped_are_told_apart(room: Room):
    assert problem(room.get(PATH), 404, "trace_unknown")["found"] == TRACE.hex()

    room.store.found[TRACE] = Found("expired")
    problem(room.get(PATH), 410, "trace_expired")

    room.store.found[TRACE] = Found("dropped", reason="memory_pressure: 120 spans")
    assert problem(room.get(PATH), 410, "trace_dropped")["detail"] == "memory_pressure: 120 spans"


def test_what_may_have_been_left_out_under_stress_is_said_so(room: Room):
    """Nobody keeps the ids of what is dropped by the hundred thousand; whoever asks learns that it may be one of them."""
    found = look_here(Desk(room.store, room.open_traces, ManualClock(), shed_traces=lambda: 12_345), TRACE)

    assert found.state == "unknown"
    assert "or it is one of 12345 traces that were left out under stress" in found.reason


def test_a_trace_of_a_tenant_is_asked_for_with_it(room: Room):
    """Every question about it; the id alone is its id as long as no other tenant's trace has it."""
    name = name_of(TRACE, "shop")
    room.keep(small(tenant="shop"), CHECKOUT)
    room.store.found = {name: room.store.found[TRACE]}

    asked, spans, plain = (
        room.get(path).json()
        for path in (PATH.replace(TRACE.hex(), text_of(name)), f"/api/v1/traces/{text_of(name)}/spans", PATH)
    )

    assert asked == plain
    assert [(one["trace_id"], one["revision"]) for one in (asked, spans)] == [(TRACE.hex(), 1)] * 2
    problem(room.get(PATH.replace(TRACE.hex(), f"{TRACE.hex()}@bank")), 404, "trace_unknown")


def test_nobodys_trace_is_waited_for_beside_a_tenants(room: Room):
    """A tenant's trace of the same id is kept: it does not end the wait for the one that is open."""
    room.keep(small(tenant="shop"))
    room.store.found = {name_of(TRACE, "shop"): room.store.found[TRACE]}
    room.open_traces.answers[TRACE] = small(status="in_progress")

    def at_last(name: bytes) -> None:
        if room.store.looks == 5:
            room.keep(small(summary="nobody's"))

    room.store.on_find = at_last

    assert room.get(f"{PATH}?wait=30").json()["summary"] == "nobody's"


def test_a_tenants_trace_is_not_waited_for(room: Room):
    """Asked for by its id alone, it is kept already; the wait ends at the first look."""
    room.keep(small(tenant="shop"))
    room.store.found = {name_of(TRACE, "shop"): room.store.found[TRACE]}

    assert room.get(f"{PATH}?wait=30").json()["tenant"] == "shop"
    assert room.store.looks < 10


def test_waiting_ends_when_the_verdict_is_stored(room: Room):
    """The answer comes at the fifth look, long before the 30 s."""

    def at_last(trace_id: bytes) -> None:
        if room.store.looks == 5:
            room.keep(small())

    room.store.on_find = at_last

    response = room.get(f"{PATH}?wait=30")

    assert (response.status_code, room.store.looks) == (200, 6)
    assert room.open_traces.asked == []


def test_waiting_ends_at_the_deadline():
    """A wait is cut to the bound of the server; then the engine is asked."""
    room = Room(QuerySettings(poll_s=0.001, wait_max_s=0.02))
    room.open_traces.answers[TRACE] = small(status="in_progress")

    assert room.get(f"{PATH}?wait=100000").status_code == 202
    assert room.store.looks >= 2
    assert room.open_traces.asked == [TRACE]


@pytest.mark.parametrize("wait", ["-1", "nan", "inf", "soon"])
def test_a_wait_that_is_none_is_refused(room: Room, wait: str):
    assert problem(room.get(f"{PATH}?wait={wait}"), 400, "invalid_request")["errors"][0]["field"] == "query.wait"


@pytest.mark.parametrize(
    "trace_id", ["4bf9", "g" * 32, TRACE.hex() + "00", "%3Cscript%3E", "4bf92f3577b34da6a3ce929d0e0e473\u0663"]
)
def test_a_trace_id_is_32_hex_digits(room: Room, trace_id: str):
    """Anything else is refused before the shelf is asked."""
    for path in ("root-cause", "graph", "spans"):
        problem(room.get(f"/api/v1/traces/{trace_id}/{path}"), 400, "invalid_request")
    assert room.store.looks == 0


def test_the_zero_trace_id_is_refused(room: Room):
    problem(room.get(f"/api/v1/traces/{'0' * 32}/root-cause"), 400, "trace_id")


def test_upper_case_is_the_same_trace(room: Room):
    room.keep(small())

    assert room.get(PATH.replace(TRACE.hex(), TRACE.hex().upper())).json()["trace_id"] == TRACE.hex()


def test_the_etag_is_of_the_revision(room: Room):
    """Same revision: 304 without a body. A late span made a new one: 200 again."""
    room.keep(small())
    tag = room.get(PATH).headers["etag"]

    again = room.get(PATH, if_none_match=f'"other", W/{tag}')
    room.keep(small(revision=2))
    newer = room.get(PATH, if_none_match=tag)

    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    assert (newer.status_code, newer.headers["etag"].startswith('"r2-')) == (200, True)


def test_the_graph_in_three_formats(room: Room):
    """Parameter or Accept; the culprit is marked in each."""
    room.keep(small(), CHECKOUT)
    path = f"/api/v1/traces/{TRACE.hex()}/graph"

    as_json = room.get(path).json()
    assert (as_json["trace_id"], [node["id"] for node in as_json["nodes"]]) == (
        TRACE.hex(),
        ["service:gateway", "service:payment", "client:user"],
    )
    assert room.get(f"{path}?format=dot").text.startswith("digraph")
    assert room.get(path, accept="text/vnd.graphviz").headers["content-type"] == "text/vnd.graphviz; charset=utf-8"
    assert room.get(path, accept="application/json;q=0.1, text/vnd.mermaid").text.startswith("flowchart")
    assert room.get(f"{path}?format=json", accept="text/vnd.mermaid").headers["content-type"] == "application/json"
    problem(room.get(path, accept="image/png"), 406, "not_acceptable")
    problem(room.get(f"{path}?format=svg"), 400, "invalid_request")
    tag = room.get(path).headers["etag"]
    assert room.get(path, if_none_match=tag).status_code == 304


def test_a_graph_needs_spans(room: Room):
    """Open, not kept, unknown: each is said."""
    path = f"/api/v1/traces/{TRACE.hex()}/graph"
    problem(room.get(path), 404, "trace_unknown")
    room.open_traces.answers[TRACE] = small(status="in_progress")
    problem(room.get(path), 404, "trace_open")
    assert room.get(path).headers["retry-after"] == "1"
    room.store.found[TRACE] = Found("clean")
    problem(room.get(path), 404, "spans_not_kept")


def test_spans_are_otlp_json_with_hex_ids_and_roles(room: Room):
    span = CHECKOUT.find("payment Charge")
    room.keep(
        small(roles=[SpanRole(span_id=span.span_id.hex(), service="payment", operation="Charge", role="origin")]),
        CHECKOUT,
    )

    page = room.get(f"/api/v1/traces/{TRACE.hex()}/spans").json()

    shown = [s for group in page["resourceSpans"] for scope in group["scopeSpans"] for s in scope["spans"]]
    assert [s["spanId"] for s in shown] == [s.span_id.hex() for s in CHECKOUT.spans]
    assert {s["traceId"] for s in shown} == {TRACE.hex()}
    assert shown[2]["parentSpanId"] == shown[1]["spanId"]
    assert (shown[2]["kind"], shown[2]["status"]["code"]) == (2, 2)
    assert page["roles"] == {span.span_id.hex(): "origin"}
    assert (page["span_count"], page["next_offset"]) == (3, None)


def test_span_pages_are_whole_and_do_not_overlap(room: Room):
    """By count and by bytes: every span once."""
    lines = "\n".join(f"  a step{i} 1..2 text={'x' * 500}" for i in range(250))
    drawing = draw(f"a GET /x 0..10\n{lines}", trace_id=TRACE)
    room.keep(small(), drawing)
    path = f"/api/v1/traces/{TRACE.hex()}/spans"
    for limit in (7, 1_000):
        names: list[str] = []
        offset: int | None = 0
        pages = 0
        while offset is not None:
            page = room.get(f"{path}?limit={limit}&offset={offset}").json()
            names += [s["name"] for g in page["resourceSpans"] for scope in g["scopeSpans"] for s in scope["spans"]]
            offset, pages = page["next_offset"], pages + 1
        assert names == [span.operation for span in drawing.spans]
        assert pages > 2  # 1 000 spans are allowed, but not that many bytes
    problem(room.get(f"{path}?limit=10001"), 400, "invalid_request")
    assert room.get(f"{path}?offset=5000").json()["resourceSpans"] == []


def test_findings_are_filtered_and_paged(room: Room):
    room.store.add(*(row(i, service="payment" if i % 2 else "cart") for i in range(5)))

    first = room.get("/api/v1/findings?service=payment&limit=1").json()
    second = room.get(f"/api/v1/findings?service=payment&limit=1&cursor={first['next_cursor']}").json()

    assert [first["findings"][0]["summary"], second["findings"][0]["summary"]] == ["finding 3", "finding 1"]
    assert second["next_cursor"] is None
    room.get("/api/v1/findings?verdict=latency&rule=r&from=5&to=2025-10-09T08:53:20.000000001%2B00:00")
    query = room.store.queries[-1]
    assert (query.verdict, query.rule, query.from_ns, query.to_ns, query.limit) == (
        "latency",
        "r",
        5,
        EPOCH_NS + 1,
        100,
    )


@pytest.mark.parametrize(
    ("query", "word"),
    [
        ("verdict=sad", "invalid_request"),
        ("limit=0", "invalid_request"),
        ("limit=1001", "invalid_request"),
        ("from=yesterday", "bad_time"),
        ("to=99999999999999999999", "bad_time"),
        ("from=2025-13-01T00:00:00Z", "bad_time"),
        ("cursor=stolen", "bad_query"),
        (f"service={'x' * 1025}", "invalid_request"),
    ],
)
def test_bad_filters_are_named(room: Room, query: str, word: str):
    problem(room.get(f"/api/v1/findings?{query}"), 400, word)


def test_services_have_rate_errors_and_latency(room: Room):
    """7 200 calls in an hour are 2 a second; client spans do not count as calls of the service."""
    room.store.rollups = [
        Rollup(0, "payment", "Charge", 2, 7_000, 30, 70_000, 900),
        Rollup(0, "payment", "Refund", 2, 200, 6, 2_000, 50),
        Rollup(0, "payment", "SELECT", 3, 9_000, 0, 9_000, 9_999),
        Rollup(0, "batch", "tick", 1, 36, 0, 360, 20),
    ]

    body = room.get("/api/v1/services").json()

    payment, lonely = body["services"]
    assert (payment["service"], payment["count"], payment["error_count"], payment["rate_per_s"]) == (
        "payment",
        7_200,
        36,
        2.0,
    )
    assert (payment["error_share"], payment["duration_mean_ns"], payment["duration_max_ns"]) == (0.005, 10, 900)
    assert [line["operation"] for line in payment["operations"]] == ["SELECT", "Charge", "Refund"]
    assert (lonely["service"], lonely["count"]) == ("batch", 36)
    assert room.store.windows == [(EPOCH_NS - HOUR_NS, EPOCH_NS)]
    assert room.get("/api/v1/services?limit=1").json()["services_left_out"] == 1
    assert [line["service"] for line in room.get("/api/v1/services?service=batch").json()["services"]] == ["batch"]


@pytest.mark.parametrize("query", ["from=10&to=10", "from=20&to=10", "from=0"])
def test_windows_are_bounded(room: Room, query: str):
    """Empty, backwards, or fifty years long."""
    for path in ("services", "service-graph"):
        problem(room.get(f"/api/v1/{path}?{query}"), 400, "bad_window")


def test_the_service_graph_of_a_window(room: Room):
    room.store.rollups = [Rollup(0, "lonely", "tick", 1, 4, 0, 40, 20)]
    room.store.edge_rollups = [EdgeRollup(0, "a", "b", "service", "client_server", 5, 1, 50)]

    body = room.get("/api/v1/service-graph").json()

    assert {node["id"] for node in body["nodes"]} == {"service:lonely", "service:a", "service:b"}
    assert [(edge["caller"], edge["callee"], edge["count"]) for edge in body["edges"]] == [
        ("service:a", "service:b", 5)
    ]
    assert room.get("/api/v1/service-graph?format=dot").text.startswith("digraph")
    assert room.get("/api/v1/service-graph?format=mermaid").text.startswith("flowchart")


def post(room: Room, body: bytes, kind: str = "application/x-protobuf", **headers: str) -> httpx.Response:
    sent = {"Content-Type": kind} | {name.replace("_", "-"): value for name, value in headers.items()}
    return room.client.post("/api/v1/analyze", content=body, headers=sent)


def test_analyze_takes_protobuf_json_and_gzip(room: Room):
    """The bytes go to the analyzer as they came; gzip is taken off."""
    payload = CHECKOUT.requests()[0]
    first = post(room, payload).json()
    assert first["answers"] == [json.loads(small().model_dump_json())]
    assert first["answers_left_out"] == 0
    assert first["evidence"]["present"] == ["trace"]
    post(room, b'{"resourceSpans":[]}', "application/json; charset=utf-8")
    post(room, gzip.compress(payload), content_encoding="gzip")

    assert room.analysed == [
        (payload, Signal.TRACES, Encoding.PROTOBUF),
        (b'{"resourceSpans":[]}', Signal.TRACES, Encoding.JSON),
        (payload, Signal.TRACES, Encoding.PROTOBUF),
    ]


def test_analyze_refuses_with_a_reason(room: Room):
    problem(post(room, b"x", "text/html"), 415, "unsupported")
    problem(post(room, b"\xff", "text/plain"), 400, "undecodable")
    problem(post(room, b"x", content_encoding="br"), 415, "unsupported")
    problem(post(room, b"x" * 5_000), 413, "too_large")
    problem(post(room, gzip.compress(b"x" * 5_000), content_encoding="gzip"), 413, "too_large")
    problem(post(room, b"not gzip", content_encoding="gzip"), 400, "undecodable")
    problem(post(room, gzip.compress(b"xy")[:-9], content_encoding="gzip"), 400, "undecodable")
    assert room.analysed == []
    problem(post(room, b"broken"), 400, "undecodable")


def test_a_room_without_analyzer_says_so():
    client = Client(create_app(FakeStore(), FakeOpenTraces()))

    problem(client.post("/api/v1/analyze"), 501, "no_analyzer")
    problem(client.get(f"/api/v1/traces/{TRACE.hex()}/graph"), 501, "no_graphs")


def test_about(room: Room):
    """The schema is the answer's, with an example that fits it; the stats count."""
    schema = room.get("/api/v1/schema").json()
    stats = room.get("/api/v1/stats").json()

    assert set(schema["properties"]) == set(Answer.model_fields)
    assert Answer.model_validate(schema["examples"][0]).verdict == "error"
    assert (stats["outbox_count"], stats["counters"]) == (3, {"query_requests|rest|ok": 1.0})


def test_the_request_of_the_tests_is_what_it_says():
    assert len(ExportTraceServiceRequest.FromString(CHECKOUT.requests()[0]).resource_spans) == 3
