"""The files of one journal: which segments there are, how far the engine is, what may leave.

Nothing that cannot be read is deleted: a damaged segment is renamed, and put into `quarantine/` when its time
has come.
"""

from __future__ import annotations

import logging
import os
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from analyzer.digits import is_number

logger = logging.getLogger(__name__)

SUFFIX = ".journal"
DAMAGED = ".damaged"
PASSED = "passed"
QUARANTINE = "quarantine"
_DIGITS = 20


@dataclass(frozen=True, slots=True)
class Segment:
    """One file. Holds the records from `first_sequence` up to the first of the next segment."""

    first_sequence: int
    path: Path
    damaged: bool = False


def segment_path(folder: Path, first_sequence: int) -> Path:
    """Return where a segment with this first record belongs."""
    return folder / f"{first_sequence:0{_DIGITS}d}{SUFFIX}"


def segments(folder: Path) -> list[Segment]:
    """List the segments, oldest first. Other files are left alone."""
    found = []
    with suppress(FileNotFoundError):
        for path in folder.iterdir():
            name = path.name.removesuffix(DAMAGED)
            number = name.removesuffix(SUFFIX)
            if name.endswith(SUFFIX) and len(number) == _DIGITS and is_number(number):
                found.append(Segment(int(number), path, damaged=path.name.endswith(DAMAGED)))
    return sorted(found, key=lambda segment: (segment.first_sequence, segment.path.name))


def journals(root: Path) -> list[Path]:
    """List the folders of a root that may hold a journal."""
    try:
        return sorted(path for path in root.iterdir() if path.is_dir() and not path.is_symlink())
    except FileNotFoundError:
        return []


def used_bytes(folder: Path) -> int:
    """Bytes of all segments."""
    total = 0
    for segment in segments(folder):
        with suppress(FileNotFoundError):
            total += segment.path.stat().st_size
    return total


def read_passed(folder: Path) -> int:
    """Return the last sequence that need not be read again; 0 when nobody knows."""
    try:
        return int((folder / PASSED).read_text("ascii"))
    except (FileNotFoundError, ValueError, OSError):
        return 0


def write_passed(folder: Path, sequence: int) -> None:
    """Note how far the engine is. Not synced: an old number costs a longer replay, nothing else."""
    fresh = folder / f".{PASSED}"
    fresh.write_text(f"{sequence}\n", "ascii")
    fresh.chmod(0o600)
    os.replace(fresh, folder / PASSED)


def mark_damaged(segment: Segment) -> None:
    """Rename a segment with bytes that cannot be read; it still counts as a segment."""
    if segment.damaged:
        return
    with suppress(OSError):
        segment.path.rename(segment.path.with_name(segment.path.name + DAMAGED))


def let_go(folder: Path, passed: int) -> int:
    """Delete segments whose records are all passed (damaged ones go to quarantine); how many left.

    The newest segment stays: its writer may still be at it.
    """
    found = segments(folder)
    left = 0
    for segment, following in pairwise(found):
        if following.first_sequence > passed + 1:
            break
        with suppress(FileNotFoundError):
            if segment.damaged:
                _quarantine(segment)
            else:
                segment.path.unlink()
            left += 1
    return left


def _quarantine(segment: Segment) -> None:
    place = segment.path.parent / QUARANTINE
    place.mkdir(mode=0o700, exist_ok=True)
    target = place / segment.path.name
    number = 1
    while target.exists():
        number += 1
        target = place / f"{segment.path.name}-{number}"
    segment.path.rename(target)
    logger.warning("%s held bytes that cannot be read; it is kept as %s", segment.path.name, target)
