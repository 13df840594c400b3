"""Storage as it is found after an accident: a good directory, and one seeded thing done to one of its files.

    wreck = spoil(folder, random.Random(7))
    wreck.kind, wreck.victim                # what was done, to which file

Kinds are the cases that other projects know from their own accidents: torn tails, bad sectors, swapped and copied
files, empty ones, files of a newer version, a directory where a file should be.
"""

from __future__ import annotations

import random
import shutil
import sqlite3
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import google_crc32c

from collector.journal.records import MARK

SECTOR = 4096


@dataclass(frozen=True)
class Wreck:
    kind: str
    victim: Path
    content: bytes  # of the victim after the accident; empty for a directory, or when it is gone
    is_newest: bool = False  # of its segments: nothing stands behind it that could tell what is missing


def _flip(path: Path, rng: random.Random) -> None:
    data = bytearray(path.read_bytes())
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    path.write_bytes(data)


def _zero_sector(path: Path, rng: random.Random) -> None:
    data = bytearray(path.read_bytes())
    at = rng.randrange(0, len(data), SECTOR)
    data[at : at + SECTOR] = bytes(len(data[at : at + SECTOR]))
    path.write_bytes(data)


def _cut(path: Path, rng: random.Random) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: rng.randrange(len(data))])


def _cut_last_record(path: Path, rng: random.Random) -> None:
    data = path.read_bytes()
    last = data.rfind(MARK)
    path.write_bytes(data[: rng.randrange(last + 1, len(data))])


def _empty(path: Path, rng: random.Random) -> None:
    path.write_bytes(b"")


def _rubbish(path: Path, rng: random.Random) -> None:
    path.write_bytes(rng.randbytes(rng.randrange(1, 3 * SECTOR)))


def _gone(path: Path, rng: random.Random) -> None:
    path.unlink()


def _directory(path: Path, rng: random.Random) -> None:
    path.unlink()
    path.mkdir()


def _copied(path: Path, rng: random.Random) -> None:
    shutil.copyfile(path, path.with_name(f"{10**6 + rng.randrange(1000):020d}.journal"))


def _swapped(path: Path, rng: random.Random) -> None:
    other = rng.choice([one for one in path.parent.glob("*.journal") if one != path])
    mine, its = path.read_bytes(), other.read_bytes()
    path.write_bytes(its)
    other.write_bytes(mine)


def _newer_segment(path: Path, rng: random.Random) -> None:
    """A header of the next version, with a checksum that is right."""
    data = bytearray(path.read_bytes())
    struct.pack_into("<H", data, 8, 2)
    struct.pack_into("<I", data, 20, google_crc32c.value(bytes(data[:20])))
    path.write_bytes(data)


def _newer_schema(path: Path, rng: random.Random) -> None:
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()


_Damage = Callable[[Path, random.Random], None]
_ANY_FILE: dict[str, _Damage] = {
    "flip": _flip,
    "zero sector": _zero_sector,
    "cut": _cut,
    "empty": _empty,
    "rubbish": _rubbish,
    "gone": _gone,
    "directory": _directory,
}
_SEGMENT: dict[str, _Damage] = {**_ANY_FILE, "copied": _copied, "swapped": _swapped, "newer": _newer_segment}
_SQLITE: dict[str, _Damage] = {**_ANY_FILE, "newer": _newer_schema}
_SIDE: dict[str, _Damage] = {"flip": _flip, "cut": _cut, "rubbish": _rubbish, "gone": _gone}


def _kinds(folder: Path) -> list[tuple[str, list[Path], _Damage]]:
    """Every (name, files it may hit, what is done)."""
    segments = sorted((folder / "journal").glob("*/*.journal"))
    hours = sorted(folder.glob("traces-*.sqlite"))
    found: list[tuple[str, list[Path], _Damage]] = [(f"segment {k}", segments, do) for k, do in _SEGMENT.items()]
    found.append(("segment cut in its last record", segments[-1:], _cut_last_record))
    found += [(f"hour {kind}", hours, do) for kind, do in _SQLITE.items()]
    found += [(f"meta {kind}", [folder / "meta.sqlite"], do) for kind, do in _SQLITE.items()]
    found += [(f"wal {kind}", sorted(folder.glob("*.sqlite-wal")), do) for kind, do in _SIDE.items()]
    found += [(f"shm {kind}", sorted(folder.glob("*.sqlite-shm")), do) for kind, do in _SIDE.items()]
    found.append(("passed rubbish", sorted((folder / "journal").glob("*/passed")), _rubbish))
    return [one for one in found if one[1]]


def spoil(folder: Path, seed: int) -> Wreck:
    """Do one thing to one file; seeds go through the kinds in turn."""
    rng = random.Random(seed)
    kinds = _kinds(folder)
    kind, victims, damage = kinds[seed % len(kinds)]
    victim = rng.choice(victims)
    is_newest = victim == max(victim.parent.glob("*.journal"), default=None)
    damage(victim, rng)
    return Wreck(kind, victim, victim.read_bytes() if victim.is_file() else b"", is_newest)
