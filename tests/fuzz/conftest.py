"""Hashes wrap around on purpose; interpreted, numpy would warn about it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest


@pytest.fixture(autouse=True, scope="session")
def _wrapping_hashes() -> Iterator[None]:
    with np.errstate(over="ignore"):
        yield
