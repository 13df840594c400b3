"""Changes on disk: every promise, and what only a file can do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from collector.contracts import ChangeQuery
from collector.errors import OverloadedError
from collector.store import changes
from collector.store.changes import FILE_NAME, ChangeShelf
from tests.contract.change_suite import ChangeContract, change
from tests.support.fakes.clock import ManualClock


class TestChangeShelf(ChangeContract):
    @pytest.fixture
    def clock(self) -> ManualClock:
        return ManualClock()

    @pytest.fixture
    def log(self, tmp_path: Path, clock: ManualClock) -> Iterator[ChangeShelf]:
        shelf = ChangeShelf(tmp_path / "shelf", clock)
        yield shelf
        shelf.close()


def test_changes_outlive_the_process(tmp_path: Path):
    first = ChangeShelf(tmp_path, ManualClock())
    first.put_change(change(1))
    first.close()

    again = ChangeShelf(tmp_path, ManualClock())

    assert again.changes(ChangeQuery()) == [change(1)]
    assert (tmp_path / FILE_NAME).stat().st_mode & 0o777 == 0o600
    again.close()


def test_two_may_write_one_file(tmp_path: Path):
    one, other = ChangeShelf(tmp_path, ManualClock()), ChangeShelf(tmp_path, ManualClock())
    one.put_change(change(1))
    other.put_change(change(2))

    assert [found.change_id for found in one.changes(ChangeQuery())] == ["c2", "c1"]
    one.close()
    other.close()


def test_more_than_fit_push_the_oldest_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(changes, "CHANGES_MAX", 3)
    shelf = ChangeShelf(tmp_path, ManualClock())
    for number in range(5):
        shelf.put_change(change(number))

    assert [found.change_id for found in shelf.changes(ChangeQuery())] == ["c4", "c3", "c2"]
    assert shelf.snapshot() == {"changes_told": 5, "changes_forgotten": 2, "changes_unreadable": 0}
    shelf.close()


def test_a_damaged_file_is_put_aside(tmp_path: Path):
    """The first question is refused, the next one finds a new file; nothing is deleted."""
    (tmp_path / FILE_NAME).write_bytes(b"no database at all" * 100)
    shelf = ChangeShelf(tmp_path, ManualClock())

    with pytest.raises(OverloadedError):
        shelf.put_change(change(1))
    assert shelf.put_change(change(1))

    assert (tmp_path / f"{FILE_NAME}.corrupt-1").exists()
    shelf.close()
