"""A trace as an anonymised regression fixture: OTLP/JSON that anybody may see, and what must be answered for it.

In: a measured trace and its answer. Out: `Fixture`. Ids are numbered anew, times moved to a fixed day (the gaps stay),
names kept or hashed, attribute values dropped but for those of closed vocabularies (codes, kinds, systems), other
parties hashed; of messages only names of operations and one word of their class stay. What is left is what the rules
of the engine rest on.
"""

from __future__ import annotations

import hashlib
import re
from typing import Any

from analyzer.analysis import Analysis
from analyzer.error_classes import ErrorClass
from analyzer.findings import Answer
from analyzer.reports.model import Expectation, Fixture
from analyzer.spans import NO_RPC_STATUS, STRING_NONE, PeerKind, SpanFlag, StatusCode, hex_id
from analyzer.words import row_of

SPANS_MAX = 5_000  # of a fixture; a larger trace is no test
FIRST_NS = 1_704_067_200_000_000_000  # 2024-01-01, whenever it happened
_HASH_BYTES = 4
_NAME = re.compile(r"[A-Za-z_][\w.$:/+-]{0,119}|\d{3}", re.ASCII)
MESSAGE_MAX = 4_096  # of a message, searched for names
NAMES_MAX = 4  # of operations, kept of one message
NAME_MIN = 4  # shorter names stand in messages by chance
_EXCEPTION = int(SpanFlag.EXCEPTION)
# One word that the engine reads as this class (`error_classes.KEYWORDS`): the message itself may name people.
_WORD: dict[ErrorClass, str] = {
    ErrorClass.TIMEOUT: "timed out",
    ErrorClass.CANCELLED: "cancelled",
    ErrorClass.UNAVAILABLE: "unavailable",
    ErrorClass.EXHAUSTED: "pool exhausted",
    ErrorClass.THROTTLED: "too many requests",
    ErrorClass.AUTH: "unauthorized",
    ErrorClass.CLIENT: "not found",
    ErrorClass.INTERNAL: "internal server error",
    ErrorClass.DATA: "constraint",
    ErrorClass.BUSINESS: "declined",
}
_DROPPED = [
    "ids are numbered anew",
    "times are moved to 2024-01-01; the gaps between them are kept",
    "attributes are dropped but for response codes, systems, error types and the names of other parties (hashed)",
    "of messages only names of operations and one word of their class are kept",
    "stack traces, logs, links and resource attributes are dropped",
]


def fixture_of(analysis: Analysis, trace: int, answer: Answer, *, hash_names: bool = False) -> Fixture | None:
    """Write a trace down without what is private in it; None when it is too large or empty.

    Parameters
    ----------
    hash_names : also hash the names of services and operations
    """
    nodes = analysis.forest.nodes(trace)
    if not 0 < len(nodes) <= SPANS_MAX:
        return None
    writer = _Writer(analysis, nodes, hash_names)
    groups: dict[str, list[dict[str, Any]]] = {}
    for node in nodes:
        groups.setdefault(writer.name(analysis.service(node)), []).append(writer.span(node))
    otlp = {
        "resourceSpans": [
            {
                "resource": {"attributes": [_text("service.name", service)]},
                "scopeSpans": [{"spans": spans}],
            }
            for service, spans in groups.items()
        ]
    }
    cause = answer.root_causes[0] if answer.root_causes else None
    origin = cause.origin_spans[0].span_id if cause and cause.origin_spans else ""
    expects = Expectation(
        status=answer.status,
        verdict=answer.verdict,
        rule=cause.rule if cause else "",
        origin_span_id=writer.ids.get(origin, ""),
        needs_baseline=answer.verdict in ("latency", "structure", "mixed"),
    )
    dropped = [*_DROPPED, "names of services and operations are hashed"] if hash_names else list(_DROPPED)
    return Fixture(otlp=otlp, span_count=len(nodes), expects=expects, dropped=dropped)


class _Writer:
    """Names and ids of one fixture."""

    def __init__(self, analysis: Analysis, nodes: range, hash_names: bool) -> None:
        self._analysis, self._hash_names = analysis, hash_names
        self.ids: dict[str, str] = {}
        rows = [row_of(analysis, node) for node in nodes]
        self._shift = FIRST_NS - min(int(row["start_ns"]) for row in rows)
        services = [analysis.service(node) for node in nodes]
        self._services = set(services)
        self._trace_id = f"{1:032x}"
        operations = dict.fromkeys(analysis.operation(node) for node in nodes)
        self._names = [name for name in operations if len(name) >= NAME_MIN]
        for row in rows:
            self._id(hex_id(row["span_id"]))

    def _id(self, span_id: str) -> str:
        """The new id of an old one; the same for every span and parent that had it."""
        return self.ids.setdefault(span_id, f"{len(self.ids) + 1:016x}")

    def name(self, text: str) -> str:
        return hashed(text) if self._hash_names else text

    def span(self, node: int) -> dict[str, Any]:
        analysis = self._analysis
        row = row_of(analysis, node)
        start, end = int(row["start_ns"]) + self._shift, int(row["end_ns"]) + self._shift
        written: dict[str, Any] = {
            "traceId": self._trace_id,
            "spanId": self._id(hex_id(row["span_id"])),
            "name": self.name(analysis.operation(node)),
            "kind": int(row["kind"]),
            "startTimeUnixNano": str(max(0, start)),
            "endTimeUnixNano": str(max(0, end)),
        }
        if int(row["parent_id"]):
            written["parentSpanId"] = self._id(hex_id(row["parent_id"]))
        attributes = self._attributes(node)
        if attributes:
            written["attributes"] = attributes
        word = self._message(node)
        if int(row["flags"]) & _EXCEPTION:
            pairs = [_text("exception.type", _kind(self._string(row["exception_type"])) or "Error")]
            pairs += [_text("exception.message", word)] if word else []
            at = written["endTimeUnixNano"]
            written["events"] = [{"name": "exception", "timeUnixNano": at, "attributes": pairs}]
        if int(row["status"]):
            written["status"] = {"code": int(row["status"])} | ({"message": word} if word else {})
        return written

    def _message(self, node: int) -> str:
        """Names of operations that the message speaks of, and one word of its class: nothing else of it."""
        row = row_of(self._analysis, node)
        kind = ErrorClass(int(row["message_class"])) if int(row["message_class"]) else ErrorClass.NONE
        word = _WORD.get(kind, "")
        if not (int(row["status"]) == StatusCode.ERROR or int(row["flags"]) & _EXCEPTION):
            return word
        detail = self._analysis.detail(node)
        said = [detail.status_message, str(detail.attributes.get("exception.message") or "")]
        said += [str(event.attributes.get("exception.message") or "") for event in detail.events]
        text = "\n".join(said)[:MESSAGE_MAX].lower()
        named = [self.name(name) for name in self._names if name.lower() in text][:NAMES_MAX]
        return ": ".join([*named, word] if word else named)

    def _attributes(self, node: int) -> list[dict[str, Any]]:
        row = row_of(self._analysis, node)
        found: list[dict[str, Any]] = []
        if int(row["http_status"]):
            found.append(_number("http.response.status_code", int(row["http_status"])))
        if int(row["rpc_status"]) != NO_RPC_STATUS:
            found.append(_number("rpc.grpc.status_code", int(row["rpc_status"])))
        if int(row["error_type"]) != STRING_NONE:
            found.append(_text("error.type", _kind(self._string(row["error_type"]))))
        if int(row["resend_count"]):
            found.append(_number("http.request.resend_count", int(row["resend_count"])))
        system, kind = _kind(self._string(row["system"])), int(row["peer_kind"])
        if system:
            key = {PeerKind.DATABASE: "db.system.name", PeerKind.QUEUE: "messaging.system"}.get(
                PeerKind(kind), "rpc.system"
            )
            found.append(_text(key, system))
        peer = self._string(row["peer"])
        if peer:
            key = "messaging.destination.name" if kind == PeerKind.QUEUE else "server.address"
            found.append(_text(key, self.name(peer) if peer in self._services else hashed(peer)))
        return found

    def _string(self, index: Any) -> str:
        return self._analysis.traces.vocabulary.strings.text(int(index)) if int(index) else ""


def hashed(text: str) -> str:
    """A name that is always the same for the same text, and says nothing of it."""
    return "n-" + hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=_HASH_BYTES).hexdigest()


def _kind(text: str) -> str:
    """The name of a type or system as it is; what is no name (people write whole sentences there) is hashed."""
    return text if not text or _NAME.fullmatch(text) else hashed(text)


def _text(key: str, value: str) -> dict[str, Any]:
    return {"key": key, "value": {"stringValue": value}}


def _number(key: str, value: int) -> dict[str, Any]:
    return {"key": key, "value": {"intValue": str(value)}}
