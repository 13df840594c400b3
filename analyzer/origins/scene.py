"""One failing trace, opened for reading: rows, details and times of its nodes, each read at most once.

In: an `Analysis` and the blame of one of its traces. Out: small questions answered. Decides nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property

import numpy as np

from analyzer.analysis import Analysis
from analyzer.config import AnalysisConfig
from analyzer.error_classes import ErrorClass
from analyzer.findings import SpanRef
from analyzer.forest import NodeFlag
from analyzer.kernels.failure_rules import waited_for
from analyzer.origins.marks import Blame
from analyzer.origins.memory import PropagationMemory
from analyzer.spans import FLAG_LOG, NO_RPC_STATUS, SpanDetail, SpanKind, StatusCode, hex_id
from analyzer.words import shown, span_ref

_LOGS = int(NodeFlag.ERROR_LOG | NodeFlag.EXCEPTION_LOG)


class Scene:
    """A trace and what is known of it. Lives as long as one question."""

    def __init__(
        self,
        analysis: Analysis,
        trace: int,
        blame: Blame,
        memory: PropagationMemory,
        config: AnalysisConfig,
        usual_attributes: Mapping[int, frozenset[str]] | None = None,
        usual_callee: Callable[[int], str] | None = None,
    ) -> None:
        self.analysis, self.trace, self.blame = analysis, trace, blame
        self.memory, self.config = memory, config
        self.usual_attributes = usual_attributes or {}
        self._usual_callee = usual_callee
        self.nodes = analysis.forest.nodes(trace)
        self._details: dict[int, SpanDetail] = {}

    # -- columns ---------------------------------------------------------------------------

    def row(self, node: int) -> np.void:
        record: np.void = self.analysis.traces.rows[self.analysis.forest.row[node]]
        return record

    def kind(self, node: int) -> SpanKind:
        return SpanKind(int(self.row(node)["kind"]))

    def text(self, node: int, column: str) -> str:
        return self.analysis.traces.vocabulary.strings.text(int(self.row(node)[column]))

    def service(self, node: int) -> str:
        return self.analysis.service(node)

    def operation(self, node: int) -> str:
        return self.analysis.operation(node)

    def failed(self, node: int) -> bool:
        return bool(self.analysis.failed[node])

    def weak(self, node: int) -> bool:
        return bool(self.analysis.weak[node])

    def error_class(self, node: int) -> ErrorClass:
        return ErrorClass(int(self.analysis.error_class[node]))

    def start_ns(self, node: int) -> int:
        return int(self.analysis.forest.start_ns[node])

    def end_ns(self, node: int) -> int:
        return int(self.analysis.forest.end_ns[node])

    def duration_ns(self, node: int) -> int:
        return self.end_ns(node) - self.start_ns(node)

    def parent(self, node: int) -> int:
        return int(self.blame.above[node - self.blame.base])

    def attempt(self, node: int) -> int:
        return int(self.blame.attempt[node - self.blame.base])

    def has_flag(self, node: int, flag: NodeFlag) -> bool:
        return bool(int(self.analysis.forest.flags[node]) & flag)

    def span_id(self, node: int) -> str:
        return hex_id(self.row(node)["span_id"])

    def says_ok(self, node: int) -> bool:
        """The span says of itself that all went well, rather than saying nothing."""
        row = self.row(node)
        http = int(row["http_status"])
        return int(row["status"]) == StatusCode.OK or 0 < http < 400 or int(row["rpc_status"]) == 0

    def answered(self, node: int) -> bool:
        """The other side of a call sent an error back: it was reached."""
        row = self.row(node)
        rpc = int(row["rpc_status"])
        return int(row["http_status"]) >= 400 or rpc in (3, 5, 6, 7, 8, 9, 11, 12, 13, 15, 16)

    def has_rpc_error(self, node: int) -> bool:
        return int(self.row(node)["rpc_status"]) not in (0, NO_RPC_STATUS)

    # -- tree ------------------------------------------------------------------------------

    def children(self, node: int) -> list[int]:
        """Children that `node` may have waited for, failed orphans put back under it included."""
        forest = self.analysis.forest
        own = [int(child) for child in forest.children(node) if self.waited_for(node, int(child))]
        return own + self._adopted.get(node, [])

    def waited_for(self, parent: int, child: int) -> bool:
        forest = self.analysis.forest
        return bool(waited_for(self.analysis.traces.rows, forest.row, forest.flags, parent, child))

    @cached_property
    def _adopted(self) -> dict[int, list[int]]:
        forest = self.analysis.forest
        changed = np.flatnonzero(self.blame.above != forest.parent[self.nodes.start : self.nodes.stop])
        found: dict[int, list[int]] = {}
        for index in changed:
            found.setdefault(int(self.blame.above[index]), []).append(int(index) + self.blame.base)
        return found

    def above(self, node: int) -> Iterator[int]:
        """Parents of `node`, nearest first, up to its entry."""
        at = node
        while (parent := self.parent(at)) >= 0 and self.waited_for(parent, at):
            yield parent
            at = parent

    def usual_callee(self, node: int) -> str:
        """The other service that a span without a kind always calls: it stands for a call. Empty: it does not."""
        if self._usual_callee is None or self.kind(node) not in (SpanKind.INTERNAL, SpanKind.UNSPECIFIED):
            return ""
        return self._usual_callee(int(self.row(node)["operation"]))

    def server_child(self, node: int) -> int | None:
        """The span that answers a call; of a call without a kind, the span of the service it always calls."""
        children = self.children(node)
        for child in children:
            if self.kind(child) == SpanKind.SERVER:
                return child
        callee = self.usual_callee(node)
        return next((child for child in children if callee and self.service(child) == callee), None)

    def attempts(self, node: int) -> list[int]:
        """Failed siblings that were tries of the same call, `node` among them, in order of time."""
        parent = self.parent(node)
        if parent < 0:
            return [node]
        row = self.row(node)
        alike = [
            child
            for child in self.children(parent)
            if self.failed(child)
            and self.row(child)["operation"] == row["operation"]
            and self.row(child)["peer"] == row["peer"]
        ]
        return sorted(alike, key=self.start_ns) if any(self.attempt(child) for child in alike) else [node]

    # -- words -----------------------------------------------------------------------------

    def detail(self, node: int) -> SpanDetail:
        if node not in self._details:
            self._details[node] = self.analysis.detail(node)
        return self._details[node]

    def ref(self, node: int) -> SpanRef:
        return span_ref(self.analysis, node)

    def messages(self, node: int) -> list[str]:
        """What the span says of its failure: status, exceptions, logs; the most direct first."""
        detail = self.detail(node)
        found = [detail.status_message]
        found += [str(detail.attributes.get(key) or "") for key in ("exception.message", "error.message")]
        for event in detail.events:
            if event.name == "exception":
                found.append(str(event.attributes.get("exception.message") or ""))
        for row in self.log_rows(node):
            log = self.analysis.traces.detail(row)
            found.append(str(log.attributes.get("exception.message") or log.body or ""))
        return list(dict.fromkeys(text for text in found if text))

    def stacks(self, node: int) -> list[str]:
        detail = self.detail(node)
        places = [detail.attributes, *(event.attributes for event in detail.events if event.name == "exception")]
        return [str(place["exception.stacktrace"]) for place in places if place.get("exception.stacktrace")]

    def log_rows(self, node: int) -> list[int]:
        """Rows of the error logs written under the span."""
        if not int(self.analysis.forest.flags[node]) & _LOGS:
            return []
        return self._log_rows.get(node, [])

    @cached_property
    def _log_rows(self) -> dict[int, list[int]]:
        traces = self.analysis.traces
        start, stop = int(traces.trace_ptr[self.trace]), int(traces.trace_ptr[self.trace + 1])
        rows = traces.rows[start:stop]
        found: dict[int, list[int]] = {}
        for index in np.flatnonzero((rows["flags"] & FLAG_LOG) != 0):
            node = int(self.analysis.forest.row_node[start + index])
            if node >= 0:
                found.setdefault(node, []).append(start + int(index))
        return found

    def error_type(self, node: int) -> str:
        """Name of the error: the exception, else error.type, else the code."""
        found = self.text(node, "exception_type") or self.text(node, "error_type")
        if not found:
            for row in self.log_rows(node):
                found = self.analysis.traces.vocabulary.strings.text(
                    int(self.analysis.traces.rows[row]["exception_type"])
                )
                if found:
                    break
        if not found and self.row(node)["http_status"] >= 400:
            found = str(int(self.row(node)["http_status"]))
        return shown(found)

    def failure_ns(self, node: int) -> int:
        """When it failed: the time of its last exception event, else its end."""
        start, end = self.start_ns(node), self.end_ns(node)
        if not self.has_flag(node, NodeFlag.SKEW_ADJUSTED):
            times = [event.time_ns for event in self.detail(node).events if event.name == "exception"]
            inside = [time for time in times if start <= time <= end]
            if inside:
                return max(inside)
        return end
