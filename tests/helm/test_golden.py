"""What the chart renders to, for every file of helm/ci: a change of the chart is seen as a change of objects."""

from __future__ import annotations

import pytest

from tests.support.chart import VALUES, rendered_text
from tests.support.chart_files import GOLDEN, golden_of


@pytest.mark.parametrize("name", VALUES)
def test_it_renders_as_before(name: str):
    """`make helm-files` after a change of the chart; then read what it changed."""
    assert golden_of(name).read_text() == rendered_text(VALUES[name])


def test_no_file_is_left_over():
    assert {path.stem for path in GOLDEN.glob("*.yaml")} == set(VALUES)
