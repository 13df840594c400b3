"""The keys of a batch: each span's operation, alone and under the root operation of its trace.

In: `Forest` and operation ids. Out: `KeyedBatch`, packed keys for a `pair_table`. Learns nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from analyzer.forest import Forest, NodeFlag
from analyzer.pair_table import Keys, Slots, pack

Operations: TypeAlias = npt.NDArray[np.uint32]

_NO_ENTRY = int(NodeFlag.ORPHAN | NodeFlag.CYCLE_CUT | NodeFlag.SELF_PARENT)


@dataclass(frozen=True, slots=True)
class KeyedBatch:
    """One batch, looked up. operation : uint32[m], root : uint32[T] (of the trace's entry), slots : int32[m, 2]."""

    forest: Forest
    operation: Operations
    root: Operations
    slots: Slots

    def keys(self, nodes: npt.NDArray[np.int64]) -> Keys:
        """Both keys of some nodes."""
        trace = np.searchsorted(self.forest.trace_ptr, nodes, side="right") - 1
        operation, root = self.operation[nodes], self.root[trace]
        alone = pack(operation, np.zeros(1, np.uint32))
        return np.concatenate([alone, np.where(root == 0, np.uint64(0), pack(operation, root))])


def root_operations(operation: Operations, forest: Forest) -> Operations:
    """Operation of the entry of each trace: its first true root, else its first node; 0 of an empty trace."""
    sizes = np.diff(forest.trace_ptr)
    full = sizes > 0
    roots = np.zeros(len(sizes), np.uint32)
    if full.any():
        count = len(operation)
        starts = forest.trace_ptr[:-1][full]
        true_root = (forest.parent < 0) & ((forest.flags & _NO_ENTRY) == 0)
        first = np.minimum.reduceat(np.where(true_root, np.arange(count), count), starts)
        roots[full] = operation[np.where(first < count, first, starts)]
    return roots
