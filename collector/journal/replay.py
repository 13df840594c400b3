"""Reads journals back: at the start of an engine, before anything new is taken.

In: the root of all journals. Out: the requests that were acknowledged and perhaps not decided, oldest first,
journal by journal. A journal whose receiver no longer exists is read too. Damage costs the records in it; it is
counted, the file is renamed, and what can be read behind it is read.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from backports import zstd

from collector.contracts import Signal
from collector.journal.folder import Segment, journals, mark_damaged, read_passed, segments
from collector.journal.gaps import Gaps
from collector.journal.records import HEADER_BYTES, ZSTD, NewerSegmentError, Record, header_sequence, read_segment
from collector.telemetry import Snapshot

logger = logging.getLogger(__name__)

PAYLOAD_BYTES_MAX = 1 << 30  # of one record, inflated: more than any door lets in


@dataclass(slots=True)
class ReplayCounts:
    """What was found."""

    records: int = 0
    damaged: int = 0
    torn: int = 0
    unreadable_files: int = 0
    missing: int = 0


class Replay:
    """`Source` over all journals of a root. Owner: the engine's thread.

    `release` tells where the request stood: its journal's folder name and its number.
    """

    def __init__(self, root: Path) -> None:
        self.counts = ReplayCounts()
        self.last: dict[str, int] = {}  # the newest record of every journal
        self._records = self._walk(root)
        self._head: tuple[memoryview | bytes, Signal, str, int] | None = None

    def wait(self, timeout_s: float) -> None:
        """Nothing more will come."""

    def take(self) -> tuple[memoryview | bytes, Signal] | None:
        """Return the oldest request that was not released, or None at the end."""
        if self._head is None:
            self._head = next(self._records, None)
        return None if self._head is None else self._head[:2]

    def release(self) -> tuple[str, int]:
        """Go on to the next one."""
        assert self._head is not None
        _, _, name, sequence = self._head
        self._head = None
        return name, sequence

    def snapshot(self) -> Snapshot:
        return {
            "journal_recovery_lost_records": self.counts.damaged + self.counts.unreadable_files,
            "journal_missing_records": self.counts.missing,
            "journal_torn_tails": self.counts.torn,
        }

    def _walk(self, root: Path) -> Iterator[tuple[memoryview | bytes, Signal, str, int]]:
        for folder in journals(root):
            passed = read_passed(folder)
            gaps = Gaps(passed)
            for segment in segments(folder):  # by its name a segment may look passed; its records decide
                for record in self._read(segment):
                    self.last[folder.name] = max(record.sequence, self.last.get(folder.name, 0))
                    gaps.see(record.sequence)
                    if record.sequence > passed:
                        payload = _payload(record)
                        if payload is None:
                            self.counts.damaged += 1
                            continue
                        self.counts.records += 1
                        yield payload, record.signal, folder.name, record.sequence
            if gaps.count:
                self.counts.missing += gaps.count
                logger.error("%s: %d records are missing between those that were read", folder, gaps.count)

    def _read(self, segment: Segment) -> Iterator[Record]:
        bad = False
        try:
            data = segment.path.read_bytes()
            if header_sequence(data) not in (None, segment.first_sequence):
                bad = True
                self.counts.damaged += 1
                logger.error("%s does not hold the records its name says; it was moved or copied", segment.path)
            for found in read_segment(data):
                if isinstance(found, Record):
                    yield found
                elif found.torn:
                    self.counts.torn += 1
                    logger.info("%s ends with a write that was cut short", segment.path)
                else:
                    bad = True
                    self.counts.damaged += 1
                    logger.error("%s: %d bytes at %d cannot be read", segment.path, found.length, found.offset)
        except (OSError, NewerSegmentError) as error:
            bad = True
            self.counts.unreadable_files += 1
            logger.error("%s cannot be read (%s); work goes on without it", segment.path, error)
        if bad:
            mark_damaged(segment)  # also under its writer: a descriptor does not mind


def _payload(record: Record) -> memoryview | bytes | None:
    if record.coding != ZSTD:
        return record.payload
    try:
        inflater = zstd.ZstdDecompressor()
        payload = inflater.decompress(record.payload, PAYLOAD_BYTES_MAX)
        return payload if inflater.eof else None
    except zstd.ZstdError:
        return None


def last_sequence(folder: Path) -> int:
    """Return the number of the newest record of a journal, 0 when it is empty.

    A segment may stand under a wrong name: its header decides which one is the newest.
    """
    newest = read_passed(folder)
    last: tuple[int, Path] | None = None
    for segment in segments(folder):
        first = _first_sequence(segment.path) or segment.first_sequence
        newest = max(newest, first - 1, segment.first_sequence - 1)
        last = max(last or (0, segment.path), (first, segment.path))
    if last is not None:
        try:
            found = read_segment(last[1].read_bytes())
            newest = max([newest, *(one.sequence for one in found if isinstance(one, Record))])
        except (OSError, NewerSegmentError) as error:
            logger.warning("%s cannot be read: %s", last[1], error)
    return newest


def _first_sequence(path: Path) -> int:
    try:
        with path.open("rb") as file:
            return header_sequence(file.read(HEADER_BYTES)) or 0
    except (OSError, NewerSegmentError):
        return 0
