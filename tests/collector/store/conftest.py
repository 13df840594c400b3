"""Fixtures of the store: a directory, a clock, a writer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from collector.store.sqlite import SqliteStore
from tests.support.fakes.clock import ManualClock


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "shelf"


@pytest.fixture
def store(folder: Path, clock: ManualClock) -> Iterator[SqliteStore]:
    store = SqliteStore.open(folder, clock=clock)
    yield store
    store.close()
