"""Orphans put back where their lost parents were, so that the time they took is theirs and not a caller's.

In: a measured batch, one of its traces, and what calls are usual. Out: the trace with some parent ids changed, or
None. Guesses only what times and usual calls allow; an orphan that fits nowhere stays a root. For explaining one
trace; nothing is ever learned from what was put back here.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from analyzer.analysis import Analysis
from analyzer.forest import NodeFlag
from analyzer.origins.memory import PropagationMemory
from analyzer.spans import PeerKind, SpanKind, TraceBatch
from analyzer.structure import StructureMemory

GROUPS_MAX = 32  # lost parents of one trace that are looked for
NODES_MAX = 2_000  # spans of a trace in which they are looked for
SLACK_MIN_NS = 1_000_000
SLACK_SHARE = 0.02  # of the caller's time; clocks of hosts are apart
USUAL_MIN = 0.05  # share of its executions in which an operation makes a call that it is said to make

_ORPHAN = int(NodeFlag.ORPHAN)
_NO_PLACE = int(NodeFlag.NO_TIME)
_CALLS = (int(SpanKind.CLIENT), int(SpanKind.PRODUCER))
_SERVER, _CLIENT = int(SpanKind.SERVER), int(SpanKind.CLIENT)


def put_back(
    analysis: Analysis, trace: int, structure: StructureMemory, propagation: PropagationMemory
) -> TraceBatch | None:
    """Return the trace with its orphans under the spans that waited for them; None when none can be placed.

    Orphans of one lost parent stay together. Of the spans that ran around them the best is taken, of equals the
    shortest: a call to the orphans' own service without a server span; a span that usually makes this very call, or
    one of the same service; any other call without a server span, whose service lost all of its own.

    The batch says that spans were dropped, so that what is read from it is said with less certainty.
    """
    forest = analysis.forest
    nodes = forest.nodes(trace)
    if len(nodes) > NODES_MAX:
        return None
    span = slice(nodes.start, nodes.stop)
    roots = np.flatnonzero((forest.flags[span] & (_ORPHAN | _NO_PLACE)) == _ORPHAN)
    if not len(roots):
        return None
    rows = analysis.traces.rows[forest.row[span]]
    top = _tops(forest.parent[span] - nodes.start)
    moved = rows["parent_id"].copy()
    lost, group_of = np.unique(rows["parent_id"][roots], return_inverse=True)
    placed = False
    for group in range(min(len(lost), GROUPS_MAX)):
        members = roots[group_of == group]
        members = members[rows["kind"][members] != int(SpanKind.CONSUMER)]
        if not len(members):
            continue
        at = _caller(analysis, nodes.start, rows, members, ~np.isin(top, members), structure, propagation)
        if at >= 0:
            moved[members] = rows["span_id"][at]
            top[np.isin(top, members)] = top[at]
            placed = True
    if not placed:
        return None
    one = analysis.traces.trace(trace)
    changed = one.rows.copy()
    changed["parent_id"][forest.row[span] - int(analysis.traces.trace_ptr[trace])] = moved
    return replace(one, rows=changed, dropped=one.dropped + np.int32(len(lost)))


def _tops(parent: npt.NDArray[np.int32]) -> npt.NDArray[np.int64]:
    """Root of each node; parents stand before children."""
    top = np.arange(len(parent))
    for i in np.flatnonzero(parent >= 0):
        top[i] = top[parent[i]]
    return top


def _caller(
    analysis: Analysis,
    base: int,
    rows: npt.NDArray[np.void],
    members: npt.NDArray[np.int64],
    others: npt.NDArray[np.bool_],
    structure: StructureMemory,
    propagation: PropagationMemory,
) -> int:
    """Index of the span that waited for the lost parent of `members`; -1: none can be told."""
    forest = analysis.forest
    span = slice(base, base + len(rows))
    start, end = forest.start_ns[span], forest.end_ns[span]
    slack = np.maximum(SLACK_MIN_NS, ((end - start) * SLACK_SHARE).astype(np.int64))
    first, last = int(start[members].min()), int(end[members].max())
    fits = others & (start - slack <= first) & (end + slack >= last) & (rows["kind"] != int(SpanKind.PRODUCER))
    service = int(rows["service"][members[0]])
    served = rows["kind"][members[0]] == _SERVER
    best, best_rank, best_ns = -1, 0, 0
    for at in np.flatnonzero(fits).tolist():
        length = int(end[at] - start[at])
        rank = _rank(analysis, base + at, rows, members, service, served, structure, propagation)
        if rank > best_rank or (rank == best_rank > 0 and length < best_ns):
            best, best_rank, best_ns = at, rank, length
    return best


def _rank(
    analysis: Analysis,
    node: int,
    rows: npt.NDArray[np.void],
    members: npt.NDArray[np.int64],
    service: int,
    served: bool,
    structure: StructureMemory,
    propagation: PropagationMemory,
) -> int:
    """How well a span fits as the caller: 0 not at all, 3 best."""
    row = analysis.traces.rows[analysis.forest.row[node]]
    kind, own = int(row["kind"]), int(row["service"]) == service
    if kind == _CLIENT:
        if own or int(row["peer_kind"]) not in (PeerKind.NONE, PeerKind.SERVICE) or _answered(analysis, node):
            return 0
        if served:
            return 1  # the service between the two lost all of its spans
        return 3 if _calls_service(analysis, node, row, service, propagation) else 1
    if own and not served:
        return 2  # an inner span of the same service was lost
    usual = max(structure.call_share(int(row["operation"]), int(rows["operation"][one]))[0] for one in members[:8])
    return 2 if usual >= USUAL_MIN else 0


def _answered(analysis: Analysis, node: int) -> bool:
    forest = analysis.forest
    return bool((analysis.traces.rows["kind"][forest.row[forest.children(node)]] == _SERVER).any())


def _calls_service(analysis: Analysis, node: int, row: np.void, service: int, propagation: PropagationMemory) -> bool:
    """Whether the call says, or calls like it usually say, that it goes to this service."""
    strings = analysis.traces.vocabulary.strings
    name = strings.text(service).lower()
    peer = strings.text(int(row["peer"])).lower()
    return name == propagation.callee(int(row["operation"]), analysis.traces.vocabulary).lower() or name in peer
