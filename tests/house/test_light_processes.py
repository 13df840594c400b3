"""What a process does not need it does not load: memory and the time to start are paid by every process."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("room", "absent"),
    [
        ("query_room", ["numba", "llvmlite"]),
        ("receiver_room", ["networkx", "fastapi", "sqlite3"]),
        ("engine_room", ["fastapi", "uvicorn", "networkx"]),
    ],
)
def test_a_process_loads_only_what_it_needs(room: str, absent: list[str]):
    program = f"import sys, collector.process, collector.app.{room}; print(*(set({absent}) & set(sys.modules)))"

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=True)

    assert done.stdout.split() == []
