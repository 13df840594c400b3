"""Nothing is acknowledged that is not on disk; nothing that is acknowledged is lost."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from collector.contracts import Signal
from collector.errors import OverloadedError
from collector.journal.disk import Disk
from collector.journal.folder import let_go, read_passed, segments, write_passed
from collector.journal.writer import GroupCommit, JournalSettings
from tests.collector.journal.support import CutDisk, FullDisk, Listening, PowerCut, replayed

SMALL = JournalSettings(segment_bytes=600, bytes_max=10_000)


def test_a_request_is_on_disk_and_with_the_engine_when_offer_returns(tmp_path: Path):
    engine = Listening()
    journal = GroupCommit(tmp_path / "receiver-0", engine)

    assert journal.offer(b"spans", Signal.TRACES)
    assert journal.offer(b"logs", Signal.LOGS)

    assert engine.taken == [(b"spans", Signal.TRACES, 1), (b"logs", Signal.LOGS, 2)]
    assert replayed(tmp_path) == [
        (b"spans", Signal.TRACES, "receiver-0", 1),
        (b"logs", Signal.LOGS, "receiver-0", 2),
    ]


def test_a_full_engine_refuses_before_the_disk_is_asked(tmp_path: Path):
    engine = Listening(room=False)
    journal = GroupCommit(tmp_path / "receiver-0", engine)

    assert not journal.offer(b"spans", Signal.TRACES)
    assert replayed(tmp_path) == []


class SlowDisk(Disk):
    """Holds the first sync until it is let go."""

    def __init__(self) -> None:
        self.entered, self.go = threading.Event(), threading.Event()
        self.syncs = 0

    def sync(self, descriptor: int) -> None:
        self.syncs += 1
        if self.syncs == 1:
            self.entered.set()
            assert self.go.wait(10)
        super().sync(descriptor)


def test_who_comes_during_a_sync_shares_the_next_one(tmp_path: Path):
    disk, engine = SlowDisk(), Listening()
    journal = GroupCommit(tmp_path / "receiver-0", engine, disk=disk)
    with ThreadPoolExecutor(20) as pool:
        first = pool.submit(journal.offer, b"first", Signal.TRACES)
        assert disk.entered.wait(10)
        others = [pool.submit(journal.offer, b"%d" % n, Signal.TRACES) for n in range(19)]
        while len(journal._waiting) < 19:
            pass
        assert engine.taken == [], "acknowledged before its sync"
        disk.go.set()
        assert first.result(10)
        assert all(other.result(10) for other in others)

    assert disk.syncs == 2
    assert len(engine.taken) == 20
    assert sorted(sequence for _, _, sequence in engine.taken) == list(range(1, 21))


@pytest.mark.parametrize("compress", [False, True])
def test_segments_close_at_their_size_and_leave_when_passed(tmp_path: Path, compress: bool):
    folder = tmp_path / "receiver-0"
    settings = JournalSettings(segment_bytes=600, bytes_max=10_000, compress=compress)
    journal = GroupCommit(folder, Listening(), settings)
    payloads = [bytes([n]) * (200 if not compress else 2000) for n in range(30)]
    for payload in payloads:
        journal.offer(payload, Signal.TRACES)

    assert [payload for payload, *_ in replayed(tmp_path)] == payloads
    before = segments(folder)
    assert len(before) > 2
    write_passed(folder, 20)
    let_go(folder, 20)

    assert [payload for payload, *_ in replayed(tmp_path)] == payloads[20:]
    assert segments(folder)[0].first_sequence <= 21
    assert len(segments(folder)) < len(before)


def test_numbers_go_on_after_a_restart(tmp_path: Path):
    for start in (0, 2):
        journal = GroupCommit(tmp_path / "receiver-0", engine := Listening())
        journal.offer(b"a", Signal.TRACES)
        journal.offer(b"b", Signal.TRACES)
        assert [sequence for *_, sequence in engine.taken] == [start + 1, start + 2]


def test_numbers_go_on_when_every_segment_has_left(tmp_path: Path):
    folder = tmp_path / "receiver-0"
    journal = GroupCommit(folder, Listening())
    journal.offer(b"a", Signal.TRACES)
    write_passed(folder, 1)
    for segment in segments(folder):
        segment.path.unlink()

    GroupCommit(folder, engine := Listening()).offer(b"b", Signal.TRACES)

    assert engine.taken == [(b"b", Signal.TRACES, 2)]
    assert read_passed(folder) == 1


def test_a_quota_refuses_and_lets_in_again(tmp_path: Path):
    """The refusal can be tried again, and nothing of the request is kept."""
    folder = tmp_path / "receiver-0"
    now = [0]
    journal = GroupCommit(folder, engine := Listening(), SMALL, monotonic_ns=lambda: now[0])

    def fill() -> None:
        for _ in range(100):
            journal.offer(bytes(200), Signal.TRACES)
            now[0] += 2_000_000_000

    with pytest.raises(OverloadedError) as caught:
        fill()
    taken = len(engine.taken)
    assert caught.value.reason == "journal_full"
    assert caught.value.retry_after_s > 0
    assert sum(segment.path.stat().st_size for segment in segments(folder)) <= 10_000

    let_go(folder, 20)
    now[0] += 2_000_000_000

    assert journal.offer(bytes(200), Signal.TRACES)
    assert len(engine.taken) == taken + 1


def test_a_full_disk_refuses_and_leaves_no_half_record(tmp_path: Path):
    disk = FullDisk(500)
    journal = GroupCommit(tmp_path / "receiver-0", engine := Listening(), disk=disk)

    def fill() -> None:
        for n in range(100):
            journal.offer(b"%050d" % n, Signal.TRACES)

    with pytest.raises(OverloadedError, match="No space left"):
        fill()
    kept = len(engine.taken)
    assert [sequence for *_, sequence in replayed(tmp_path)] == list(range(1, kept + 1))

    disk.room = 10_000
    assert journal.offer(b"again", Signal.TRACES)

    assert [payload for payload, *_ in replayed(tmp_path)] == [payload for payload, *_ in engine.taken]
    assert journal.snapshot()["journal_failed_commits"] == 1


def test_a_disk_that_is_full_from_the_start_is_no_end(tmp_path: Path):
    disk = FullDisk(0)
    journal = GroupCommit(tmp_path / "receiver-0", engine := Listening(), disk=disk)
    for _ in range(3):
        with pytest.raises(OverloadedError):
            journal.offer(b"x", Signal.TRACES)
    assert list((tmp_path / "receiver-0").iterdir()) == []  # nor does it fill up with empty segments
    disk.room = 1000

    assert journal.offer(b"y", Signal.TRACES)
    assert [payload for payload, *_ in engine.taken] == [b"y"]
    assert [payload for payload, *_ in replayed(tmp_path)] == [b"y"]


def test_after_a_failed_sync_a_new_segment_is_begun(tmp_path: Path):
    """Nobody knows which pages of the old one are there; nothing is written behind them."""
    disk = FullDisk(10_000)
    journal = GroupCommit(tmp_path / "receiver-0", engine := Listening(), disk=disk)
    journal.offer(b"a", Signal.TRACES)
    disk.fails_sync = True
    with pytest.raises(OverloadedError):
        journal.offer(b"b", Signal.TRACES)
    journal.offer(b"c", Signal.TRACES)

    assert [payload for payload, *_ in engine.taken] == [b"a", b"c"]
    assert len(segments(tmp_path / "receiver-0")) == 2
    assert {b"a", b"c"} <= {payload for payload, *_ in replayed(tmp_path)}


@pytest.mark.parametrize("tens", range(20))
def test_no_power_cut_loses_what_was_acknowledged(tmp_path: Path, tens: int):
    """Power goes at any call to the disk; of what was not synced anything may be there, whole, cut or zero."""
    for seed in range(tens * 10, tens * 10 + 10):
        _cut(tmp_path / str(seed), seed)


def _cut(tmp_path: Path, seed: int) -> None:
    acked: list[bytes] = []
    for life in range(3):
        disk = CutDisk(seed * 7 + life, calls=(seed * 13 + life * 5) % 60)
        journal = GroupCommit(tmp_path / "receiver-0", Listening(), SMALL, disk=disk)
        try:
            for n in range(20):
                payload = b"%d.%d." % (life, n) + bytes(n * 7)
                journal.offer(payload, Signal.TRACES)
                acked.append(payload)
        except PowerCut:
            pass
        else:
            continue

    kept = [payload for payload, *_ in replayed(tmp_path)]
    assert [payload for payload in acked if payload not in kept] == []
    assert sorted(set(kept), key=kept.index) == kept, "a record came twice"
