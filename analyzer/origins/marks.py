"""Which nodes of a batch failed, and where their blame comes to rest: kernels with their tables.

In: `TraceBatch` and `Forest`. Out: arrays per node. The only words read here are type names, once each.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analyzer.analysis import Analysis
from analyzer.error_classes import HTTP_CLASS, RPC_CLASS, ErrorClass, type_class
from analyzer.forest import Forest
from analyzer.kernels import blame, errors
from analyzer.kernels.failure_rules import NodeState
from analyzer.origins.memory import PropagationMemory
from analyzer.spans import StringTable, TraceBatch

Marks = tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_], npt.NDArray[np.uint8]]


class StringClasses:
    """ErrorClass of type names by string id, each read when it is first met.

    One owner thread: the engine's. As long as the string table, which is bounded.
    """

    def __init__(self) -> None:
        self._classes: npt.NDArray[np.uint8] = np.full(2, ErrorClass.NONE, np.uint8)

    def table(self, strings: StringTable) -> npt.NDArray[np.uint8]:
        """uint8[n_strings or more]; `errors.NOT_READ` where a name has not been read."""
        if len(self._classes) < len(strings):
            # Twice as long as needed: the table grows a few times in a life, not with every batch.
            fresh = np.full(2 * len(strings) - len(self._classes), errors.NOT_READ, np.uint8)
            self._classes = np.concatenate([self._classes, fresh])
        return self._classes

    def read(self, strings: StringTable, rows: npt.NDArray[np.void]) -> None:
        """Read every type name that `rows` use and nobody has read yet."""
        for column in ("error_type", "exception_type"):
            used = rows[column]
            used = used[used < len(strings)]
            for index in np.unique(used[self._classes[used] == errors.NOT_READ]):
                self._classes[index] = type_class(strings.text(int(index)).encode())


def classify(traces: TraceBatch, forest: Forest, classes: StringClasses) -> Marks:
    """Mark the nodes that failed.

    Returns
    -------
    failed : bool[m]
    weak : bool[m]
        Hints only; see `kernels.errors.classify`.
    error_class : uint8[m]
    """
    count = len(forest.row)
    failed, weak = np.zeros(count, np.bool_), np.zeros(count, np.bool_)
    found = np.zeros(count, np.uint8)
    strings = traces.vocabulary.strings
    columns = traces.rows, forest.row, forest.flags, classes.table(strings), HTTP_CLASS, RPC_CLASS
    if errors.classify(*columns, failed, weak, found):  # nearly never: names of error types are few
        classes.read(strings, traces.rows)
        errors.classify(*columns, failed, weak, found)
    return failed, weak, found


@dataclass(frozen=True, slots=True)
class Blame:
    """Where the blame of traces first:last came to rest; arrays over their k nodes, `base` the first.

    state : uint8[k]       NodeState
    share : float32[k]     sums to 1 over a trace with a failed entry
    handled : float32[k]   sums to 1 over a trace in which a failure was handled
    attempt : uint8[k]     1 tried again in vain, 2 recovered by a later attempt
    above : int32[k]       parent node, -1 none; failed orphans put back under their caller
    fatal : bool[last - first]
    """

    base: int
    state: npt.NDArray[np.uint8]
    share: npt.NDArray[np.float32]
    handled: npt.NDArray[np.float32]
    attempt: npt.NDArray[np.uint8]
    above: npt.NDArray[np.int32]
    fatal: npt.NDArray[np.bool_]

    def state_of(self, node: int) -> NodeState:
        return NodeState(int(self.state[node - self.base]))


def spread_blame(analysis: Analysis, memory: PropagationMemory, first: int = 0, last: int | None = None) -> Blame:
    """Spread the blame of traces first:last (all, when not said) over their nodes."""
    traces, forest = analysis.traces, analysis.forest
    last = traces.trace_count if last is None else last
    base = int(forest.trace_ptr[first])
    count = int(forest.trace_ptr[last]) - base
    found = Blame(
        base=base,
        state=np.zeros(count, np.uint8),
        share=np.zeros(count, np.float32),
        handled=np.zeros(count, np.float32),
        attempt=np.zeros(count, np.uint8),
        above=np.zeros(count, np.int32),
        fatal=np.zeros(last - first, np.bool_),
    )
    blame.error_states(
        traces.rows, forest.row, forest.parent, forest.trace_ptr, forest.child_ptr, forest.child, forest.start_ns,
        forest.end_ns, forest.flags, analysis.failed, analysis.weak, analysis.error_class, analysis.own.expected_ns,
        memory.operation_hashes(traces.vocabulary), memory.keys, memory.counts, memory.compatibility, first, last,
        found.state, found.share, found.handled, found.attempt, found.above, found.fatal,
    )  # fmt: skip
    return found
