"""The exceptions of a trace, read plainly: one fact per failed span and exception. The one seam to the error rooms.

In: a measured trace. Out: `ExceptionFact`s; exception events and attributes of spans that failed or hint at it. A span
that failed without an exception gives a fact with its codes only. Stacks stay text.
"""

from __future__ import annotations

from collections.abc import Iterator

from analyzer.analysis import Analysis
from analyzer.error_classes import ErrorClass
from analyzer.errors.model import ExceptionFact
from analyzer.spans import NO_RPC_STATUS, SpanDetail, hex_id
from analyzer.words import row_of

FACTS_MAX = 200  # of a trace; more are more of the same
SPANS_MAX = 200  # whose bytes are read
STACK_MAX = 65_536


def facts_of_trace(analysis: Analysis, trace: int) -> list[ExceptionFact]:
    """Collect the exceptions of a trace, in the order of the forest."""
    facts: list[ExceptionFact] = []
    read = 0
    for node in analysis.forest.nodes(trace):
        if not (analysis.failed[node] or analysis.weak[node]):
            continue
        if read >= SPANS_MAX or len(facts) >= FACTS_MAX:
            break
        read += 1
        facts += _of_node(analysis, node)
    return facts[:FACTS_MAX]


def _of_node(analysis: Analysis, node: int) -> Iterator[ExceptionFact]:
    row, detail = row_of(analysis, node), analysis.detail(node)
    strings = analysis.traces.vocabulary.strings
    resource = analysis.traces.vocabulary.resources.resource(int(row["resource"]))
    rpc = int(row["rpc_status"])
    for kind, message, stack, at_ns, source in _exceptions(detail, int(row["end_ns"])) or [
        (strings.text(int(row["error_type"])), detail.status_message, "", int(row["end_ns"]), "attributes")
    ]:
        yield ExceptionFact(
            trace_id=hex_id(row["trace_id_0"], row["trace_id_1"]),
            span_id=hex_id(row["span_id"]),
            service=analysis.service(node),
            operation=analysis.operation(node),
            time_ns=at_ns,
            type=kind,
            message=message[:STACK_MAX],
            stack_text=stack[:STACK_MAX],
            sources=(source,),
            version=resource.version,
            environment=resource.environment,
            host=resource.host,
            error_class=ErrorClass(int(analysis.error_class[node])).name.lower() if analysis.error_class[node] else "",
            http_status=int(row["http_status"]),
            rpc_status=-1 if rpc == NO_RPC_STATUS else rpc,
        )


def _exceptions(detail: SpanDetail, end_ns: int) -> list[tuple[str, str, str, int, str]]:
    """(type, message, stack, time, source) of each exception of a span."""
    places = [(event.attributes, event.time_ns, "event") for event in detail.events if event.name == "exception"]
    if not places and "exception.type" in detail.attributes:
        places = [(detail.attributes, end_ns, "attributes")]
    return [
        (
            str(words.get("exception.type") or ""),
            str(words.get("exception.message") or ""),
            str(words.get("exception.stacktrace") or ""),
            at_ns,
            source,
        )
        for words, at_ns, source in places
    ]
