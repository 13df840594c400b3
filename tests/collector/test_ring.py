"""Bytes cross the ring whole, in order, once; nothing live is ever overwritten."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.contracts import Signal
from collector.ring import RingReader, RingWriter, create_ring, wait_any


@pytest.fixture
def ends() -> Iterator[tuple[RingWriter, RingReader]]:
    writer, reader = open_ends()
    yield writer, reader
    reader.close()
    writer.close()


def open_ends() -> tuple[RingWriter, RingReader]:
    fds = create_ring(2048)
    ends = RingWriter(fds.memory, fds.wake_write), RingReader(fds.memory, fds.wake_read)
    os.close(fds.memory)
    return ends


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


@settings(max_examples=60, deadline=None)
@given(st.lists(st.one_of(st.integers(0, 2048), st.just(-1)), max_size=200))
def test_any_order_of_offers_and_takes_is_a_queue(steps: list[int]):
    """-1 takes, n offers n bytes: the ring behaves as a bounded queue, over many wraps."""
    writer, reader = open_ends()
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
