"""SQLite keeps every promise of a store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from collector.store.sqlite import SqliteStore
from tests.contract.group_suite import GroupContract
from tests.contract.incident_suite import IncidentContract
from tests.contract.store_suite import StoreContract
from tests.support.fakes.clock import ManualClock


class TestSqlite(StoreContract, IncidentContract, GroupContract):
    @pytest.fixture
    def clock(self) -> ManualClock:
        return ManualClock()

    @pytest.fixture
    def store(self, tmp_path: Path, clock: ManualClock) -> Iterator[SqliteStore]:
        store = SqliteStore.open(tmp_path / "shelf", clock=clock)
        yield store
        store.close()
