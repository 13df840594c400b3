"""Secrets that are planted in telemetry are nowhere afterwards: not in answers, files, messages, metrics or the log."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from collector.store.sqlite import SqliteStore
from tests.support.drawing import draw
from tests.support.fakes.otlp_sink import GrpcSink
from tests.support.fakes.sentry import SentrySink
from tests.support.running import Server, serving

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

FAILING = """
frontend POST /checkout 0..100 ERROR http.response.status_code=500
  frontend CLIENT POST 5..95 ERROR server.address=payment http.response.status_code=500
    payment POST /charge 10..90 ERROR http.response.status_code=500 !CardError: "terminal 7 does not answer"
      payment CLIENT SELECT 20..30 db.system=postgresql server.address=db
"""
# Each is whole in the telemetry below; the number says where it came from when one is found.
PLANTED = [f"pL4nted{number:02}q" for number in range(16)]
JWT = f"eyJhbGciOiJIUzI1NiJ9.eyJ{PLANTED[0]}.{PLANTED[0]}"


def _plant(drawing: Any) -> tuple[bytes, bytes]:
    """Put a secret into every kind of place."""
    traces = ExportTraceServiceRequest.FromString(drawing.requests()[0])
    spans = [span for group in traces.resource_spans for scope in group.scope_spans for span in scope.spans]
    for group in traces.resource_spans:
        group.resource.attributes.add(key="process.command_line").value.string_value = f"app --token {PLANTED[1]} run"
        group.scope_spans[0].scope.attributes.add(key="api_key").value.string_value = PLANTED[2]
    for span in spans:
        put = span.attributes.add
        put(key="http.request.header.authorization").value.array_value.values.add().string_value = f"Bearer {JWT}"
        put(key="http.request.header.cookie").value.string_value = f"sid={PLANTED[3]}"
        put(key="url.full").value.string_value = f"https://u:{PLANTED[4]}@payment.test/c?token={PLANTED[5]}&x=1"
        put(key="db.query.text").value.string_value = f"SELECT * FROM cards WHERE name = '{PLANTED[6]}'"
        put(key="db.query.parameter.0").value.string_value = PLANTED[7]
        put(key="login").value.kvlist_value.values.add(key="password").value.string_value = PLANTED[8]
        put(key="secret").value.bytes_value = PLANTED[9].encode()
        if span.status.code == 2:
            span.status.message = f"gave up: password={PLANTED[10]}"
        for event in span.events:
            event.attributes.add(key="exception.note").value.string_value = f"key AKIA{'A' * 16} {JWT}"
            for pair in event.attributes:
                if pair.key == "exception.message":
                    pair.value.string_value += f" (client_secret={PLANTED[11]})"
            event.attributes.add(
                key="exception.stacktrace"
            ).value.string_value = (
                f"CardError: api_key={PLANTED[12]}\n    at charge (payment.js:7:1) // password: {PLANTED[13]}\n"
            )
    failing = spans[2]
    failing.name = f"POST /charge?token={PLANTED[14]}"
    logs = ExportLogsServiceRequest()
    record = (
        logs.resource_logs.add().scope_logs.add().log_records.add(trace_id=failing.trace_id, span_id=failing.span_id)
    )
    record.severity_number = 17
    record.body.string_value = f"cannot connect to postgres://u:{PLANTED[15]}@db/cards"
    return traces.SerializeToString(), logs.SerializeToString()


def _found_in(text: bytes | str) -> list[str]:
    data = text.encode() if isinstance(text, str) else text
    return [secret for secret in PLANTED if secret.encode() in data]


def _answers(server: Server, trace_id: str) -> dict[str, str]:
    """Whatever can be asked, by path."""
    trace = f"/api/v1/traces/{trace_id}"
    groups = server.get("/api/v1/groups").json()["groups"]
    paths = [
        f"{trace}/root-cause", f"{trace}/spans", f"{trace}/graph", f"{trace}/graph?format=dot", f"{trace}/graph?format=mermaid",
        *(f"{trace}/report?format={kind}" for kind in ("json", "markdown", "html", "monitors")),
        *(f"/api/v1/groups/{group['group_id']}" for group in groups),
        *(f"/api/v1/groups/{group['group_id']}/report?format=html" for group in groups),
        "/api/v1/groups", "/api/v1/errors/top", "/api/v1/impact", "/api/v1/findings", "/api/v1/services",
        "/api/v1/service-graph", "/api/v1/incidents", "/api/v1/stats",
    ]  # fmt: skip
    return {path: server.get(path).text for path in paths}


def test_planted_secrets_are_nowhere(tmp_path: Path):
    drawing = draw(FAILING, seed=4242)
    trace_id = drawing.trace_id.hex() if isinstance(drawing.trace_id, bytes) else drawing.trace_id
    traces, logs = _plant(drawing)
    assert _found_in(traces + logs) == PLANTED
    with (
        GrpcSink() as sink,
        SentrySink() as sentry,
        serving(
            tmp_path, processes=2, exporter=sink.endpoint, changes={"exporters": {"sentry": {"dsn": sentry.dsn}}}
        ) as server,
    ):
        server.send(traces, logs)
        answer = server.root_cause(trace_id)
        sink.wait_taken(1)
        sentry.wait_for(1)
        server.until(lambda: server.get("/api/v1/groups").json()["groups"], "a group")
        shown = _answers(server, trace_id)
        analysed = server.post_traces(traces)
        metrics = server.metrics()
        assert server.stop() == 0, server.said()
        log = server.log.read_bytes()
        payloads = b"".join([*sink.payloads, *sentry.bodies])
    store = SqliteStore.open(tmp_path / "store", read_only=True)
    kept = store.find(bytes.fromhex(trace_id))
    store.close()
    files = {path.name: path.read_bytes() for path in (tmp_path / "store").rglob("*") if path.is_file()}

    assert answer["status"] == "finding"
    assert "terminal 7 does not answer (client_secret=[redacted])" in shown[f"/api/v1/traces/{trace_id}/spans"]
    assert kept.trace_otlp is not None
    assert b"[redacted]" in kept.trace_otlp
    assert {where: found for where, text in shown.items() if (found := _found_in(text))} == {}
    assert {name: found for name, data in files.items() if (found := _found_in(data))} == {}
    assert _found_in(kept.trace_otlp + (kept.logs_otlp or b"")) == []
    assert (_found_in(payloads), _found_in(log), _found_in(analysed)) == ([], [], [])
    assert {key.partition("|")[2] for key, count in metrics.items() if key.startswith("redacted_values|") and count} >= {
        "by_name", "statement", "assignment", "url_password", "jwt"
    }  # fmt: skip


@pytest.mark.parametrize("processes", [1, 2])
def test_masked_before_the_journal_they_are_never_on_disk(tmp_path: Path, processes: int):
    """Looked for the moment it is acknowledged, when it is on disk; and the answer is as good."""
    drawing = draw(FAILING, seed=4244)
    on_disk = {}
    for masked in (False, True):
        folder = tmp_path / str(masked)
        folder.mkdir()
        with serving(folder, processes=processes, changes={"redaction": {"before_journal": masked}}) as server:
            server.send(*_plant(drawing))
            files = [path.read_bytes() for path in (folder / "store").rglob("*") if path.is_file()]
            on_disk[masked] = _found_in(b"".join(files))
            answer = server.root_cause(drawing.trace_id)
            metrics = server.metrics()

        assert answer["root_causes"][0]["entity"]["service"] == "payment"
        assert sum(count for key, count in metrics.items() if key.startswith("redacted_values|")) > 0

    assert on_disk == {False: PLANTED, True: []}


def test_what_is_kept_is_ours_alone(tmp_path: Path):
    """Directories 0700, files 0600, whatever the umask of who started us."""
    before = os.umask(0)
    try:
        with GrpcSink() as sink, serving(tmp_path, processes=2, exporter=sink.endpoint) as server:
            server.send(*_plant(draw(FAILING, seed=4243)))
            sink.wait_taken(1)
            store = tmp_path / "store"
            modes = {
                str(path.relative_to(store)): (path.is_dir(), path.stat().st_mode & 0o777)
                for path in (store, *store.rglob("*"))
            }
    finally:
        os.umask(before)

    assert len(modes) > 3
    assert {
        name: oct(mode) for name, (is_folder, mode) in modes.items() if mode != (0o700 if is_folder else 0o600)
    } == {}
