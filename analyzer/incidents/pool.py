"""The remembered traces of one minute and one class: those with the smallest draws, in a few columns.

In: parts, as they come. Out: parts, and below which draw every offered trace is still here. Bounded by its owner,
who asks it to squeeze.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from analyzer.incidents.facts import TraceFacts, join_facts


@dataclass(frozen=True, slots=True)
class Part:
    """Facts of some traces.

    marks : uint8[T]      why each is suspicious
    added_ns : int64[T]
    draw : float64[T]     in [0, 1)
    """

    facts: TraceFacts
    marks: npt.NDArray[np.uint8]
    added_ns: npt.NDArray[np.int64]
    draw: npt.NDArray[np.float64]

    def select(self, chosen: npt.NDArray[np.intp]) -> Part:
        return Part(self.facts.select(chosen), self.marks[chosen], self.added_ns[chosen], self.draw[chosen])


@dataclass(slots=True)
class Pool:
    """Every offered trace with a draw below `threshold` is in `parts`; others leave with the next squeeze."""

    parts: list[Part] = field(default_factory=list)
    threshold: float = 1.0
    trace_count: int = 0
    span_count: int = 0

    def expect(self, draws: npt.NDArray[np.float64], traces_max: int) -> None:
        """Lower the threshold to what the traces that come leave of it, before anything is gathered of them."""
        fresh = draws[draws < self.threshold]
        if len(fresh) and len(fresh) + self.trace_count > traces_max:
            known = np.concatenate([fresh, *(part.draw for part in self.parts)])
            if len(known) > traces_max:
                self.threshold = min(self.threshold, float(np.partition(known, traces_max)[traces_max]))

    def add(self, part: Part) -> None:
        """Take traces that were drawn below the threshold."""
        self.parts.append(part)
        self.trace_count += part.facts.trace_count
        self.span_count += len(part.facts)

    def squeeze(self, traces_max: int, spans_max: int) -> int:
        """Keep the smallest draws that fit both bounds; return how many traces left."""
        if not self.parts:
            return 0
        whole = self.parts[0] if len(self.parts) == 1 else _join(self.parts)
        order = np.argsort(whole.draw, kind="stable")
        held = np.cumsum(np.diff(whole.facts.trace_ptr)[order])
        room = min(traces_max, int(np.searchsorted(held, spans_max, side="right")))
        left = self.trace_count - min(room, self.trace_count)
        if left:
            self.threshold = min(self.threshold, float(whole.draw[order[room]]))
            whole = whole.select(np.sort(order[:room]))
        self.parts = [whole]
        self.trace_count, self.span_count = whole.facts.trace_count, len(whole.facts)
        return left


def _join(parts: list[Part]) -> Part:
    return Part(
        join_facts([part.facts for part in parts]),
        np.concatenate([part.marks for part in parts]),
        np.concatenate([part.added_ns for part in parts]),
        np.concatenate([part.draw for part in parts]),
    )
