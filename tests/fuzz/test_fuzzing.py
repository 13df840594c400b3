"""T1: each target for a minute in both ways, as `make fuzz` does it (there SECONDS says how long)."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.fuzz.__main__ import NAMES
from tests.support.running import ROOT

SECONDS = int(os.environ.get("FUZZ_SECONDS", "60"))


@pytest.mark.deep
@pytest.mark.parametrize("name", NAMES)
def test_a_minute_of_each_target(tmp_path: Path, name: str):
    if find_spec("atheris") is None:
        assert not os.environ.get("CI"), "atheris is not installed; it is in requirements-dev.lock"
        pytest.skip("atheris has no wheel for this Python or machine")
    command = [sys.executable, "-m", "tests.fuzz", name, "--seconds", str(SECONDS), "--corpus", str(tmp_path)]

    found = subprocess.run(command, cwd=ROOT, capture_output=True, timeout=1_500, check=False)

    assert found.returncode == 0, (found.stdout + found.stderr)[-6_000:].decode(errors="replace")
