"""The C library's memory: what is freed goes back to the system.

glibc gives a large block a mapping of its own, which goes back when it is freed; but the first one that is freed
raises the size from which it does so, up to 32 MiB. From then on large arrays come from the heap, where whatever is
allocated behind them keeps them resident. Who makes and drops an analyzer again and again grows by its tables.
"""

from __future__ import annotations

import ctypes

_M_MMAP_THRESHOLD = -3  # malloc.h
MAPPED_BYTES = 2**20  # well above what is allocated often: a mapping costs a system call and fresh pages


def map_large_blocks() -> bool:
    """Have blocks of 1 MiB and more always mapped; False where the C library cannot be told (musl, macOS)."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and bool(mallopt(_M_MMAP_THRESHOLD, MAPPED_BYTES) == 1)
