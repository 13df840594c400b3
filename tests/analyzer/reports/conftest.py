"""A reporter that knows the demo's shop, one for a whole file."""

from __future__ import annotations

import pytest

from tests.support.reported import Reporter, shop_reporter


@pytest.fixture(scope="module")
def reporter() -> Reporter:
    return shop_reporter()
