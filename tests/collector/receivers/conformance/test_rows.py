"""OTLP 1.11: no row of the list is left without a test."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from tests.collector.receivers.conformance.rows import ROWS


def test_every_row_has_a_test():
    """The list has 17 rows."""
    for beside in Path(__file__).parent.glob("test_*.py"):  # a row is noted when its file is read
        import_module(f"tests.collector.receivers.conformance.{beside.stem}")

    assert list(range(1, 18)) == sorted(ROWS)
