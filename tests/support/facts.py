"""Drawn traces -> `TraceFacts`, without the analyzer: what the columns say is worked out here, for the eye.

    words = small_vocabulary()
    reference = facts_of(words, (HEALTHY, 60))
    window = facts_of(words, (SLOW, 30), (HEALTHY, 30))

Drawings as in `tests.support.drawing`; a trace begins every `every_ms`, those of the parts in turn.
"""

from __future__ import annotations

from itertools import chain, pairwise, zip_longest

import numpy as np

from analyzer.error_classes import ErrorClass
from analyzer.incidents.facts import TraceFacts
from analyzer.spans import SpanKind, StatusCode, Vocabulary
from analyzer.strings import new_vocabulary
from tests.support.drawing import EPOCH_NS, MS, Drawing, DrawnSpan, draw

PEER_KEYS = ("peer.service", "server.address")


def small_vocabulary() -> Vocabulary:
    return new_vocabulary(
        strings_max=4096,
        string_bytes_max=1 << 16,
        operations_max=4096,
        resources_max=64,
        resource_bytes_max=1 << 12,
        scopes_max=8,
        scope_bytes_max=1 << 10,
        seed=1,
    )


def facts_of(
    words: Vocabulary, *parts: tuple[str, int], seed: int = 1, start_ms: float = 0.0, every_ms: float = 1000.0
) -> TraceFacts:
    """Facts of `count` traces like each drawing, all times of a trace stretched by about 5 %."""
    drawn = [
        [draw(text).jitter(seed * 1_000_003 + 7919 * place + i) for i in range(count)]
        for place, (text, count) in enumerate(parts)
    ]
    traces = [one for one in chain.from_iterable(zip_longest(*drawn)) if one is not None]
    return gathered(words, traces, [start_ms + i * every_ms for i in range(len(traces))])


def gathered(words: Vocabulary, traces: list[Drawing], starts_ms: list[float]) -> TraceFacts:
    """Facts of some drawings, each begun at its time. Lines of a drawing stand parents first, so they are in order."""
    spans: list[DrawnSpan] = []
    parent: list[int] = []
    ptr, start = [0], []
    for drawing, begin_ms in zip(traces, starts_ms, strict=True):
        base = len(spans)
        index = {span.span_id: base + i for i, span in enumerate(drawing.spans)}
        spans += drawing.spans
        parent += [index.get(span.parent_id, -1) for span in drawing.spans]
        start += [EPOCH_NS + round((begin_ms + span.start_ms) * MS) for span in drawing.spans]
        ptr.append(len(spans))
    duration = np.array([round((span.end_ms - span.start_ms) * MS) for span in spans], np.int64)
    failed = np.array([span.status == StatusCode.ERROR for span in spans], bool)
    service = [words.strings.intern(span.service.encode()) for span in spans]
    name = [words.strings.intern(span.operation.encode()) for span in spans]
    up = np.array(parent, np.int32)
    begin = np.array(start, np.int64)
    own = _own(up, begin, duration)
    edges = np.array(ptr, np.int64)
    none = np.zeros(len(spans), np.uint16)
    return TraceFacts(
        trace_ptr=edges,
        trace_id=np.array(
            [[i + 1, int.from_bytes(one.trace_id[:8], "little")] for i, one in enumerate(traces)], np.uint64
        ).reshape(-1, 2),
        fatal=np.array([bool(failed[a]) for a in edges[:-1]], bool),
        parent=up,
        operation=np.array(
            [words.operations.intern(s, n, int(span.kind)) for s, n, span in zip(service, name, spans, strict=True)],
            np.uint32,
        ),
        service=np.array(service, np.uint32),
        name=np.array(name, np.uint32),
        resource=none.astype(np.uint32),
        peer=np.array([words.strings.intern(_peer(span).encode()) if _peer(span) else 0 for span in spans], np.uint32),
        kind=np.array([int(span.kind) for span in spans], np.uint8),
        peer_kind=np.array([int(bool(_peer(span))) for span in spans], np.uint8),
        start_ns=begin,
        duration_ns=duration,
        own_ns=own,
        critical_ns=own.copy(),
        failed=failed,
        weak=none.astype(bool),
        error_class=np.array([_error_class(span) for span in spans], np.uint8) * failed,
        blame=_blame(up, edges, failed),
        missing=none.astype(np.float32),
        flags=none,
    )


def _own(parent: np.ndarray, start: np.ndarray, duration: np.ndarray) -> np.ndarray:
    """Duration that no child covers."""
    own = duration.copy()
    for i in range(len(parent)):
        covered, reached = 0, int(start[i])
        children = sorted(np.flatnonzero(parent == i), key=lambda child: int(start[child]))
        for child in children:
            begin, end = (
                max(int(start[child]), reached),
                min(int(start[child] + duration[child]), int(start[i] + duration[i])),
            )
            covered += max(end - begin, 0)
            reached = max(reached, end)
        own[i] -= covered
    return own


def _error_class(span: DrawnSpan) -> ErrorClass:
    return ErrorClass.TIMEOUT if dict(span.attributes).get("error.type") == "timeout" else ErrorClass.UNKNOWN


def _blame(parent: np.ndarray, edges: np.ndarray, failed: np.ndarray) -> np.ndarray:
    """Of a trace whose root failed: even shares of its failed spans without a failed child."""
    blame = np.zeros(len(parent), np.float32)
    passed_on = {int(parent[i]) for i in np.flatnonzero(failed) if parent[i] >= 0}
    for a, b in pairwise(edges.tolist()):
        origins = [i for i in range(a, b) if failed[i] and i not in passed_on]
        if failed[a] and origins:
            blame[origins] = 1.0 / len(origins)
    return blame


def _peer(span: DrawnSpan) -> str:
    if span.kind not in (SpanKind.CLIENT, SpanKind.PRODUCER):
        return ""
    return next((str(value) for key, value in span.attributes if key in PEER_KEYS), "")
