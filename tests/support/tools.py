"""Other people's programs that `make` builds into `.tools/`: where they are, or why a test does without."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.running import ROOT


def built(name: str, needs: str) -> Path:
    """Return `.tools/<name>`. In CI it must be there; elsewhere the reason is told and the test is skipped."""
    path = ROOT / ".tools" / name
    if path.exists():
        return path
    reason = f"{path.relative_to(ROOT)} is not built; run make test, with {needs} installed"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)
