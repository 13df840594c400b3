"""The rule most tools follow, and the one to beat: the deepest error span is the culprit.

"Deepest error span with no errored children"; of several, the one furthest from the root, then the first.
"""

from __future__ import annotations

from analyzer.spans import SpanKind
from tests.support.drawing import Drawing, DrawnSpan


def deepest_error(drawing: Drawing) -> str:
    """Name the culprit as "service operation"; empty when no span has an error."""
    by_id = {span.span_id: span for span in drawing.spans}
    failed = [span for span in drawing.spans if _error(span)]
    with_failed_child = {span.parent_id for span in failed}
    leaves = [span for span in failed if span.span_id not in with_failed_child]
    if not leaves:
        return ""
    deepest = max(leaves, key=lambda span: (_depth(span, by_id), -span.start_ms))
    return f"{deepest.service} {deepest.operation}"


def _error(span: DrawnSpan) -> bool:
    """Status ERROR, or a code that means failure; the rule is given every naming convention we know."""
    if span.status.name != "UNSET":
        return span.status.name == "ERROR"
    values = dict(span.attributes)
    http = int(values.get("http.response.status_code", values.get("http.status_code", 0)))
    rpc = values.get("rpc.grpc.status_code", values.get("rpc.response.status_code", 0))
    return http >= (400 if span.kind == SpanKind.CLIENT else 500) or rpc not in (0, "OK")


def _depth(span: DrawnSpan, by_id: dict[bytes, DrawnSpan]) -> int:
    depth = 0
    while span.parent_id in by_id and depth < 10_000:
        span, depth = by_id[span.parent_id], depth + 1
    return depth
