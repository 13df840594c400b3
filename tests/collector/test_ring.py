"""Bytes cross the ring whole, in order, once; nothing live is ever overwritten."""

from __future__ import annotations

import mmap
import os
from collections import deque
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.contracts import Signal
from collector.ring import ROOM_BYTES, RingReader, RingWriter, create_ring, wait_any


@pytest.fixture
def ends() -> Iterator[tuple[RingWriter, RingReader]]:
    writer, reader = open_ends()
    yield writer, reader
    reader.close()
    writer.close()


def open_ends(request_bytes_max: int = 2048, room_bytes: int = 2**20) -> tuple[RingWriter, RingReader]:
    fds = create_ring(request_bytes_max, room_bytes)
    ends = RingWriter(fds.memory, fds.wake_write), RingReader(fds.memory, fds.wake_read)
    os.close(fds.memory)
    return ends


def close(writer: RingWriter, reader: RingReader, *fds: int) -> None:
    reader.close()
    writer.close()
    for fd in fds:
        os.close(fd)


def test_a_request_crosses_unchanged(ends: tuple[RingWriter, RingReader]):
    writer, reader = ends

    assert writer.offer(b"hello", Signal.LOGS)
    taken = reader.take()

    assert taken is not None
    assert (bytes(taken[0]), taken[1]) == (b"hello", Signal.LOGS)
    reader.release()
    assert reader.take() is None


def test_a_full_ring_refuses_and_takes_nothing(ends: tuple[RingWriter, RingReader]):
    """False means: not a byte of it is there."""
    writer, reader = ends
    while writer.offer(bytes(1000), Signal.TRACES):
        pass
    used = reader.used_bytes

    assert not writer.offer(bytes(1000), Signal.TRACES)
    assert reader.used_bytes == used
    assert writer.refused_count == 2


def test_a_request_larger_than_the_ring_is_refused(ends: tuple[RingWriter, RingReader]):
    writer, _ = ends

    assert not writer.offer(bytes(5000), Signal.TRACES)


def test_the_reader_is_woken(ends: tuple[RingWriter, RingReader]):
    writer, reader = ends
    assert wait_any([reader], 0) == []

    writer.offer(b"x", Signal.TRACES)

    assert wait_any([reader], 5) == [reader.wake_fd]
    reader.clear_wakeups()
    assert wait_any([reader], 0) == []


def test_a_calm_ring_starts_over_early(monkeypatch: pytest.MonkeyPatch):
    """While the reader keeps up only the first bytes of the ring are ever touched."""
    monkeypatch.setattr("collector.ring._CALM_BYTES", 500)
    writer, reader = open_ends()
    ends = []
    for number in range(50):
        assert writer.offer(bytes([number]) * 300, Signal.TRACES)
        taken = reader.take()
        assert taken is not None
        assert bytes(taken[0]) == bytes([number]) * 300
        del taken
        ends.append(reader.read_position)
        reader.release()
    reader.close()
    writer.close()

    assert max(ends) < 1200


def test_a_flood_of_ordinary_requests_touches_the_room_only():
    """The largest request may have 64 MiB; that no ring of that size is walked through is what keeps memory small."""
    fds = create_ring(64 * 2**20)
    writer, reader = RingWriter(fds.memory, fds.wake_write), RingReader(fds.memory, fds.wake_read)
    payload = bytes(2**20)
    for _ in range(100):
        while writer.offer(payload, Signal.TRACES):
            pass
        assert reader.take() is not None
        reader.release()

    assert os.fstat(fds.memory).st_blocks * 512 <= ROOM_BYTES + 2 * mmap.PAGESIZE
    close(writer, reader, fds.memory)


def test_a_large_request_leaves_no_pages_behind():
    fds = create_ring(64 * 2**20)
    writer, reader = RingWriter(fds.memory, fds.wake_write), RingReader(fds.memory, fds.wake_read)
    payload = bytes(range(256)) * 2**18

    assert writer.offer(payload, Signal.LOGS, sequence=7)
    assert os.fstat(fds.memory).st_blocks * 512 > len(payload)
    taken = reader.take()
    assert taken is not None
    assert (bytes(taken[0]), taken[1]) == (payload, Signal.LOGS)
    del taken
    assert reader.release() == 7

    assert os.fstat(fds.memory).st_blocks * 512 <= 2 * mmap.PAGESIZE
    close(writer, reader, fds.memory)


def test_a_large_request_keeps_its_place():
    """What was offered before it and after it is read before it and after it; a second large one has to wait."""
    writer, reader = open_ends(request_bytes_max=4096, room_bytes=1024)
    offered = [b"a" * 100, b"b" * 4096, b"c" * 100]
    for payload in offered:
        assert writer.offer(payload, Signal.TRACES)

    assert not writer.has_room(4096)
    assert not writer.offer(b"d" * 4096, Signal.TRACES)
    read = []
    for _ in offered:
        taken = reader.take()
        assert taken is not None
        read.append(bytes(taken[0]))
        del taken
        reader.release()
    assert read == offered
    assert writer.has_room(4096)
    assert writer.offer(b"d" * 4096, Signal.TRACES)
    close(writer, reader)


def test_a_writer_that_died_inside_a_large_request_blocks_nobody():
    """It had noted where the request would end, and the record was never there."""
    fds = create_ring(4096, 1024)
    writer, reader = RingWriter(fds.memory, fds.wake_write), RingReader(fds.memory, fds.wake_read)
    os.pwrite(fds.memory, (5000).to_bytes(8, "little"), 2 * 8)

    assert writer.offer(bytes(4096), Signal.TRACES)
    close(writer, reader, fds.memory)


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from((1024, 2**20)),  # half of the sizes go through the slot; none does
    st.lists(st.one_of(st.integers(0, 2048), st.just(-1)), max_size=200),
)
def test_any_order_of_offers_and_takes_is_a_queue(room_bytes: int, steps: list[int]):
    """-1 takes, n offers n bytes: the ring behaves as a bounded queue, over many wraps."""
    writer, reader = open_ends(room_bytes=room_bytes)
    expected: deque[bytes] = deque()
    try:
        for number, step in enumerate(steps):
            if step >= 0:
                payload = bytes([number % 251]) * step
                if writer.offer(payload, Signal.TRACES):
                    expected.append(payload)
                else:
                    assert expected, "an empty ring must take anything that fits"
            else:
                taken = reader.take()
                assert (bytes(taken[0]) if taken else None) == (expected.popleft() if expected else None)
                if taken:
                    del taken
                    reader.release()
    finally:
        reader.close()
        writer.close()
