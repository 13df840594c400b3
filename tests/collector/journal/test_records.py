"""What was written is read; what cannot be believed costs itself and nothing behind it."""

from __future__ import annotations

import struct

import google_crc32c
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.contracts import Signal
from collector.journal.records import (
    HEADER_BYTES,
    MARK,
    PLAIN,
    RECORD_BYTES,
    Damage,
    NewerSegmentError,
    Record,
    header_sequence,
    read_segment,
    record_header,
    segment_header,
)

PAYLOADS = st.lists(st.one_of(st.binary(max_size=60), st.just(MARK * 9), st.just(b"")), min_size=1, max_size=6)


def segment(payloads: list[bytes], first: int = 1) -> bytes:
    body = b"".join(
        record_header(first + n, Signal.TRACES, PLAIN, payload) + payload for n, payload in enumerate(payloads)
    )
    return segment_header(first) + body


def read(data: bytes) -> tuple[list[tuple[int, bytes]], list[Damage]]:
    found = list(read_segment(data))
    records = [(one.sequence, bytes(one.payload)) for one in found if isinstance(one, Record)]
    return records, [one for one in found if isinstance(one, Damage)]


@given(PAYLOADS, st.integers(1, 2**40))
def test_what_was_written_is_read(payloads: list[bytes], first: int):
    records, damage = read(segment(payloads, first))

    assert records == list(enumerate(payloads, first))
    assert damage == []
    assert header_sequence(segment(payloads, first)) == first


@settings(max_examples=300)
@given(PAYLOADS, st.data())
def test_one_flipped_bit_costs_one_record(payloads: list[bytes], data: st.DataObject):
    whole = bytearray(segment(payloads))
    at = data.draw(st.integers(0, len(whole) - 1))
    whole[at] ^= 1 << data.draw(st.integers(0, 7))

    records, damage = read(bytes(whole))

    written = list(enumerate(payloads, 1))
    assert len(damage) == 1
    assert len(records) >= len(written) - (at >= HEADER_BYTES)
    assert set(records) <= set(written)


@settings(max_examples=300)
@given(PAYLOADS, st.data())
def test_a_cut_tail_is_torn_and_no_damage(payloads: list[bytes], data: st.DataObject):
    """What stood whole before the cut is read."""
    whole = segment(payloads)
    cut = data.draw(st.integers(0, len(whole)))

    records, damage = read(whole[:cut])

    ends, at = [], HEADER_BYTES
    for payload in payloads:
        at += RECORD_BYTES + len(payload)
        ends.append(at)
    assert records == [(n + 1, payload) for n, payload in enumerate(payloads) if ends[n] <= cut]
    assert all(one.torn for one in damage)


@given(PAYLOADS, st.integers(1, 5000))
def test_a_tail_of_zeros_is_torn(payloads: list[bytes], zeros: int):
    """Pages that were promised to the file and never written."""
    records, damage = read(segment(payloads) + bytes(zeros))

    assert len(records) == len(payloads)
    assert [one.torn for one in damage] == [True]


@given(st.binary(max_size=400))
def test_noise_is_no_record_and_no_error(noise: bytes):
    records, _ = read(noise)

    assert records == []


def test_a_segment_full_of_false_marks_is_searched_in_linear_time():
    """Each mark promises a record of everything behind it; the search gives up instead of checking them all."""
    false = MARK + (2**21).to_bytes(4, "little")
    data = segment([false * (2**22 // len(false))])
    broken = data[: HEADER_BYTES + 8] + b"\xff" + data[HEADER_BYTES + 9 :]

    records, damage = read(broken)

    assert records == []
    assert len(damage) == 1


def test_a_newer_version_is_said():
    newer = bytearray(segment([b"x"]))
    newer[8] = 2
    newer[HEADER_BYTES - 4 : HEADER_BYTES] = struct.pack("<I", google_crc32c.value(bytes(newer[: HEADER_BYTES - 4])))

    with pytest.raises(NewerSegmentError, match="version 2"):
        list(read_segment(bytes(newer)))
