"""Random traces for property tests: few ids and short times, so that every defect is met often."""

from __future__ import annotations

from hypothesis import strategies as st

from analyzer.spans import Rows, SpanFlag
from tests.support.rows import span_rows

MS = 1_000_000
_RARE_TIMES = st.sampled_from([0, -1, -(2**63), 2**63 - 1, 7_258_118_400_000_000_000])
_TIMES = st.one_of(st.integers(1, 12), st.integers(1, 12), st.integers(1, 12).map(lambda ms: ms * MS), _RARE_TIMES)
_GOLDEN = 0x9E3779B97F4A7C15
_FLAGS = st.one_of(st.just(0), st.sampled_from([int(flag) for flag in SpanFlag]))


def wide(number: int) -> int:
    """A small number as a whole word, so that the upper bit of ids is met; 0 stays 0."""
    return number * _GOLDEN % 2**64


def hostile_spans(ids: int) -> st.SearchStrategy[dict[str, int]]:
    """A span (or log) whose id, parent, times, kind and flags may be anything."""
    return st.fixed_dictionaries(
        {
            "id": st.integers(1, ids).map(wide),
            "parent": st.integers(0, ids + 1).map(wide),
            "start": _TIMES,
            "end": _TIMES,
            "kind": st.integers(0, 5),
            "flags": _FLAGS,
            "status": st.sampled_from([0, 0, 0, 2]),
            "service": st.sampled_from([2, 2, 3]),
            "resource": st.sampled_from([2, 2, 3]),
        }
    )


@st.composite
def hostile_trace(draw: st.DrawFn, spans_max: int = 14) -> Rows:
    """One trace with nothing promised about it."""
    count = draw(st.integers(0, spans_max))
    # With many ids most spans link; with few, ids repeat.
    ids = draw(st.sampled_from([max(1, count // 2), 2 * count + 1, 4 * count + 1]))
    return span_rows(draw(st.lists(hostile_spans(ids), min_size=count, max_size=count)))


@st.composite
def nested_trace(draw: st.DrawFn, spans_max: int = 12, length_max: int = 40) -> Rows:
    """A tree with a parent for every span; children may reach out of their parents, and may overlap."""
    count = draw(st.integers(1, spans_max))
    spans = []
    for index in range(count):
        start = draw(st.integers(1, length_max))
        spans.append(
            {
                "id": index + 1,
                "parent": draw(st.integers(1, index)) if index else 0,
                "start": start,
                "end": start + draw(st.integers(0, length_max)),
                "kind": draw(st.sampled_from([1, 1, 1, 2, 2, 3, 3, 4, 5])),
                "service": draw(st.sampled_from([2, 2, 3])),
            }
        )
    return span_rows(spans)
