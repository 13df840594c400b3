"""Prometheus' own reader of rules. Debian's package prometheus has it; `tests/tools/debian.sh` installs that."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

_PROGRAM = shutil.which("promtool")
# In CI it must be there: the test runs, and fails, without it.
needs_promtool = pytest.mark.skipif(
    _PROGRAM is None and "CI" not in os.environ, reason="promtool is not installed here (package prometheus); CI has it"
)


def promtool(*words: str) -> subprocess.CompletedProcess[str]:
    assert _PROGRAM is not None, "promtool is not installed"
    return subprocess.run([_PROGRAM, *words], capture_output=True, text=True, timeout=60, check=False)
