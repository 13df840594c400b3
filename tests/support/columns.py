"""Traces without words: rows and forest from parents, operation ids and times. For many or random traces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from analyzer.forest import DEFECT_COUNT, Forest
from analyzer.spans import SPAN_DTYPE, ReleaseReason, SpanDetail, SpanKind, TraceBatch, Vocabulary
from tests.support.naive.vocabulary import vocabulary as new_vocabulary

MS = 1_000_000


@dataclass
class Tree:
    """One trace in pre-order: parents as indices, -1 for a root."""

    parent: Sequence[int]
    operation: Sequence[int]
    start_ns: Sequence[int]
    end_ns: Sequence[int]
    flags: Sequence[int] = field(default_factory=tuple)


def vocabulary_of(names: Sequence[tuple[str, str, SpanKind]]) -> Vocabulary:
    """A vocabulary in which operation id i + 1 is names[i]."""
    words = new_vocabulary()
    for service, name, kind in names:
        strings = words.strings
        words.operations.intern(strings.intern(service.encode()), strings.intern(name.encode()), int(kind))
    return words


def numbered(count: int, kind: SpanKind = SpanKind.SERVER) -> Vocabulary:
    """A vocabulary of `count` operations: service s1 operation o1, and so on."""
    return vocabulary_of([(f"s{i}", f"o{i}", kind) for i in range(1, count + 1)])


def columns(trees: Sequence[Tree], words: Vocabulary) -> tuple[TraceBatch, Forest]:
    """Batch and forest; rows stand in pre-order, so node i is row i."""
    sizes = [len(tree.parent) for tree in trees]
    trace_ptr = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    total = int(trace_ptr[-1])
    rows = np.zeros(total, SPAN_DTYPE)
    parent = np.full(total, -1, np.int32)
    flags = np.zeros(total, np.uint16)
    for tree, base in zip(trees, trace_ptr, strict=False):
        here = slice(base, base + len(tree.parent))
        rows["operation"][here] = tree.operation
        rows["start_ns"][here], rows["end_ns"][here] = tree.start_ns, tree.end_ns
        parent[here] = [-1 if above < 0 else base + above for above in tree.parent]
        if tree.flags:
            flags[here] = tree.flags
    keys = [words.operations.key(int(index)) for index in rows["operation"]]
    rows["service"] = [key[0] for key in keys]
    rows["name"] = [key[1] for key in keys]
    rows["kind"] = [key[2] for key in keys]
    rows["span_id"] = np.arange(1, total + 1)
    rows["trace_id_0"] = np.repeat(np.arange(1, len(trees) + 1), sizes)
    rows["parent_id"] = np.where(parent >= 0, parent + 1, 0)
    rows["weight"], rows["next"], rows["rpc_status"] = 1.0, -1, 255
    batch = TraceBatch(
        rows=rows,
        trace_ptr=trace_ptr,
        reasons=np.full(len(trees), int(ReleaseReason.ROOT_IDLE), np.uint8),
        revisions=np.ones(len(trees), np.int32),
        dropped=np.zeros(len(trees), np.int32),
        raw=np.zeros(0, np.uint8),
        vocabulary=words,
        details=lambda raw, log: SpanDetail(),
    )
    return batch, plant(parent, trace_ptr, rows["start_ns"].copy(), rows["end_ns"].copy(), flags)


def plant(
    parent: np.ndarray, trace_ptr: np.ndarray, start_ns: np.ndarray, end_ns: np.ndarray, flags: np.ndarray
) -> Forest:
    """A forest whose nodes are rows, from parents that stand before their children."""
    total = len(parent)
    below: list[list[int]] = [[] for _ in range(total)]
    for i, above in enumerate(parent.tolist()):
        if above >= 0:
            below[above].append(i)
    child: list[int] = []
    child_ptr = [0]
    for i in range(total):
        child += sorted(below[i], key=lambda node: (start_ns[node], end_ns[node], node))
        child_ptr.append(len(child))
    return Forest(
        row=np.arange(total, dtype=np.int32),
        parent=parent,
        trace_ptr=trace_ptr,
        child_ptr=np.array(child_ptr, np.int32),
        child=np.array(child, np.int32),
        start_ns=start_ns,
        end_ns=end_ns,
        flags=flags,
        row_node=np.arange(total, dtype=np.int32),
        defects=np.zeros((len(trace_ptr) - 1, DEFECT_COUNT), np.int32),
    )


def own_times(forest: Forest) -> np.ndarray:
    """Time of each node that no child covers; the slow, obvious way."""
    own = []
    for node in range(len(forest.parent)):
        start, end = int(forest.start_ns[node]), int(forest.end_ns[node])
        covered, at = 0, start
        for child in forest.children(node).tolist():
            low, high = max(at, int(forest.start_ns[child])), min(end, int(forest.end_ns[child]))
            if high > low:
                covered += high - low
                at = high
        own.append(end - start - covered)
    return np.array(own, np.int64)
