"""What assembly counts, as one frozen snapshot.

Every row that was decoded is in exactly one place at any time::

    received_spans == sum(released_spans) + deduped_spans + sum(dropped_spans) + open_spans

- A row counts as released once, with the reason of the first release it is part of. When late rows
  re-open a trace whose rows are still here, the new release carries the earlier rows again; those are
  not counted again.
- `open_spans` are rows that are linked and in no release yet: the spans at risk when the process dies.
- `held_spans` are all rows in memory: open ones, those with a receiver, and those kept for late spans.

Spans here are rows: log records are counted with them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analyzer.spans import ReleaseReason
from collector.assembly.kernels import layout


@dataclass(frozen=True, slots=True)
class AssemblyCounts:
    """Counters since the start, and what is held now.

    released_traces : releases by reason; a re-opened trace counts again
    released_spans : by reason; see the module
    dropped_spans : own_scope (written by firstfault), trace_too_large (a limit of the trace),
        live_traces (no record for one more open trace), stress (of a trace left out, see `Assembler.shed`)
    shed_traces : traces left out under stress; one that was forgotten in between counts again, and of a million about a
        thousand are taken for others and not counted
    late_spans : rows that came after their trace's first release
    forgotten_traces : closed ids that left before `late_window_ms` because there were too many
    let_go_traces : released traces whose rows left before `late_keep_ms` because memory was short
    refused_requests : OverloadedError raised; nothing of those was taken
    """

    received_spans: int
    released_traces: Mapping[str, int]
    released_spans: Mapping[str, int]
    deduped_spans: int
    dropped_spans: Mapping[str, int]
    shed_traces: int
    late_spans: int
    reopened_traces: int
    open_traces: int
    open_spans: int
    open_bytes: int
    kept_traces: int
    closed_traces: int
    held_spans: int
    held_bytes: int
    forgotten_traces: int
    let_go_traces: int
    refused_requests: int
    segments_used: int
    segments_total: int

    @property
    def balanced(self) -> bool:
        """Whether the conservation equation holds."""
        left = sum(self.released_spans.values()) + self.deduped_spans + sum(self.dropped_spans.values())
        return self.received_spans == left + self.open_spans


def counts_of(
    state: npt.NDArray[np.int64], refused_requests: int, segments_used: int, segments_total: int
) -> AssemblyCounts:
    """Read the block of counters."""
    words = state.tolist()

    def by_reason(first: int) -> dict[str, int]:
        return {reason.name.lower(): words[first + reason] for reason in ReleaseReason}

    return AssemblyCounts(
        received_spans=words[layout.RECEIVED],
        released_traces=by_reason(layout.RELEASED_TRACES),
        released_spans=by_reason(layout.RELEASED_SPANS),
        deduped_spans=words[layout.DEDUPED],
        dropped_spans={
            "own_scope": words[layout.DROPPED_OWN_SCOPE],
            "trace_too_large": words[layout.DROPPED_TOO_LARGE],
            "live_traces": words[layout.DROPPED_LIVE_TRACES],
            "stress": words[layout.DROPPED_STRESS],
        },
        shed_traces=words[layout.SHED_TRACES],
        late_spans=words[layout.LATE],
        reopened_traces=words[layout.REOPENINGS],
        open_traces=words[layout.OPEN_TRACES],
        open_spans=words[layout.OPEN_SPANS],
        open_bytes=words[layout.OPEN_BYTES],
        kept_traces=words[layout.KEPT_TRACES],
        closed_traces=words[layout.CLOSED_TRACES],
        held_spans=words[layout.HELD_SPANS],
        held_bytes=words[layout.HELD_BYTES],
        forgotten_traces=words[layout.FORGOTTEN],
        let_go_traces=words[layout.LET_GO_EARLY],
        refused_requests=refused_requests,
        segments_used=segments_used,
        segments_total=segments_total,
    )
