"""A journal is read back whole whatever happened to its files, and leaves only when it is decided."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from collector.contracts import Signal
from collector.journal.folder import QUARANTINE, journals, let_go, read_passed, segments, write_passed
from collector.journal.keeper import NOTES_MAX, Keeper
from collector.journal.replay import Replay
from collector.journal.writer import GroupCommit, JournalSettings
from tests.collector.journal.support import Listening, QuickDisk, drain, replayed

DAMAGES = 300
SMALL = JournalSettings(segment_bytes=1200, bytes_max=10**9)


def filled(root: Path, count: int = 60, name: str = "receiver-0") -> list[bytes]:
    journal = GroupCommit(root / name, Listening(), SMALL, disk=QuickDisk())
    payloads = [b"%s %d " % (name.encode(), n) + bytes(n % 200) for n in range(count)]
    for payload in payloads:
        journal.offer(payload, Signal.TRACES)
    return payloads


def test_a_journal_whose_receiver_is_gone_is_read_too(tmp_path: Path):
    first, second = filled(tmp_path, 5, "receiver-0"), filled(tmp_path, 5, "receiver-7")

    assert [payload for payload, *_ in replayed(tmp_path)] == first + second


def test_no_journal_is_no_error(tmp_path: Path):
    assert replayed(tmp_path / "not there") == []
    assert journals(tmp_path / "not there") == []


def test_only_what_was_not_passed_is_read(tmp_path: Path):
    payloads = filled(tmp_path)
    write_passed(tmp_path / "receiver-0", 42)

    assert [payload for payload, *_ in replayed(tmp_path)] == payloads[42:]


@pytest.mark.parametrize("kind", range(8))
def test_no_damage_stops_a_start(tmp_path: Path, kind: int):
    """Bits flip, files are cut, emptied, swapped, copied, lost: the rest is read, the damage counted, nothing deleted."""
    for seed in range(kind, DAMAGES, 8):
        _damage(tmp_path / str(seed), kind, random.Random(seed))


def _damage(tmp_path: Path, kind: int, rng: random.Random) -> None:
    payloads = filled(tmp_path)
    folder = tmp_path / "receiver-0"
    victim = rng.choice(segments(folder)).path
    other = rng.choice([one.path for one in segments(folder) if one.path != victim])
    data = bytearray(victim.read_bytes())
    hit = len(payloads)  # at most so many may be missing
    if kind == 0:
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        hit = 1
    elif kind == 1:
        del data[rng.randrange(len(data)) :]
    elif kind == 2:
        at = rng.randrange(len(data))
        data[at : at + 100] = bytes(len(data[at : at + 100]))
    elif kind == 3:
        data.clear()
    elif kind == 4:
        data[8] = 9  # a version of the future
    if kind == 5:
        victim.unlink()
    elif kind == 6:
        swapped = other.read_bytes()
        other.write_bytes(data)
        victim.write_bytes(swapped)
        hit = 0
    elif kind == 7:
        (folder / f"{10**6 + kind:020d}.journal").write_bytes(data)
        hit = 0
    else:
        victim.write_bytes(data)

    replay = Replay(tmp_path)
    found = [payload for payload, *_ in drain(replay)]

    lost = [payload for payload in payloads if payload not in found]
    assert len(lost) <= hit
    assert set(found) <= set(payloads)
    newest = replay.last.get("receiver-0", 0)
    assert replay.counts.missing == sum(payloads.index(payload) + 1 < newest for payload in lost)  # by their numbers
    if lost and kind in (0, 2, 4):
        assert replay.counts.damaged + replay.counts.torn + replay.counts.unreadable_files > 0
    again = GroupCommit(folder, engine := Listening(), SMALL, disk=QuickDisk())
    assert again.offer(b"after", Signal.TRACES)
    assert engine.taken[0][2] > len(payloads) - hit
    assert b"after" in [payload for payload, *_ in replayed(tmp_path)]


def test_a_damaged_segment_goes_to_quarantine_when_its_time_has_come(tmp_path: Path):
    payloads = filled(tmp_path)
    folder = tmp_path / "receiver-0"
    victim = segments(folder)[1].path
    data = bytearray(victim.read_bytes())
    data[len(data) // 2] ^= 1
    victim.write_bytes(data)
    replayed(tmp_path)
    assert [one.damaged for one in segments(folder)][:3] == [False, True, False]

    let_go(folder, len(payloads))

    assert len(segments(folder)) == 1
    assert [path.read_bytes() for path in (folder / QUARANTINE).iterdir()] == [bytes(data)]


class Kept:
    """A keeper of one journal, told in seconds."""

    def __init__(self, root: Path) -> None:
        filled(root, 60)
        self.folder = root / "receiver-0"
        self.keeper = Keeper(root)

    def taken(self, second: float, sequence: int) -> None:
        self.keeper.taken("receiver-0", sequence, int(second * 1000))

    def look(self, oldest: float, handed: int = 0, written: int = 0) -> int:
        """Twice: the first look finds what is decided, the second that it is written."""
        self.keeper.keep_house(int(oldest * 1000), handed, written)
        self.keeper.keep_house(int(oldest * 1000), handed, written)
        return read_passed(self.folder)


def test_what_came_before_the_oldest_open_trace_has_passed(tmp_path: Path):
    r"""
    records   1 2     3 4     5 6
    seconds   1       2       3
    oldest open trace    ^ 2.5
    """
    kept = Kept(tmp_path)
    for second, sequence in ((1, 1), (1, 2), (2, 3), (2, 4), (3, 5), (3, 6)):
        kept.taken(second, sequence)

    assert kept.look(oldest=1) == 0
    assert kept.look(oldest=2) == 2
    assert kept.look(oldest=2.5) == 4
    assert kept.look(oldest=2.5) == 4


def test_with_no_open_trace_all_has_passed(tmp_path: Path):
    kept = Kept(tmp_path)
    kept.taken(1, 59)
    kept.taken(1.01, 60)

    assert kept.look(oldest=9) == 60
    assert len(segments(kept.folder)) == 1, "the newest stays: its writer may be at it"


def test_nothing_passes_that_the_shelf_has_not_written(tmp_path: Path):
    kept = Kept(tmp_path)
    kept.taken(1, 10)

    assert kept.look(oldest=5, handed=7, written=6) == 0
    kept.taken(6, 20)
    kept.keeper.keep_house(9000, 9, 7)

    assert read_passed(kept.folder) == 10, "only what was decided when seven were handed"


def test_at_the_end_a_journal_leaves_only_when_all_of_it_has_passed(tmp_path: Path):
    kept = Kept(tmp_path)
    kept.taken(1, 59)
    assert kept.look(oldest=9) == 59
    kept.keeper.clear()
    assert [payload.split()[1] for payload, *_ in replayed(tmp_path)] == [b"59"]

    kept.taken(10, 60)
    assert kept.look(oldest=19) == 60
    kept.keeper.clear()

    assert segments(kept.folder) == []
    assert GroupCommit(kept.folder, engine := Listening(), disk=QuickDisk()).offer(b"next", Signal.TRACES)
    assert engine.taken == [(b"next", Signal.TRACES, 61)]


def test_many_moments_are_noted_coarsely_and_in_order(tmp_path: Path):
    kept = Kept(tmp_path)
    for n in range(3 * NOTES_MAX):
        kept.taken(n, n + 1)

    notes = kept.keeper._journals["receiver-0"].notes
    assert len(notes) <= NOTES_MAX
    assert list(notes) == sorted(notes)
    assert kept.look(oldest=NOTES_MAX) in range(NOTES_MAX - 16, NOTES_MAX + 1)


def test_a_busy_second_leaves_few_notes(tmp_path: Path):
    kept = Kept(tmp_path)
    for n in range(1000):
        kept.taken(n / 1000, n + 1)

    assert len(kept.keeper._journals["receiver-0"].notes) <= 22
    assert kept.look(oldest=0.5) in range(390, 501)
