"""Drawn traces -> case folders, as `firstfault evaluate` reads them."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.support.drawing import EPOCH_NS, MS, Drawing, DrawnSpan, draw


def begun(text: str, count: int, *, from_ms: float = 0.0, every_ms: float = 500.0, seed: int = 1) -> list[Drawing]:
    """`count` traces like a drawing, one every `every_ms`."""
    return [_moved(draw(text).jitter(seed * 1_000_003 + i), from_ms + i * every_ms) for i in range(count)]


def write_case(
    folder: Path,
    baseline: Iterable[Drawing],
    fault: Iterable[Drawing],
    roots: list[str],
    *,
    window_ms: tuple[float, float] | None = None,
    packed: bool = True,
    **label: Any,
) -> Path:
    """Write one case; `label` adds to or replaces keys of case.json."""
    folder.mkdir(parents=True)
    tree: dict[str, Any] = {
        "case_id": folder.name,
        "system": "drawn",
        "fault_type": "delay",
        "root_cause_services": roots,
    }
    if window_ms:
        tree["window_start_ns"], tree["window_end_ns"] = (EPOCH_NS + round(time * MS) for time in window_ms)
    (folder / "case.json").write_text(json.dumps(tree | label))
    for stem, traces in (("baseline", baseline), ("fault", fault)):
        text = "".join(json.dumps(otlp_json(trace)) + "\n" for trace in traces).encode()
        if packed:
            (folder / f"{stem}.jsonl.gz").write_bytes(gzip.compress(text))
        else:
            (folder / f"{stem}.jsonl").write_bytes(text)
    return folder


def otlp_json(drawing: Drawing) -> dict[str, Any]:
    """One trace as one ExportTraceServiceRequest in OTLP/JSON."""
    return {"resourceSpans": [_resource_spans(drawing.trace_id, span) for span in drawing.spans]}


def _resource_spans(trace_id: bytes, span: DrawnSpan) -> dict[str, Any]:
    written = {
        "traceId": trace_id.hex(),
        "spanId": span.span_id.hex(),
        "parentSpanId": span.parent_id.hex(),
        "name": span.operation,
        "kind": int(span.kind),
        "startTimeUnixNano": str(EPOCH_NS + round(span.start_ms * MS)),
        "endTimeUnixNano": str(EPOCH_NS + round(span.end_ms * MS)),
        "status": {"code": int(span.status)},
        "attributes": [_pair(key, value) for key, value in span.attributes],
    }
    resource = {"attributes": [_pair("service.name", span.service), *(_pair(*pair) for pair in span.resource)]}
    return {"resource": resource, "scopeSpans": [{"spans": [written]}]}


def _pair(key: str, value: str | int) -> dict[str, Any]:
    return {"key": key, "value": {"intValue": str(value)} if isinstance(value, int) else {"stringValue": value}}


def _moved(drawing: Drawing, by_ms: float) -> Drawing:
    spans = tuple(replace(one, start_ms=one.start_ms + by_ms, end_ms=one.end_ms + by_ms) for one in drawing.spans)
    return Drawing(spans, drawing.trace_id)
