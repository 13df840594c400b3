"""The bytes of a segment: a header, then records, each with a checksum of its own.

    segment  | FFJOURNL | version u16 | 0 u16 | first sequence u64 | crc u32 |
    record   | FFJR     | length u32  | sequence u64 | signal u8 | coding u8 | 0 u16 | crc u32 | payload |

Little endian. A checksum (CRC-32C) covers what follows the mark and the payload. A reader that meets bytes it
cannot believe looks for the next record that it can: one bad sector costs the records in it, not those behind.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

import google_crc32c

from collector.contracts import Signal

MARK = b"FFJR"
SEGMENT_MARK = b"FFJOURNL"
VERSION = 1
PLAIN, ZSTD = 0, 1
_HEADER = struct.Struct("<8sHHQI")
_RECORD = struct.Struct("<4sIQBBHI")
_COVERED = struct.Struct("<IQBBH")  # of a record: what its checksum covers before the payload
HEADER_BYTES = _HEADER.size
RECORD_BYTES = _RECORD.size
# A payload may be full of marks, each with a length that wants checking: the search gives up in time.
_SEARCH_FACTOR = 4
_SEARCH_BYTES_MIN = 1 << 20


class NewerSegmentError(Exception):
    """The segment was written by a newer version."""


@dataclass(frozen=True, slots=True)
class Record:
    """One request as it was acknowledged."""

    sequence: int
    signal: Signal
    coding: int
    payload: memoryview


@dataclass(frozen=True, slots=True)
class Damage:
    """Bytes that are no record.

    torn : nothing readable follows, and the bytes end before the record they announce, or are zeros: a write
        that a crash cut short, which nobody was told of
    """

    offset: int
    length: int
    torn: bool


def segment_header(first_sequence: int) -> bytes:
    """Return the header of a segment."""
    start = _HEADER.pack(SEGMENT_MARK, VERSION, 0, first_sequence, 0)[:-4]
    return start + struct.pack("<I", google_crc32c.value(start))


def record_header(sequence: int, signal: Signal, coding: int, payload: bytes) -> bytes:
    """Return what stands before the payload of a record."""
    covered = _COVERED.pack(len(payload), sequence, int(signal), coding, 0)
    crc = google_crc32c.extend(google_crc32c.value(covered), payload)
    return MARK + covered + struct.pack("<I", crc)


def read_segment(data: bytes) -> Iterator[Record | Damage]:
    """Walk a segment: its records in order, and what could not be read between them.

    Raises
    ------
    NewerSegmentError
        Its version is above ours.
    """
    view = memoryview(data)
    at = _header_end(data)
    if at == 0 and data:
        at = _next_record(data, 0)
        yield Damage(0, at, torn=at == len(data) and (len(data) < HEADER_BYTES or not any(data)))
    while at < len(data):
        found = _record_at(data, view, at)
        if found is not None:
            yield found
            at += RECORD_BYTES + len(found.payload)
            continue
        end = _next_record(data, at + 1)
        yield Damage(at, end - at, torn=end == len(data) and _is_torn(data, at))
        at = end


def header_sequence(data: bytes) -> int | None:
    """Return the first sequence a segment's header names; None when the header cannot be believed."""
    return int(_HEADER.unpack_from(data)[3]) if _header_end(data) else None


def _header_end(data: bytes) -> int:
    """Where the records begin; 0 when the header cannot be believed."""
    if len(data) < HEADER_BYTES:
        return 0
    mark, version, _, _, crc = _HEADER.unpack_from(data)
    if mark != SEGMENT_MARK or google_crc32c.value(data[: HEADER_BYTES - 4]) != crc:
        return 0
    if version > VERSION:
        raise NewerSegmentError(f"segment version {version}; this program knows {VERSION}")
    return HEADER_BYTES


def _record_at(data: bytes, view: memoryview, at: int) -> Record | None:
    if at + RECORD_BYTES > len(data):
        return None
    mark, length, sequence, signal, coding, _, crc = _RECORD.unpack_from(data, at)
    end = at + RECORD_BYTES + length
    if mark != MARK or end > len(data) or signal > Signal.METRICS or coding > ZSTD:
        return None
    payload = data[at + RECORD_BYTES : end]
    covered = data[at + len(MARK) : at + RECORD_BYTES - 4]
    if google_crc32c.extend(google_crc32c.value(covered), payload) != crc:
        return None
    return Record(sequence, Signal(signal), coding, view[at + RECORD_BYTES : end])


def _next_record(data: bytes, at: int) -> int:
    """Where the next record that can be believed begins; the end when there is none."""
    view = memoryview(data)
    checked = 0
    while (at := data.find(MARK, at)) >= 0:
        if _record_at(data, view, at) is not None:
            return at
        if at + RECORD_BYTES <= len(data):
            length = int(_RECORD.unpack_from(data, at)[1])
            checked += length if at + RECORD_BYTES + length <= len(data) else 0
        if checked > _SEARCH_BYTES_MIN + _SEARCH_FACTOR * len(data):
            break
        at += 1
    return len(data)


def _is_torn(data: bytes, at: int) -> bool:
    if at + RECORD_BYTES > len(data) or not any(data[at:]):
        return True
    mark, length = _RECORD.unpack_from(data, at)[:2]
    return bool(mark == MARK and at + RECORD_BYTES + length > len(data))
