"""The exceptions of one trace, each told once.

In: a measured trace. Out: `ExceptionFact`s, innermost span first. An exception that was recorded as a span event,
logged and put on the span as attributes is one fact with three sources; one that every in-process span on its way
recorded is one fact at the innermost of them. Spans that failed without naming an exception give a fact of source
"status". Explains nothing: whose fault it is stands in the `Answer`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import lru_cache

import numpy as np

from analyzer.analysis import Analysis
from analyzer.error_classes import ErrorClass
from analyzer.errors.model import NOBODY_SAID, Breadcrumb, ExceptionFact
from analyzer.errors.sightings import Parse, Sighting, correlation_of, joined, log_text, of_log, of_span, steering
from analyzer.errors.stack_traces import parse_stack
from analyzer.errors.synthetic import asker_of
from analyzer.spans import FLAG_LOG, NO_RPC_STATUS, RESOURCE_KEYS, Resource, SpanDetail, SpanFlag, StatusCode, hex_id

SPANS_MAX = 64  # opened for one trace; failed ones first
LOGS_MAX = 128  # error logs opened for one trace, earliest first
FACTS_MAX = 64  # of one trace
CRUMBS_MAX = 20  # of one fact: what was written last before it
CRUMB_MAX = 300  # characters
SAME_NS = 1_000_000_000  # one exception is recorded on its way out within this time
# What telemetry.sdk.language calls differently from `StackTrace.language`.
LANGUAGES = {"nodejs": "javascript", "webjs": "javascript", "cpp": "c", "erlang": "elixir"}
_EXCEPTION = int(SpanFlag.EXCEPTION)


@dataclass(slots=True)
class _Fact:
    """One exception, while its sightings are put together."""

    node: int
    depth: int
    span_id: str
    service: str
    first: Sighting
    sources: list[str] = field(default_factory=list)
    span_ids: list[str] = field(default_factory=list)

    def add(self, node: int, depth: int, span_id: str, seen: Sighting) -> None:
        if span_id not in self.span_ids:
            self.span_ids.append(span_id)
        if seen.source not in self.sources:
            self.sources.append(seen.source)
        kept, ours = self.first, self.first.stack is not None
        richer = seen if (seen.stack is not None and not ours) else kept
        self.first = Sighting(
            source=kept.source,
            time_ns=min(kept.time_ns, seen.time_ns),
            type=kept.type or seen.type,
            message=kept.message or seen.message,
            stack_text=richer.stack_text or kept.stack_text or seen.stack_text,
            stack=richer.stack,
            escaped=kept.escaped if seen.escaped is None else bool(kept.escaped) or seen.escaped,
            attributes=joined(kept.attributes, seen.attributes),
            variables=kept.variables or seen.variables,
        )
        if depth > self.depth and node >= 0:
            self.node, self.depth, self.span_id = node, depth, span_id


def exceptions_of(analysis: Analysis, trace: int, parse: Parse = parse_stack) -> list[ExceptionFact]:
    """Read the exceptions of one trace.

    Parameters
    ----------
    analysis : Analysis
    trace : index of the trace in the batch
    parse : text of a stack, language of its process (as `StackTrace.language`, or empty) -> StackTrace or None
        Called once for each text.

    Returns
    -------
    list of ExceptionFact
        At most `FACTS_MAX`, deepest span first, then by time.
    """
    return _Reader(analysis, trace, lru_cache(maxsize=256)(parse)).facts()


class _Reader:
    def __init__(self, analysis: Analysis, trace: int, parse: Parse) -> None:
        self.analysis, self.parse = analysis, parse
        traces, self.forest = analysis.traces, analysis.forest
        self.nodes = self.forest.nodes(trace)
        start, stop = int(traces.trace_ptr[trace]), int(traces.trace_ptr[trace + 1])
        rows = traces.rows[start:stop]
        first = rows[0]
        self.trace_id = hex_id(first["trace_id_0"], first["trace_id_1"])
        self.tenant = traces.vocabulary.resources.resource(int(first["resource"])).owner
        logs = start + np.flatnonzero((rows["flags"] & FLAG_LOG) != 0)
        self.log_rows = logs[np.argsort(traces.rows["start_ns"][logs], kind="stable")].tolist()
        self.found: list[_Fact] = []
        self.details: dict[int, SpanDetail] = {}
        self.status_texts: dict[int, str] = {}
        self.correlation_id = ""
        self.asker = NOBODY_SAID
        self._depths: dict[int, int] = {-1: -1}

    def facts(self) -> list[ExceptionFact]:
        opened = self._worth_opening()
        for node in opened:
            detail = self._span(node)
            end_ns = int(self.forest.end_ns[node])
            for seen in of_span(detail, end_ns, self._language(self._row_of(node)), self.parse):
                self._add(node, self._span_id(node), seen)
        self._read_logs()
        for node in opened:
            self._add_status(node)
        self._find_correlation_id()
        self._find_asker(opened)
        self.found.sort(key=lambda fact: (-fact.depth, fact.first.time_ns))
        return [self._finished(fact) for fact in self.found[:FACTS_MAX]]

    # -- what is opened ----------------------------------------------------------------------

    def _worth_opening(self) -> list[int]:
        analysis, nodes = self.analysis, self.nodes
        own = np.arange(nodes.start, nodes.stop)
        rows = analysis.traces.rows[self.forest.row[nodes.start : nodes.stop]]
        failed = analysis.failed[nodes.start : nodes.stop]
        hint = analysis.weak[nodes.start : nodes.stop] | ((rows["flags"] & _EXCEPTION) != 0)
        wanted = own[failed | hint]
        # Failed ones first; of many the later ones: parents stand before children, and trouble begins deep.
        order = np.lexsort((-wanted, ~failed[failed | hint]))
        return [int(node) for node in wanted[order][:SPANS_MAX]]

    def _read_logs(self) -> None:
        rows = self.analysis.traces.rows
        errors = [
            row
            for row in self.log_rows
            if int(rows[row]["status"]) == StatusCode.ERROR or int(rows[row]["flags"]) & _EXCEPTION
        ]
        for row in errors[:LOGS_MAX]:
            detail = self._detail(row)
            node = int(self.forest.row_node[row])
            seen = of_log(detail, int(rows[row]["start_ns"]), self._language(rows[row]), self.parse)
            span_id = self._span_id(node) if node >= 0 else hex_id(rows[row]["parent_id"])
            if seen is not None:
                self._add(node, span_id, seen, row)
            elif node >= 0:
                self.status_texts.setdefault(node, log_text(detail))

    def _add_status(self, node: int) -> None:
        """A failed span that names no exception is a fact too: its codes and words are all there is."""
        span_id = self._span_id(node)
        if not self.analysis.failed[node] or any(span_id in fact.span_ids for fact in self.found):
            return
        detail = self._span(node)
        strings = self.analysis.traces.vocabulary.strings
        seen = Sighting(
            "status",
            int(self.forest.end_ns[node]),
            strings.text(int(self._row_of(node)["error_type"])),
            detail.status_message or self.status_texts.get(node, ""),
            attributes=steering(detail),
        )
        self._add(node, span_id, seen)

    # -- putting together --------------------------------------------------------------------

    def _add(self, node: int, span_id: str, seen: Sighting, row: int = -1) -> None:
        seen = _named(seen)
        service = self.analysis.service(node) if node >= 0 else self._service_of(row)
        depth = self._depth(node)
        for fact in self.found:
            if _same(fact, service, span_id, seen):
                fact.add(node, depth, span_id, seen)
                return
        self.found.append(_Fact(node, depth, span_id, service, seen, [seen.source], [span_id]))

    def _finished(self, fact: _Fact) -> ExceptionFact:
        seen, node = fact.first, fact.node
        row = self._row_of(node) if node >= 0 else None
        resource = self.analysis.traces.vocabulary.resources.resource(int(row["resource"])) if row is not None else None
        rpc = int(row["rpc_status"]) if row is not None else NO_RPC_STATUS
        others = [span_id for span_id in fact.span_ids if span_id != fact.span_id]
        return ExceptionFact(
            trace_id=self.trace_id,
            tenant=self.tenant,
            span_id=fact.span_id,
            service=fact.service,
            operation=self.analysis.operation(node) if node >= 0 else "",
            time_ns=seen.time_ns,
            type=seen.type,
            message=seen.message,
            stack_text=seen.stack_text,
            stack=seen.stack,
            sources=tuple(sorted(fact.sources, key=("event", "log", "attributes", "status").index)),
            version=resource.version if resource else "",
            environment=resource.environment if resource else "",
            host=resource.host if resource else "",
            error_class=ErrorClass(int(self.analysis.error_class[node])).name.lower() if node >= 0 else "",
            http_status=int(row["http_status"]) if row is not None else 0,
            rpc_status=-1 if rpc == NO_RPC_STATUS else rpc,
            escaped=seen.escaped,
            correlation_id=self.correlation_id,
            attributes=_owned(seen.attributes, resource),
            span_ids=(fact.span_id, *others),
            breadcrumbs=self._breadcrumbs(seen.time_ns),
            asker=self.asker,
            variables=seen.variables,
        )

    def _breadcrumbs(self, before_ns: int) -> tuple[Breadcrumb, ...]:
        """What the trace wrote last before the exception: log records, and events of the opened spans."""
        rows = self.analysis.traces.rows
        crumbs: list[Breadcrumb] = []
        earlier = [row for row in self.log_rows if int(rows[row]["start_ns"]) < before_ns][-CRUMBS_MAX:]
        for row in earlier:
            text = log_text(self._detail(row))[:CRUMB_MAX]
            if text:
                crumbs.append(Breadcrumb(int(rows[row]["start_ns"]), self._service_of(row), "log", text))
        for index, detail in self.details.items():
            if int(rows[index]["flags"]) & FLAG_LOG:
                continue
            for event in detail.events:
                if event.time_ns < before_ns and event.name:
                    crumbs.append(Breadcrumb(event.time_ns, self._service_of(index), "event", event.name[:CRUMB_MAX]))
        return tuple(sorted(set(crumbs))[-CRUMBS_MAX:])

    def _find_correlation_id(self) -> None:
        """The first that any opened span or log carries; else the entry's."""
        found = next((text for detail in self.details.values() if (text := correlation_of(detail))), "")
        if not found and len(self.nodes):
            found = correlation_of(self._span(self.nodes.start))
        self.correlation_id = found

    def _find_asker(self, opened: list[int]) -> None:
        """Who made the request: the entry says it, else who stands next to it."""
        if len(self.nodes):
            nodes = dict.fromkeys((self.nodes.start, *sorted(opened)))
            self.asker = asker_of(self._span(node).attributes for node in nodes)

    # -- columns -----------------------------------------------------------------------------

    def _row_of(self, node: int) -> np.void:
        row: np.void = self.analysis.traces.rows[int(self.forest.row[node])]
        return row

    def _span_id(self, node: int) -> str:
        return hex_id(self._row_of(node)["span_id"])

    def _span(self, node: int) -> SpanDetail:
        return self._detail(int(self.forest.row[node]))

    def _detail(self, row: int) -> SpanDetail:
        if row not in self.details:
            self.details[row] = self.analysis.traces.detail(row)
        return self.details[row]

    def _service_of(self, row: int) -> str:
        traces = self.analysis.traces
        return traces.vocabulary.strings.text(int(traces.rows[row]["service"]))

    def _language(self, row: np.void) -> str:
        said = self.analysis.traces.vocabulary.resources.resource(int(row["resource"])).language
        return LANGUAGES.get(said, said)

    def _depth(self, node: int) -> int:
        """Steps from the entry; -1 of what belongs to no span."""
        path = []
        at = node
        while at not in self._depths:
            path.append(at)
            at = int(self.forest.parent[at])
        for deeper in reversed(path):
            self._depths[deeper] = self._depths[int(self.forest.parent[deeper])] + 1
        return self._depths[node]


def _owned(attributes: tuple[tuple[str, str], ...], resource: Resource | None) -> tuple[tuple[str, str], ...]:
    """Attributes with the tenant of the resource first: receivers write it there, so it counts before a span's own."""
    tenant = resource.tenant if resource is not None else ""
    return joined(((RESOURCE_KEYS["tenant"][0], tenant),), attributes) if tenant else attributes


def _named(seen: Sighting) -> Sighting:
    """Type and message from the stack, where they are not said beside it."""
    if seen.stack is None or (seen.type and seen.message):
        return seen
    thrown = seen.stack.chain[0]
    return replace(seen, type=seen.type or thrown.type, message=seen.message or thrown.message)


def _same(fact: _Fact, service: str, span_id: str, seen: Sighting) -> bool:
    """Whether a sighting is of an exception already known.

    Under the same span: the same type (or one of them names none) and nothing that contradicts. Under another span of
    the same service: the same type and the same message or stack, within `SAME_NS`; an exception passes through many
    spans of its process, but never as itself into another one.
    """
    kept = fact.first
    if "status" in (kept.source, seen.source):
        return False
    same_type = _short(kept.type) == _short(seen.type)
    if span_id in fact.span_ids:
        if not same_type and kept.type and seen.type:
            return False
        return _agree(kept.message, seen.message) or _agree(kept.stack_text, seen.stack_text, needed=True)
    if service != fact.service or not same_type or abs(kept.time_ns - seen.time_ns) > SAME_NS:
        return False
    return (bool(kept.message) and kept.message == seen.message) or (
        bool(kept.stack_text) and kept.stack_text == seen.stack_text
    )


def _short(kind: str) -> str:
    """A type without its package: what one instrumentation writes in full, another abbreviates."""
    return kind.replace("::", ".").rpartition(".")[2]


def _agree(ours: str, theirs: str, *, needed: bool = False) -> bool:
    """Equal, or one begins with the other (a log cuts or prolongs it); what is empty agrees unless it is `needed`."""
    if not ours or not theirs:
        return not needed
    return ours.startswith(theirs) or theirs.startswith(ours) or theirs.endswith(ours) or ours.endswith(theirs)
