"""Files of every form give the same requests; what is broken is named with its place and costs only itself."""

from __future__ import annotations

import base64
import gzip
import io
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from collector.contracts import Signal
from collector.receivers import file_protobuf
from collector.receivers.file_protobuf import request_signal
from collector.receivers.files import COMPLAINTS_MAX, FileComplaint, read_requests
from collector.wire.otlp_json import translate_json
from collector.wire.request_limits import RequestLimits
from tests.support.drawing import draw

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

DRAWING = draw("""
    shop   GET /x    0..100  ERROR
      cart   get       10..40  log: "out of memory"
      bank   charge    50..90  ERROR
""")
TRACES, LOGS = DRAWING.requests()
TRACE_REQUEST = ExportTraceServiceRequest.FromString(TRACES)


def otlp_json(payload: bytes, kind: type[Message]) -> dict[str, Any]:
    """OTLP/JSON: the proto3 mapping with hex ids and numbers for enums."""
    tree = MessageToDict(kind.FromString(payload), use_integers_for_enums=True)

    def fix(value: Any) -> None:
        if isinstance(value, list):
            for item in value:
                fix(item)
        elif isinstance(value, dict):
            for key, inner in value.items():
                if key in ("traceId", "spanId", "parentSpanId"):
                    value[key] = base64.b64decode(inner).hex()
                else:
                    fix(inner)

    fix(tree)
    return tree


TRACE_JSON, LOG_JSON = otlp_json(TRACES, ExportTraceServiceRequest), otlp_json(LOGS, ExportLogsServiceRequest)
TRACE_LINE, LOG_LINE = (json.dumps(tree).encode() for tree in (TRACE_JSON, LOG_JSON))


def metrics() -> bytes:
    request = ExportMetricsServiceRequest()
    metric = request.resource_metrics.add().scope_metrics.add().metrics.add(name="http.server.request.duration")
    metric.sum.data_points.add(as_int=5)
    return request.SerializeToString()


def delimited(*records: bytes) -> bytes:
    return b"".join(len(record).to_bytes(4, "big") + record for record in records)


def read(content: bytes, folder: Path, **bounds: int) -> tuple[list[tuple[bytes, Signal]], list[str]]:
    """Requests and complaints of a file whose name says nothing."""
    path = folder / "input.bin"
    path.write_bytes(content)
    return sort(read_requests(str(path), translate, **bounds), str(path))


def translate(payload: bytes, signal: Signal) -> bytes:
    return translate_json(payload, signal, RequestLimits())


def sort(parts: Iterator[Any], name: str) -> tuple[list[tuple[bytes, Signal]], list[str]]:
    requests: list[tuple[bytes, Signal]] = []
    complaints: list[str] = []
    for part in parts:
        if isinstance(part, FileComplaint):
            complaints.append(str(part).replace(name, "FILE"))
        else:
            requests.append(part)
    return requests, complaints


def spans(requests: list[tuple[bytes, Signal]]) -> list[str]:
    """Names of all spans and bodies of all logs, in order."""
    names = []
    for payload, signal in requests:
        if signal == Signal.TRACES:
            for group in ExportTraceServiceRequest.FromString(payload).resource_spans:
                names += [span.name for scope in group.scope_spans for span in scope.spans]
        else:
            for logs in ExportLogsServiceRequest.FromString(payload).resource_logs:
                names += [log.body.string_value for scope in logs.scope_logs for log in scope.log_records]
    return names


ALL = ["GET /x", "get", "charge", "out of memory"]
FORMS: dict[str, bytes] = {
    "json lines": TRACE_LINE + b"\n" + LOG_LINE + b"\n",
    "json lines without a last newline": TRACE_LINE + b"\r\n\r\n" + LOG_LINE,
    "json text sequence": b"\x1e" + TRACE_LINE + b"\n\x1e" + LOG_LINE + b"\n",
    "with a byte order mark": b"\xef\xbb\xbf" + TRACE_LINE + b"\n" + LOG_LINE,
    "behind blank lines": b"\n\n  \n" + TRACE_LINE + b"\n" + LOG_LINE,
    "printed": json.dumps(TRACE_JSON, indent=2).encode() + b"\n" + json.dumps(LOG_JSON, indent=4).encode(),
    "printed without indent": json.dumps(TRACE_JSON, indent=0).encode()
    + b"\n"
    + json.dumps(LOG_JSON, indent=0).encode(),
    "one object with both": json.dumps(TRACE_JSON | LOG_JSON).encode(),
    "a list": json.dumps([TRACE_JSON, LOG_JSON], indent=1).encode(),
    "resources, one a line": b"\n".join(
        json.dumps(part).encode() for part in (*TRACE_JSON["resourceSpans"], *LOG_JSON["resourceLogs"])
    ),
    "protobuf, requests after each other": TRACES + LOGS,
    "protobuf with lengths": delimited(TRACES, b"", LOGS),
    "lengths around JSON": delimited(TRACE_LINE, LOG_LINE),
    "lengths around zstd": delimited(zstd.compress(TRACES), zstd.compress(LOG_LINE)),
    "lengths around gzip": delimited(gzip.compress(TRACES), gzip.compress(LOGS)),
}
PACKINGS: dict[str, Callable[[bytes], bytes]] = {
    "plain": bytes,
    "gzip": gzip.compress,
    "gzip of two members": lambda content: gzip.compress(content[:100]) + gzip.compress(content[100:]),
    "zstd": zstd.compress,
}


@pytest.mark.parametrize("packing", PACKINGS)
@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_spans_and_logs(form: str, packing: str, tmp_path: Path):
    """Found by content: the name of the file says nothing."""
    requests, complaints = read(PACKINGS[packing](FORMS[form]), tmp_path)

    assert (spans(requests), complaints) == (ALL, [])
    assert {signal for _, signal in requests} == {Signal.TRACES, Signal.LOGS}


def test_json_becomes_the_request_that_was_sent(tmp_path: Path):
    """Ids, times, statuses: byte for byte."""
    requests, _ = read(TRACE_LINE, tmp_path)

    assert [ExportTraceServiceRequest.FromString(requests[0][0])] == [TRACE_REQUEST]


def test_standard_input(monkeypatch: pytest.MonkeyPatch):
    """`-`; a pipe cannot seek, and stays open for others."""

    class Stdin:
        buffer = io.BufferedReader(io.BytesIO(gzip.compress(FORMS["json lines"])))

    monkeypatch.setattr(sys, "stdin", Stdin)

    assert spans(sort(read_requests("-", translate), "-")[0]) == ALL
    assert not Stdin.buffer.closed


def test_a_broken_line_costs_itself(tmp_path: Path):
    """In the middle, cut short, not JSON at all, of a wrong type: each with its line; all others are read."""
    lines = [
        TRACE_LINE,
        b'{"resourceSpans": [}',
        TRACE_LINE[:300],
        TRACE_LINE,
        b"hello",
        b'{"resourceSpans": [{"scopeSpans": [{"spans": [{"name": 5}]}]}]}',
        b'{"resource_spans": []}',
        b'{"data": [{"traceID": "1"}]}',
        b'[{"traceId": "1", "localEndpoint": {}}]',
        b'{"who\\u001b[31m": 1}',
        b"7",
        b"{}",
        LOG_LINE,
    ]
    requests, complaints = read(b"\n".join(lines), tmp_path)

    assert spans(requests) == [*ALL[:3], *ALL]
    begins = [complaint[:24] for complaint in complaints]
    assert begins == [
        "FILE, line 2: the value ",
        "FILE, line 3: the value ",
        "FILE, line 5: not JSON: ",
        "FILE, line 6: the JSON d",
        "FILE, line 7: the keys a",
        "FILE, line 8: this looks",
        "FILE, line 9: this looks",
        "FILE, line 10: found the",
        "FILE, line 11: found a i",
    ]
    assert "\x1b" not in "".join(complaints)


def test_resources_behind_a_broken_one_live(tmp_path: Path):
    """One resource a line, in a list or by themselves; the first is cut short, the document is not closed."""
    resources = [json.dumps(part).encode() for part in TRACE_JSON["resourceSpans"]]
    for content in (
        b"\n".join([resources[0][:50], resources[1], resources[2]]),
        b'{"resourceSpans": [\n' + b",\n".join([resources[0][:50], resources[1], resources[2]]) + b"\n",
    ):
        requests, complaints = read(content, tmp_path)

        assert spans(requests) == ALL[1:3]
        assert len(complaints) == 1
    whole = b"[\n" + b",\n".join(resources) + b"\n]"
    assert (spans(read(whole, tmp_path)[0]), read(whole, tmp_path)[1]) == (ALL[:3], [])


def test_a_document_that_is_not_closed_is_named(tmp_path: Path):
    text = json.dumps(TRACE_JSON, indent=2).encode()

    assert read(text[:-20], tmp_path) == ([], ["FILE, line 1: the value is not closed at the end of the file"])


def test_only_the_first_complaints_are_shown(tmp_path: Path):
    """A hundred broken lines are twenty complaints and one number."""
    requests, complaints = read(b"oops\n" * 100 + TRACE_LINE, tmp_path)

    # A file that begins with a word is no JSON file; one that begins with a request is.
    assert (requests, len(complaints)) == ([], 1)
    requests, complaints = read(TRACE_LINE + b"\n" + b"oops\n" * 100, tmp_path)
    assert (len(requests), len(complaints)) == (1, COMPLAINTS_MAX + 1)
    assert complaints[-1] == f"FILE: {100 - COMPLAINTS_MAX} more parts cannot be read"


def test_metrics_are_left_out_and_counted(tmp_path: Path):
    line = b'{"resourceMetrics": []}\n'
    requests, complaints = read(line * 3 + TRACE_LINE, tmp_path)
    assert (spans(requests), complaints) == (
        ALL[:3],
        ["FILE: 3 x request of metrics left out; expected traces or logs"],
    )
    requests, complaints = read(delimited(metrics(), TRACES), tmp_path)
    assert (spans(requests), complaints) == (
        ALL[:3],
        ["FILE: 1 x request of metrics left out; expected traces or logs"],
    )


def test_values_are_bounded(tmp_path: Path):
    """A line, a document and a record over the bound: named; what follows is read where it can be found."""
    long_line = b'{"resourceSpans": [' + b" " * 5_000 + b"]}"
    requests, complaints = read(long_line + b"\n" + LOG_LINE, tmp_path, value_bytes_max=2_000)
    assert (spans(requests), complaints) == (
        ["out of memory"],
        ["FILE, line 1: the line has more than 2000 bytes; send shorter lines"],
    )
    printed = json.dumps(TRACE_JSON, indent=8).encode()
    requests, complaints = read(printed + b"\n" + LOG_LINE, tmp_path, value_bytes_max=1_000)
    assert spans(requests) == ["out of memory"]
    assert [complaint[:38] for complaint in complaints] == ["FILE, line 1: the value has more than "]
    requests, complaints = read(delimited(LOGS, TRACES), tmp_path, value_bytes_max=len(LOGS))
    assert spans(requests) == ["out of memory"]
    assert "the rest is lost" in complaints[0]


def test_a_zip_bomb_is_a_bounded_line(tmp_path: Path):
    """32 MiB of zeros inside a JSON line, 32 KiB outside."""
    bomb = gzip.compress(b'{"a":"' + b"0" * (32 << 20) + b'"}\n' + LOG_LINE)

    requests, complaints = read(bomb, tmp_path, value_bytes_max=100_000)

    assert spans(requests) == ["out of memory"]
    assert len(complaints) == 1
    assert read(delimited(zstd.compress(b"\x0a" * (32 << 20))), tmp_path, value_bytes_max=100_000)[0] == []


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "FILE: nothing is in it; expected OTLP as JSON, JSON lines or protobuf"),
        (b" \n\n", "FILE: nothing is in it; expected OTLP as JSON, JSON lines or protobuf"),
        (b"\x89PNG\r\n\x1a\n", "FILE, byte 0: it begins with 89 50 4e 47 0d 0a 1a 0a; expected OTLP"),
        ('{"a":1}'.encode("utf-16"), "FILE, byte 0: this is UTF-16; expected UTF-8"),
        (gzip.compress(TRACE_LINE)[:40], "FILE: the gzip data is damaged"),
        (b"\x1f\x8b\x00\x00 no gzip", "FILE: the gzip data is damaged"),
        (zstd.compress(TRACE_LINE)[:-9], "FILE: the zstd data is damaged"),
        (zstd.compress(TRACE_LINE)[:4] + b"garbage!", "FILE: the zstd data is damaged"),
        (b"\x0a\xff\xff\xff\xff\x7f", "FILE, byte 0: a resource says it has"),
        (b"\x0a\x05abc", "FILE, byte 0: the file ends in a resource"),
        (TRACES + b"\x99", f"FILE, byte {len(TRACES)}: found the tag 0x99"),
        (delimited(TRACES)[:-3], "FILE, byte 0: the file ends in a record"),
        (delimited(TRACES) + b"\x00\x00", f"FILE, byte {4 + len(TRACES)}: the file ends in the length"),
        (
            delimited(TRACES, b"\x0a\x03\x12\x7f\x00"),
            f"FILE, byte {4 + len(TRACES)}: not an OTLP request: field 2 ends",
        ),
    ],
    # Not the bytes: gzip writes the time of day into them, and parallel workers must agree on names.
    ids=lambda value: "bytes" if isinstance(value, bytes) else value,
)
def test_what_cannot_be_read_is_said(content: bytes, complaint: str, tmp_path: Path):
    _, complaints = read(content, tmp_path)

    assert [text[: len(complaint)] for text in complaints] == [complaint]


def test_what_stands_before_the_damage_is_read(tmp_path: Path):
    """A download that broke off: the whole lines before the end count."""
    packed = gzip.compress(b"".join(TRACE_LINE + b"\n" for _ in range(2_000)), compresslevel=1)

    requests, complaints = read(packed[: len(packed) // 2], tmp_path)

    assert 900 < len(requests) < 1_100
    assert len(complaints) == 1
    assert "ends early" in complaints[0]


def test_long_protobuf_is_cut_at_its_resources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A file of any length never is one request; nothing is lost at the cuts."""
    monkeypatch.setattr(file_protobuf, "CHUNK_BYTES", 300)

    requests, complaints = read(TRACES * 20, tmp_path)

    assert (spans(requests), complaints) == (ALL[:3] * 20, [])
    assert len(requests) > 10
    assert max(len(payload) for payload, _ in requests) <= 300


def test_protobuf_that_looks_like_json_is_protobuf(tmp_path: Path):
    """The length of the first resource is 123, the code of `{`, or 91, the code of `[`."""
    for length in (0x7B, 0x5B):
        request = ExportTraceServiceRequest()
        span = request.resource_spans.add().scope_spans.add().spans.add(trace_id=b"t" * 16, span_id=b"s" * 8)
        while request.resource_spans[0].ByteSize() < length:
            span.name += "x"
        payload = request.SerializeToString()
        assert payload[:2] == bytes([0x0A, length])

        requests, complaints = read(payload, tmp_path)

        assert (requests, complaints) == ([(payload, Signal.TRACES)], [])


def test_signals_are_told_apart_by_their_records():
    assert [request_signal(payload) for payload in (TRACES, LOGS, metrics(), b"")] == [
        Signal.TRACES,
        Signal.LOGS,
        Signal.METRICS,
        Signal.TRACES,
    ]
    timeless = ExportLogsServiceRequest()
    record = timeless.resource_logs.add().scope_logs.add().log_records.add(trace_id=b"t" * 16)
    record.body.string_value = "no time at all"
    assert request_signal(timeless.SerializeToString()) == Signal.LOGS


def test_a_missing_file_is_an_os_error(tmp_path: Path):
    with pytest.raises(FileNotFoundError):
        next(read_requests(str(tmp_path / "none.json"), translate))
