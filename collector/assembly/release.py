"""When a trace leaves assembly: the knobs, with unit, default and reason.

In: nothing but numbers. Out: the block of limits the kernels read. The rule itself is in
`kernels.deadlines`:

- A trace without a root leaves `idle_ms` after its newest row (`IDLE`).
- Once a root span came it leaves `wait` after the root (`ROOT_IDLE`), but not while rows stream in
  (`root_idle_min_ms` of quiet). `wait` is learned for each root operation: the quantile of how long
  after the root the last row came, what late rows taught included; `root_idle_ms` until
  `root_observations_min` traces were seen. Spreads beyond `root_idle_max_ms` are not waited for.
- A re-opened trace leaves `idle_ms` after its newest row: its verdict is out already.
- No trace is open longer than `age_max_ms` (`MAX_AGE`).
- The first row that a limit drops makes the trace due at once (`SPAN_LIMIT`, `BYTE_LIMIT`).
- Memory pressure and shutdown are the owner's business (`collector.assembly.buffer`).

Every time is measured on the arrival clock, never on span times: a system clock that steps back, or a
span from the year 2262, moves no deadline.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from analyzer.spans import SPAN_DTYPE
from collector.assembly.kernels import layout

MIB = 1 << 20
ROW_BYTES = SPAN_DTYPE.itemsize
SEGMENT_BYTES_MIN = 1024
_INT31_MAX = 2**31 - 1


@dataclass(frozen=True, slots=True)
class AssemblyConfig:
    """Limits and waits of assembly.

    Raises
    ------
    ValueError
        A value out of its range, or two that contradict each other; says which and why.
    """

    idle_ms: int = 5_000  # quiet time of a trace without a root; the batch timer of the SDKs
    root_idle_ms: int = 2_000  # wait after the root until the operation has been learned
    root_idle_min_ms: int = 200  # shortest wait, and the quiet a trace with a root must have had
    root_idle_max_ms: int = 10_000  # longest wait
    root_quantile: float = 0.99  # share of traces whose rows all come within the learned wait
    root_observations_min: int = 16  # traces of an operation before its wait is learned
    root_operations_max: int = 8_192  # operations with a wait of their own; the others share one
    age_max_ms: int = 60_000
    trace_spans_max: int = 100_000
    trace_bytes_max: int = 50 * MIB
    reserve_share: float = 0.05  # of both limits, for roots and errors only
    open_traces_max: int = 1_000_000
    closed_traces_max: int = 1_000_000  # released ids that are remembered; 96 bytes each
    late_window_ms: int = 600_000  # how long they are
    late_keep_ms: int = 10_000  # how long the rows of a released trace stay, when memory allows
    arena_bytes: int = 1024 * MIB  # original bytes and rows (128 bytes each) of all spans held
    segment_bytes: int = 32 * MIB  # what is freed in one go; a power of two
    soft_share: float = 0.70  # segments used, over which released traces are not kept
    hard_share: float = 0.85  # segments (or open traces) used, over which open traces leave early
    release_spans_max: int = 32_768  # rows of one release, unless one trace alone has more

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name.endswith(("_share", "_quantile")):
                if not 0.0 <= value <= 1.0:
                    raise ValueError(f"{field.name} is {value}; expected 0 to 1")
            elif value < _AT_LEAST.get(field.name, 1):
                raise ValueError(f"{field.name} is {value}; expected {_AT_LEAST.get(field.name, 1)} or more")
        for name in ("idle_ms", "root_idle_max_ms", "age_max_ms", "late_window_ms", "late_keep_ms"):
            if getattr(self, name) > _INT31_MAX:
                raise ValueError(f"{name} is {getattr(self, name)}; expected at most {_INT31_MAX} (24 days)")
        if not self.root_idle_min_ms <= self.root_idle_ms <= self.root_idle_max_ms:
            raise ValueError(
                f"root_idle_ms is {self.root_idle_ms}; expected between root_idle_min_ms "
                f"({self.root_idle_min_ms}) and root_idle_max_ms ({self.root_idle_max_ms})"
            )
        if self.segment_bytes & (self.segment_bytes - 1) or self.segment_bytes < SEGMENT_BYTES_MIN:
            raise ValueError(
                f"segment_bytes is {self.segment_bytes}; expected a power of two, {SEGMENT_BYTES_MIN} or more"
            )
        if self.arena_bytes < 2 * self.segment_bytes:
            raise ValueError(
                f"arena_bytes is {self.arena_bytes}; expected at least two segments ({2 * self.segment_bytes})"
            )
        if self.soft_share > self.hard_share:
            raise ValueError(f"soft_share is {self.soft_share}; expected at most hard_share ({self.hard_share})")
        if self.arena_bytes > _INT31_MAX * ROW_BYTES:
            raise ValueError(f"arena_bytes is {self.arena_bytes}; expected at most 256 GiB (rows have 31-bit numbers)")
        if self.open_traces_max + self.closed_traces_max > 2**30:
            raise ValueError("open_traces_max + closed_traces_max must be at most 2**30")

    @property
    def segment_count(self) -> int:
        return self.arena_bytes // self.segment_bytes


_AT_LEAST = {"late_keep_ms": 0, "closed_traces_max": 0, "root_idle_min_ms": 0, "root_idle_ms": 0}


def limits_of(config: AssemblyConfig) -> npt.NDArray[np.int64]:
    """The limits as the kernels read them."""
    limits = np.zeros(layout.LIMIT_COUNT, np.int64)
    plain_share = 1.0 - config.reserve_share
    limits[layout.IDLE_MS] = config.idle_ms
    limits[layout.ROOT_IDLE_MS] = config.root_idle_ms
    limits[layout.ROOT_IDLE_MIN_MS] = config.root_idle_min_ms
    limits[layout.ROOT_IDLE_MAX_MS] = config.root_idle_max_ms
    limits[layout.AGE_MAX_MS] = config.age_max_ms
    limits[layout.SPANS_MAX] = config.trace_spans_max
    limits[layout.SPANS_PLAIN_MAX] = max(1, int(config.trace_spans_max * plain_share))
    limits[layout.BYTES_MAX] = config.trace_bytes_max
    limits[layout.BYTES_PLAIN_MAX] = max(1, int(config.trace_bytes_max * plain_share))
    limits[layout.LATE_WINDOW_MS] = config.late_window_ms
    limits[layout.LATE_KEEP_MS] = config.late_keep_ms
    limits[layout.CLOSED_MAX] = config.closed_traces_max
    limits[layout.ROOT_QUANTILE_PERMILLE] = round(config.root_quantile * 1000)
    limits[layout.ROOT_OBSERVATIONS_MIN] = config.root_observations_min
    limits[layout.SEGMENT_SHIFT] = (config.segment_bytes // ROW_BYTES).bit_length() - 1
    return limits
