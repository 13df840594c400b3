"""Draw a trace, name the origin.

One line a span; indentation is parenthood; times are milliseconds::

    trace = draw('''
        gateway   GET /checkout            0..100  ERROR
          gateway   CLIENT payment.Charge    45..95  ERROR  peer.service=payment
            payment   Charge                   50..90  ERROR  !CardError: "declined by bank"
    ''')

Line: service, [kind], operation words, start..end, [ERROR|OK], then any of
`key=value` (span attribute; digits become integers), `@key=value` (resource attribute),
`!Type: "message"` or `!Type` (exception event at the end of the span), `status: "message"`,
`name:ID` (a name for the span id), `parent:ID` (a parent other than by indentation;
an unknown ID is a missing parent), `link:ID` (span link), `log: "text"` (an ERROR log record
under the span, `log!Type: "text"` with an exception).

Kind, when not written: SERVER for a root and for a child of another service, INTERNAL otherwise.
"""

from __future__ import annotations

import random
import re
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from analyzer.spans import ReleaseReason, SpanBatch, SpanKind, StatusCode, TraceBatch, Vocabulary
from collector.wire.detail import read_detail
from tests.support.naive.decode import decode_logs, decode_traces
from tests.support.naive.vocabulary import vocabulary as new_vocabulary

EPOCH_NS = 1_760_000_000_000_000_000  # 2025-10-09; any fixed time will do
MS = 1_000_000
_TIMES = re.compile(r"^(-?\d+(?:\.\d+)?)\.\.(-?\d+(?:\.\d+)?)$")


@dataclass(frozen=True)
class DrawnSpan:
    service: str
    operation: str
    kind: SpanKind
    start_ms: float
    end_ms: float
    span_id: bytes
    parent_id: bytes
    status: StatusCode = StatusCode.UNSET
    status_message: str = ""
    attributes: tuple[tuple[str, str | int], ...] = ()
    resource: tuple[tuple[str, str], ...] = ()
    exceptions: tuple[tuple[str, str], ...] = ()
    links: tuple[bytes, ...] = ()
    logs: tuple[tuple[str, str], ...] = ()  # (exception type or "", text)


@dataclass(frozen=True)
class Drawing:
    """One trace on paper."""

    spans: tuple[DrawnSpan, ...]
    trace_id: bytes = field(default=b"")

    def requests(self) -> tuple[bytes, bytes]:
        """Serialise as (ExportTraceServiceRequest, ExportLogsServiceRequest)."""
        traces, logs = ExportTraceServiceRequest(), ExportLogsServiceRequest()
        for span in self.spans:
            resource_spans = traces.resource_spans.add()
            _resource(resource_spans.resource, span)
            self._write(resource_spans.scope_spans.add().spans.add(), span)
            if span.logs:
                resource_logs = logs.resource_logs.add()
                _resource(resource_logs.resource, span)
                scope_logs = resource_logs.scope_logs.add()
                for kind, text in span.logs:
                    record = scope_logs.log_records.add()
                    record.trace_id, record.span_id = self.trace_id, span.span_id
                    record.time_unix_nano = EPOCH_NS + round(span.end_ms * MS)
                    record.severity_number = 17  # type: ignore[assignment]
                    record.body.string_value = text
                    if kind:
                        _set(record.attributes.add(), "exception.type", kind)
                        _set(record.attributes.add(), "exception.message", text)
        return traces.SerializeToString(), logs.SerializeToString()

    def _write(self, message, span: DrawnSpan) -> None:  # type: ignore[no-untyped-def]
        message.trace_id, message.span_id, message.parent_span_id = self.trace_id, span.span_id, span.parent_id
        message.name, message.kind = span.operation, int(span.kind)
        message.start_time_unix_nano = EPOCH_NS + round(span.start_ms * MS)
        message.end_time_unix_nano = EPOCH_NS + round(span.end_ms * MS)
        message.status.code, message.status.message = int(span.status), span.status_message
        for key, value in span.attributes:
            _set(message.attributes.add(), key, value)
        for kind, text in span.exceptions:
            event = message.events.add()
            event.name, event.time_unix_nano = "exception", message.end_time_unix_nano
            _set(event.attributes.add(), "exception.type", kind)
            if text:
                _set(event.attributes.add(), "exception.message", text)
        for link in span.links:
            message.links.add(trace_id=self.trace_id, span_id=link)

    def find(self, words: str) -> DrawnSpan:
        """The one span called "service operation"."""
        found = [span for span in self.spans if f"{span.service} {span.operation}" == words]
        assert len(found) == 1, f"{words!r} stands {len(found)} times in the drawing"
        return found[0]

    def jitter(self, seed: int, share: float = 0.05) -> Drawing:
        """The same trace under another id, every time stretched by one factor of about `share`."""
        rng = random.Random(seed)
        factor = max(0.2, rng.gauss(1.0, share))
        spans = tuple(
            replace(span, start_ms=span.start_ms * factor, end_ms=span.end_ms * factor) for span in self.spans
        )
        return Drawing(spans, rng.getrandbits(128).to_bytes(16, "big"))


def draw(text: str, trace_id: bytes | None = None, seed: int = 1) -> Drawing:
    """Read a drawing."""
    rng = random.Random(seed)
    lines = [line for line in text.splitlines() if line.strip()]
    named: dict[str, bytes] = {}
    parsed: list[tuple[int, DrawnSpan, str, list[str]]] = []
    for line in lines:
        indent = len(line) - len(line.lstrip())
        span, name, parent, links = _parse(line, rng.getrandbits(64).to_bytes(8, "big"))
        if name:
            named[name] = span.span_id
        parsed.append((indent, span, parent, links))
    spans: list[DrawnSpan] = []
    open_spans: list[tuple[int, DrawnSpan]] = []
    for indent, span, parent, links in parsed:
        while open_spans and open_spans[-1][0] >= indent:
            open_spans.pop()
        above = open_spans[-1][1] if open_spans else None
        parent_id = above.span_id if above else b""
        if parent:
            parent_id = named.setdefault(parent, rng.getrandbits(64).to_bytes(8, "big"))
        kind = span.kind
        if kind == SpanKind.UNSPECIFIED:
            kind = SpanKind.SERVER if above is None or above.service != span.service else SpanKind.INTERNAL
        span = replace(span, parent_id=parent_id, kind=kind, links=tuple(named[link] for link in links))
        spans.append(span)
        open_spans.append((indent, span))
    return Drawing(tuple(spans), trace_id or rng.getrandbits(128).to_bytes(16, "big"))


def _parse(line: str, span_id: bytes) -> tuple[DrawnSpan, str, str, list[str]]:
    words = shlex.split(line.replace("log!", "log_exception:").replace("!", "exception:"), posix=True)
    service, words = words[0], words[1:]
    kind = SpanKind.UNSPECIFIED
    if words[0] in SpanKind.__members__:
        kind, words = SpanKind[words[0]], words[1:]
    at = next(i for i, word in enumerate(words) if _TIMES.match(word))
    times = _TIMES.match(words[at])
    assert times
    span = DrawnSpan(service, " ".join(words[:at]), kind, float(times[1]), float(times[2]), span_id, b"")
    name, parent, links = "", "", []
    rest = words[at + 1 :]
    i = 0
    while i < len(rest):
        word = rest[i]
        if word in ("ERROR", "OK"):
            span = replace(span, status=StatusCode[word])
        elif word == "status:":
            i += 1
            span = replace(span, status_message=rest[i])
        elif word.startswith(("exception:", "log_exception:")):
            label, _, kind_name = word.partition(":")
            message = ""
            if kind_name.endswith(":"):
                i += 1
                kind_name, message = kind_name[:-1], rest[i]
            if label == "exception":
                span = replace(span, exceptions=(*span.exceptions, (kind_name, message)))
            else:
                span = replace(span, logs=(*span.logs, (kind_name, message)))
        elif word == "log:":
            i += 1
            span = replace(span, logs=(*span.logs, ("", rest[i])))
        elif word.startswith("name:"):
            name = word[5:]
        elif word.startswith("parent:"):
            parent = word[7:]
        elif word.startswith("link:"):
            links.append(word[5:])
        elif word.startswith("@") and "=" in word:
            key, _, text = word[1:].partition("=")
            span = replace(span, resource=(*span.resource, (key, text)))
        elif "=" in word:
            key, _, text = word.partition("=")
            value: str | int = int(text) if text.lstrip("-").isdigit() else text
            span = replace(span, attributes=(*span.attributes, (key, value)))
        else:
            raise ValueError(f"cannot read {word!r} in {line.strip()!r}")
        i += 1
    return span, name, parent, links


def _resource(message, span: DrawnSpan) -> None:  # type: ignore[no-untyped-def]
    _set(message.attributes.add(), "service.name", span.service)
    for key, value in span.resource:
        _set(message.attributes.add(), key, value)


def _set(pair, key: str, value: str | int) -> None:  # type: ignore[no-untyped-def]
    pair.key = key
    if isinstance(value, int):
        pair.value.int_value = value
    else:
        pair.value.string_value = value


def batch(
    drawings: Drawing | Iterable[Drawing],
    words: Vocabulary | None = None,
    reason: ReleaseReason = ReleaseReason.ROOT_IDLE,
) -> TraceBatch:
    """Drawn traces as the analyzer gets them."""
    many: Sequence[Drawing] = [drawings] if isinstance(drawings, Drawing) else list(drawings)
    words = words or new_vocabulary()
    parts: list[SpanBatch] = []
    counts: list[int] = []
    for drawing in many:
        traces, logs = drawing.requests()
        pair = [decode_traces(traces, words), decode_logs(logs, words)]
        parts += pair
        counts.append(sum(len(part.rows) for part in pair))
    offset = 0
    rows = []
    for part in parts:
        moved = part.rows.copy()
        moved["raw_offset"] += offset
        offset += len(part.raw)
        rows.append(moved)
    count = len(many)
    return TraceBatch(
        rows=np.concatenate(rows),
        trace_ptr=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        reasons=np.full(count, int(reason), np.uint8),
        revisions=np.ones(count, np.int32),
        dropped=np.zeros(count, np.int32),
        raw=np.concatenate([part.raw for part in parts]),
        vocabulary=words,
        details=read_detail,
    )


def healthy(drawing: Drawing, count: int = 300, share: float = 0.05, seed: int = 7) -> list[Drawing]:
    """Many traces like `drawing`, each under its own id, times jittered."""
    return [drawing.jitter(seed * 1_000_003 + i, share) for i in range(count)]
