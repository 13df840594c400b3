"""How much memory is ours, and how much of it open traces may take when nobody says."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

MIB = 2**20
# The processes take half a gigabyte before a trace comes, and what is analysed, written, sent and remembered is held
# besides: at 0.7 M spans a second a quarter of a gigabyte made them take 1,080 MiB of it.
OPEN_TRACES_SHARE = 6
OPEN_TRACES_MIN, OPEN_TRACES_MAX = 128 * MIB, 1024 * MIB  # from where a largest request fits to where more helps nobody


def memory_limit(cgroups: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> int:
    """Bytes this process may have: the smallest of the machine's memory and the limits of its control groups."""
    found = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    folders = [cgroups, cgroups / "memory"]
    with suppress(OSError):
        for line in own.read_text().splitlines():
            path = line.rpartition(":")[2].strip("/")
            folders += [cgroups / path, cgroups / "memory" / path]
    for folder in folders:
        for name in ("memory.max", "memory.limit_in_bytes"):
            with suppress(OSError, ValueError):
                found.append(int((folder / name).read_text()))
    return min(found)


def open_traces_bytes(limit: int) -> int:
    """Return `assembly.memory_bytes_max` for a memory of `limit` bytes: a sixth, from 128 MiB to 1 GiB."""
    return min(max(limit // OPEN_TRACES_SHARE, OPEN_TRACES_MIN), OPEN_TRACES_MAX)
