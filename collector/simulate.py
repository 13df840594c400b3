"""Simulated cases on the way out: as case folders, as OTLP requests, or live to a receiver.

In: `SimulatedCase`. Out: `case.json`, `baseline.jsonl.gz`, `fault.jsonl.gz` (an ExportTraceServiceRequest in
OTLP/JSON on every line, one a trace; what comes late on lines of its own) and `truth.json`; or protobuf requests. The
labels are in `case.json` and `truth.json` and nowhere else. Same case, same bytes.
"""

from __future__ import annotations

import gzip
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import orjson
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import TraceServiceStub
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, Span
from rich.console import Console
from rich.progress import Progress

from analyzer.simulator import CaseSettings, SimulatedCase, SimulatedSpans, plan_cases, simulate_case

SPANS_A_REQUEST = 512
_LATE_BY_TRACES = 25  # what is late comes after so many other traces
_RETRIES_MAX = 8
_RESOURCE_KEYS = ("service.name", "k8s.pod.name", "service.version", "k8s.node.name", "cloud.availability_zone")


def write_case(case: SimulatedCase, folder: Path) -> None:
    """Write a case folder; it is made when it is not there.

    Raises
    ------
    OSError
        The folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "case.json").write_bytes(orjson.dumps(_label(case), option=orjson.OPT_INDENT_2))
    (folder / "truth.json").write_bytes(orjson.dumps(_truth(case), option=orjson.OPT_INDENT_2))
    for name, spans in (("baseline", case.baseline), ("fault", case.fault)):
        lines = b"".join(orjson.dumps(_json_request(spans, part)) + b"\n" for part in _exports(spans))
        (folder / f"{name}.jsonl.gz").write_bytes(gzip.compress(lines, 4, mtime=0))


def requests_of(spans: SimulatedSpans, *, spans_max: int = SPANS_A_REQUEST, shift_ns: int = 0) -> list[bytes]:
    """Return ExportTraceServiceRequest bytes in the order of arrival, up to `spans_max` spans each.

    Parameters
    ----------
    spans : SimulatedSpans
    spans_max : int
        A request may hold more only when a single trace does.
    shift_ns : int
        Added to every time.
    """
    found: list[bytes] = []
    held: list[int] = []
    for part in _exports(spans):
        if held and len(held) + len(part) > spans_max:
            found.append(_request(spans, held, shift_ns))
            held = []
        held += part
    if held:
        found.append(_request(spans, held, shift_ns))
    return found


def send_case(case: SimulatedCase, endpoint: str, *, pace: float = 0.0) -> int:
    """Send the baseline, then the window, over OTLP/gRPC; the number of spans sent.

    Parameters
    ----------
    case : SimulatedCase
    endpoint : str
        host:port of a receiver without TLS.
    pace : float
        0: as fast as they are taken, moved so that the last span ends now. Above 0: so many times as fast as
        they happened, the first one now.

    Raises
    ------
    grpc.RpcError
        The receiver refused a request for good, or went on refusing.
    """
    times = [(s.start_ns, s.end_ns) for s in (case.baseline, case.fault) if len(s)]
    now = time.time_ns()
    first, last = min(int(a.min()) for a, _ in times), max(int(b.max()) for _, b in times)
    sent = 0
    with grpc.insecure_channel(endpoint) as channel:
        stub = TraceServiceStub(channel)  # type: ignore[no-untyped-call]
        for spans in (case.baseline, case.fault):
            moved = spans if pace <= 0 else _paced(spans, first, now, pace)
            shift = now - last if pace <= 0 else 0
            if pace <= 0:
                for payload in requests_of(moved, shift_ns=shift):
                    _send(stub, payload)
            else:
                for part in _exports(moved):
                    due = max(int(moved.end_ns[i]) for i in part)
                    time.sleep(max(0.0, (due - time.time_ns()) / 1e9))
                    _send(stub, _request(moved, part, 0))
            sent += len(spans)
    return sent


def simulate_cases(
    folder: Path | None,
    count: int,
    seed: int,
    archetypes: Sequence[str],
    settings: CaseSettings,
    live: str = "",
    pace: float = 0.0,
) -> int:
    """Draw a set of cases; write them under `folder`, or send them to `live`. The exit status."""
    try:
        planned = plan_cases(count, seed, archetypes)
    except ValueError as error:
        return _fail(str(error))
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        for i, (archetype, case_seed) in enumerate(progress.track(planned, description="simulating")):
            try:
                case = simulate_case(archetype, case_seed, settings=settings)
            except (ValueError, RuntimeError) as error:
                return _fail(str(error))
            case = replace(case, case_id=f"{i:04d}-{archetype}-{case_seed}")
            try:
                if live:
                    sent = send_case(case, live, pace=pace)
                    sys.stderr.write(f"{case.case_id}: {sent} spans sent; root: {_words(case.root_cause_services)}\n")
                elif folder is not None:
                    write_case(case, folder / case.case_id)
            except OSError as error:
                return _fail(f"cannot write {error.filename or folder}: {error.strerror or error}")
            except grpc.RpcError as error:
                return _fail(f"{live} did not take the spans: {error.code().name}; is a receiver listening there?")
    if not live:
        sys.stderr.write(f"{len(planned)} cases in {folder}\n")
    return 0


def _fail(message: str) -> int:
    sys.stderr.write(message + "\n")
    return 2


def _words(roots: Sequence[str]) -> str:
    return ", ".join(roots) or "none (nothing is wrong)"


def _label(case: SimulatedCase) -> dict[str, Any]:
    return {
        "case_id": case.case_id,
        "system": case.system,
        "fault_type": case.archetype,
        "window_start_ns": case.window_start_ns,
        "window_end_ns": case.window_end_ns,
        "root_cause_services": case.root_cause_services,
        "root_cause_instance": case.root_cause_instance,
        "fault_traces": case.fault.trace_count,
        "baseline_traces": case.baseline.trace_count,
        "fault_spans": len(case.fault),
        "baseline_spans": len(case.baseline),
        "root_cause_edges": [list(edge) for edge in case.root_cause_edges],
        "root_loudest": case.root_loudest,
        "granularity": case.granularity,
        "dialect": case.dialect,
        "details": case.details,
    }


def _truth(case: SimulatedCase) -> dict[str, Any]:
    """Of each affected trace: its origin spans that are in the file, whose fault it is, and what was lost.

    Beside them the failures that nobody injected, of affected traces and others: `background`.
    """
    spans, roots = case.fault, set(case.root_cause_services)
    traces: dict[str, dict[str, list[str]]] = {}
    background: dict[str, dict[str, list[str]]] = {}

    def truth_of(trace_id: bytes) -> dict[str, list[str]]:
        empty: dict[str, list[str]] = {
            "origin_span_ids": [],
            "origin_services": [],
            "way_services": [],
            "lost_origins": [],
        }
        return traces.setdefault(trace_id.hex(), empty)

    for trace_id, names in spans.culprits.items():
        truth_of(trace_id)["origin_services"] += [name for name in names if name in roots]
    for trace_id, names in spans.ways.items():
        truth_of(trace_id)["way_services"] += names
    for i in (spans.is_origin | spans.leads_out).nonzero()[0].tolist():
        truth_of(spans.trace_id[i])["origin_span_ids"].append(spans.span_id[i].hex())
    for trace_id, service, name in spans.lost_origins:
        truth_of(trace_id)["lost_origins"].append(f"{service} {name}")
    for trace_id, names in spans.bystanders.items():
        background[trace_id.hex()] = {"span_ids": [], "services": list(names)}
    for i in spans.is_background.nonzero()[0].tolist():
        background[spans.trace_id[i].hex()]["span_ids"].append(spans.span_id[i].hex())
    touched = sorted({spans.trace_id[i].hex() for i in spans.fault_touched.nonzero()[0].tolist()})
    return {"case_id": case.case_id, "traces": traces, "touched_trace_ids": touched, "background": background}


def _exports(spans: SimulatedSpans) -> Iterator[list[int]]:
    """Yield the spans (indexes) that arrive together: a trace without what is late, and that some traces later."""
    waiting: list[tuple[int, list[int]]] = []
    number, at = 0, 0
    late = spans.late.tolist()
    while at < len(spans):
        end = at
        while end < len(spans) and spans.trace_id[end] == spans.trace_id[at]:
            end += 1
        now = [i for i in range(at, end) if not late[i]]
        if now:
            yield now
        if len(now) < end - at:
            waiting.append((number + _LATE_BY_TRACES, [i for i in range(at, end) if late[i]]))
        number, at = number + 1, end
        while waiting and waiting[0][0] <= number:
            yield waiting.pop(0)[1]
    for _, left in waiting:
        yield left


def _by_resource(spans: SimulatedSpans, part: Sequence[int]) -> dict[tuple[str, ...], list[int]]:
    found: dict[tuple[str, ...], list[int]] = {}
    for i in part:
        key = (spans.service[i], spans.pod[i], spans.version[i], spans.host[i], spans.zone[i])
        found.setdefault(key, []).append(i)
    return found


def _json_request(spans: SimulatedSpans, part: Sequence[int]) -> dict[str, Any]:
    return {
        "resourceSpans": [
            {
                "resource": {"attributes": [_json_pair(k, v) for k, v in zip(_RESOURCE_KEYS, key, strict=True) if v]},
                "scopeSpans": [{"spans": [_json_span(spans, i) for i in indexes]}],
            }
            for key, indexes in _by_resource(spans, part).items()
        ]
    }


def _json_span(spans: SimulatedSpans, i: int) -> dict[str, Any]:
    found: dict[str, Any] = {
        "traceId": spans.trace_id[i].hex(),
        "spanId": spans.span_id[i].hex(),
        "name": spans.name[i],
        "kind": int(spans.kind[i]),
        "startTimeUnixNano": str(spans.start_ns[i]),
        "endTimeUnixNano": str(spans.end_ns[i]),
    }
    if spans.parent_id[i]:
        found["parentSpanId"] = spans.parent_id[i].hex()
    if spans.attributes[i]:
        found["attributes"] = [_json_pair(key, value) for key, value in spans.attributes[i]]
    exception = spans.exception[i]
    if exception is not None:
        pairs = [_json_pair("exception.type", exception[0]), _json_pair("exception.message", exception[1])]
        found["events"] = [{"timeUnixNano": str(spans.end_ns[i]), "name": "exception", "attributes": pairs}]
    if spans.status[i]:
        found["status"] = {"code": int(spans.status[i])}
    return found


def _json_pair(key: str, value: str | int | bool) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"key": key, "value": {"boolValue": value}}
    return {"key": key, "value": {"stringValue": value} if isinstance(value, str) else {"intValue": str(value)}}


def _request(spans: SimulatedSpans, part: Sequence[int], shift_ns: int) -> bytes:
    request = ExportTraceServiceRequest()
    for key, indexes in _by_resource(spans, part).items():
        resource_spans: ResourceSpans = request.resource_spans.add()
        for name, value in zip(_RESOURCE_KEYS, key, strict=True):
            if value:
                _set(resource_spans.resource.attributes.add(), name, value)
        scope = resource_spans.scope_spans.add()
        for i in indexes:
            _fill(scope.spans.add(), spans, i, shift_ns)
    return request.SerializeToString()


def _fill(message: Span, spans: SimulatedSpans, i: int, shift_ns: int) -> None:
    message.trace_id, message.span_id, message.parent_span_id = spans.trace_id[i], spans.span_id[i], spans.parent_id[i]
    message.name, message.kind = spans.name[i], int(spans.kind[i])  # type: ignore[assignment]
    message.start_time_unix_nano = int(spans.start_ns[i]) + shift_ns
    message.end_time_unix_nano = int(spans.end_ns[i]) + shift_ns
    for key, value in spans.attributes[i]:
        _set(message.attributes.add(), key, value)
    exception = spans.exception[i]
    if exception is not None:
        event = message.events.add()
        event.name, event.time_unix_nano = "exception", message.end_time_unix_nano
        _set(event.attributes.add(), "exception.type", exception[0])
        _set(event.attributes.add(), "exception.message", exception[1])
    if spans.status[i]:
        message.status.code = int(spans.status[i])  # type: ignore[assignment]


def _set(pair: KeyValue, key: str, value: str | int | bool) -> None:
    pair.key = key
    if isinstance(value, bool):
        pair.value.bool_value = value
    elif isinstance(value, int):
        pair.value.int_value = value
    else:
        pair.value.string_value = value


def _paced(spans: SimulatedSpans, first_ns: int, now_ns: int, pace: float) -> SimulatedSpans:
    """Move traces to now and closer together; within a trace every duration stays as it is."""
    starts: dict[bytes, int] = {}
    for trace_id, start in zip(spans.trace_id, spans.start_ns.tolist(), strict=True):
        starts[trace_id] = min(start, starts.get(trace_id, start))
    moves = [now_ns + round((starts[t] - first_ns) / pace) - starts[t] for t in spans.trace_id]
    return replace(spans, start_ns=spans.start_ns + moves, end_ns=spans.end_ns + moves)


def _send(stub: TraceServiceStub, payload: bytes) -> None:
    """Send one request; wait and try again while the receiver says that it is busy."""
    for attempt in range(_RETRIES_MAX):
        try:
            stub.Export(ExportTraceServiceRequest.FromString(payload), timeout=30)
            return
        except grpc.RpcError as error:
            busy = error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED)
            if not busy or attempt == _RETRIES_MAX - 1:
                raise
            time.sleep(min(5.0, 0.2 * 2**attempt))
