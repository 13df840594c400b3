"""The working columns of one batch, shared by the topics; made once by the engine.

All arrays are per node of `forest` (m nodes) unless said otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from analyzer.spans import MISSING_NAME, MISSING_SERVICE, SpanDetail, TraceBatch

if TYPE_CHECKING:  # a forest brings numba with it, and who only draws graphs of stored sums needs neither
    from analyzer.forest import Forest


@dataclass(frozen=True, slots=True)
class Score:
    """How unusual a time is.

    p : float32[m]            conformal upper-tail p; 1.0 where nothing is known
    p_low : float32[m]        lower tail (too short), of durations; 1.0 of own times and where nothing is known
    expected_ns : float64[m]  median of the context used; nan where nothing is known
    count : float32[m]        effective observations behind it
    level : uint8[m]          0 none, 1 operation, 2 operation under this root operation
    """

    p: npt.NDArray[np.float32]
    p_low: npt.NDArray[np.float32]
    expected_ns: npt.NDArray[np.float64]
    count: npt.NDArray[np.float32]
    level: npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class CallCounts:
    """Of the calls that operations usually make, in one batch: c pairs (operation, callee) that were asked for.

    operation, callee : uint32[c]   ids
    executions : int32[c]           of the operation, without failures that would explain an absence
    left_out : int32[c]             of these, those without the call
    """

    operation: npt.NDArray[np.uint32]
    callee: npt.NDArray[np.uint32]
    executions: npt.NDArray[np.int32]
    left_out: npt.NDArray[np.int32]


def no_calls() -> CallCounts:
    """Return counts of no calls."""
    ids, counts = np.zeros(0, np.uint32), np.zeros(0, np.int32)
    return CallCounts(ids, ids, counts, counts)


@dataclass(frozen=True, slots=True)
class StructureScore:
    """What is odd in the shape below a node.

    missing : float32[m]        surprise (nats) of calls that should be there and are not
    repeated : int32[m]         largest number of like calls below the node
    repeated_usual : float32[m] their usual number (p95); nan where nothing is known
    server_share : float32[m]   CLIENT nodes: learned P(a server span is below | the call was fine); nan unknown
    wait_p : float32[m]         CONSUMER nodes: upper-tail p of the wait of their message; nan: no message, or unknown
    calls : CallCounts          how often calls that are usually made were left out
    """

    missing: npt.NDArray[np.float32]
    repeated: npt.NDArray[np.int32]
    repeated_usual: npt.NDArray[np.float32]
    server_share: npt.NDArray[np.float32]
    wait_p: npt.NDArray[np.float32]
    calls: CallCounts


@dataclass(frozen=True, slots=True)
class Analysis:
    """A batch, measured.

    own_ns : int64[m]       span time that no blocking child covers
    critical_ns : int64[m]  own time on the critical path; sums to the duration of each root
    failed : bool[m]        says itself that it failed (status, HTTP, gRPC)
    weak : bool[m]          hints only: exception or error log, but not failed
    error_class : uint8[m]  ErrorClass of failed and weak nodes, else NONE
    """

    traces: TraceBatch
    forest: Forest
    own_ns: npt.NDArray[np.int64]
    critical_ns: npt.NDArray[np.int64]
    failed: npt.NDArray[np.bool_]
    weak: npt.NDArray[np.bool_]
    error_class: npt.NDArray[np.uint8]
    own: Score
    duration: Score
    structure: StructureScore

    def detail(self, node: int) -> SpanDetail:
        """Read the whole span of a node from its bytes (slow; for traces that are shown)."""
        return self.traces.detail(int(self.forest.row[node]))

    def service(self, node: int) -> str:
        row = self.traces.rows[self.forest.row[node]]
        return self.traces.vocabulary.strings.text(int(row["service"])) or MISSING_SERVICE

    def operation(self, node: int) -> str:
        row = self.traces.rows[self.forest.row[node]]
        return self.traces.vocabulary.strings.text(int(row["name"])) or MISSING_NAME
