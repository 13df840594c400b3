"""Large arrays that are dropped do not stay resident."""

from __future__ import annotations

import subprocess
import sys

import pytest

from collector.malloc import map_large_blocks

# Each array is followed by a small block that stays, as in a program that remembers something of each.
ARRAYS_THAT_COME_AND_GO = """
import os
import sys
from pathlib import Path
import numpy as np
from collector.malloc import map_large_blocks

def resident_mib():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") >> 20

if sys.argv[1] == "mapped":
    map_large_blocks()
first = np.ones(16 << 20, np.uint8)
del first
before = resident_mib()
arrays, kept = [], []
for _ in range(32):
    arrays.append(np.ones(2 << 20, np.uint8))
    kept.append(np.ones(4096, np.uint8))
del arrays
print(resident_mib() - before)
"""


@pytest.mark.parametrize(("way", "stays"), [("mapped", False), ("as it comes", True)])
def test_large_arrays_go_back(way: str, stays: bool):
    """64 MiB are made and dropped. Without it they stay, which is why it is there."""
    if not map_large_blocks():
        pytest.skip("this C library cannot be told")
    done = subprocess.run(
        [sys.executable, "-c", ARRAYS_THAT_COME_AND_GO, way], capture_output=True, text=True, check=True, timeout=60
    )

    assert (int(done.stdout) > 32) is stays
