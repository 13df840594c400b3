"""Request bytes from a receiver process to the engine, through shared memory.

One ring, one writer process, one reader process. The writer owns `written`, the reader owns `read`:
both only grow, and count bytes. What is between them is live and is never overwritten; when there is no
room `offer` says False and nothing was taken. A record never wraps: when the tail of the ring is too
short a filler record skips it. After each record a byte goes through a pipe: it wakes the reader, and
the system call orders the stores before the reader's loads on machines that reorder them.

The memory is anonymous (memfd), passed on by file descriptor: nothing is left behind by a crash, and
the small /dev/shm of a container is no limit. Only the first `_CALM_BYTES` are used while the reader
keeps up, so a large ring does not cost a large resident set.

Never holds ids of interned strings: bytes only.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import select
import tempfile
from dataclasses import dataclass

import numpy as np

from collector.contracts import Signal

_HEADER_BYTES = 64  # written, read, offered, refused: each in its own word
_RECORD_BYTES = 16  # length; signal in the low byte, above it the request's number in the journal
_ALIGN = 16
_FILLER = 255
_SIGNAL_BITS = 8
_CALM_BYTES = 8 * 2**20  # where an empty ring starts over; about the size of a shared cache


@dataclass(frozen=True, slots=True)
class RingFds:
    """The three descriptors of a ring, passed to the processes that use it."""

    memory: int
    wake_read: int
    wake_write: int


def _padded(length: int) -> int:
    return (length + _ALIGN - 1) // _ALIGN * _ALIGN


class _Ring:
    def __init__(self, memory_fd: int) -> None:
        self._map = mmap.mmap(memory_fd, 0)
        self._words: np.ndarray[tuple[int], np.dtype[np.uint64]] = np.frombuffer(
            self._map, np.uint64, _HEADER_BYTES // 8
        )
        self._capacity = (len(self._map) - _HEADER_BYTES) // _ALIGN * _ALIGN
        self._data: np.ndarray[tuple[int], np.dtype[np.uint8]] = np.frombuffer(
            self._map, np.uint8, self._capacity, _HEADER_BYTES
        )
        self._heads: np.ndarray[tuple[int], np.dtype[np.uint64]] = self._data.view(np.uint64)

    @property
    def capacity_bytes(self) -> int:
        return self._capacity

    @property
    def used_bytes(self) -> int:
        return int(self._words[0]) - int(self._words[1])

    @property
    def read_position(self) -> int:
        """Where in the ring the next record to read begins, in bytes."""
        return int(self._words[1]) % self._capacity

    def _let_go(self) -> None:
        del self._words, self._data, self._heads
        self._map.close()


class RingWriter(_Ring):
    """The receiver's end. One thread at a time (who hands over holds a lock)."""

    def __init__(self, memory_fd: int, wake_fd: int) -> None:
        super().__init__(memory_fd)
        self._wake_fd = wake_fd
        self.refused_count = 0

    def has_room(self, length: int) -> bool:
        """Whether a request of this many bytes would fit now, wherever the ring stands."""
        return self.used_bytes + 2 * (_RECORD_BYTES + _padded(length)) <= self._capacity

    def offer(self, payload: bytes, signal: Signal, sequence: int = 0) -> bool:
        """Copy one request into the ring; False when the reader has not made room for it."""
        need = _RECORD_BYTES + _padded(len(payload))
        written, read = int(self._words[0]), int(self._words[1])
        at = written % self._capacity
        calm = written == read and at > _CALM_BYTES and need <= at
        skip = self._capacity - at if calm or at + need > self._capacity else 0
        if need > self._capacity or written + skip + need - read > self._capacity:
            self.refused_count += 1
            return False
        if skip:
            self._head(at, skip - _RECORD_BYTES, _FILLER)
            at = 0
        self._head(at, len(payload), sequence << _SIGNAL_BITS | int(signal))
        start = at + _RECORD_BYTES
        self._data[start : start + len(payload)] = np.frombuffer(payload, np.uint8)
        self._words[0] = written + skip + need
        with contextlib.suppress(BlockingIOError):  # a pipe full of wake-ups: the reader will come
            os.write(self._wake_fd, b"\0")
        return True

    def _head(self, at: int, length: int, kind: int) -> None:
        self._heads[at // 8] = length
        self._heads[at // 8 + 1] = kind

    def close(self) -> None:
        self._let_go()
        os.close(self._wake_fd)


class RingReader(_Ring):
    """The engine's end. One thread."""

    def __init__(self, memory_fd: int, wake_fd: int) -> None:
        super().__init__(memory_fd)
        self.wake_fd = wake_fd

    def take(self) -> tuple[memoryview, Signal] | None:
        """Return the oldest request without copying it, or None.

        The bytes stay valid until `release`; take and release alternate.
        """
        while True:
            read = int(self._words[1])
            if read == int(self._words[0]):
                return None
            at = read % self._capacity
            length, kind = int(self._heads[at // 8]), int(self._heads[at // 8 + 1]) & 0xFF
            if kind == _FILLER:
                self._words[1] = read + length + _RECORD_BYTES
                continue
            start = at + _RECORD_BYTES
            return self._data[start : start + length].data, Signal(kind)

    def release(self) -> int:
        """Give the room of the request that was taken back to the writer; its number in the journal, or 0."""
        read = int(self._words[1])
        at = read % self._capacity // 8
        length, sequence = int(self._heads[at]), int(self._heads[at + 1]) >> _SIGNAL_BITS
        self._words[1] = read + _RECORD_BYTES + _padded(length)
        return sequence

    def clear_wakeups(self) -> None:
        try:
            while len(os.read(self.wake_fd, 65_536)) == 65_536:
                pass
        except BlockingIOError:
            pass

    def close(self) -> None:
        self._let_go()
        os.close(self.wake_fd)


def wait_any(readers: list[RingReader], timeout_s: float, extra_fds: tuple[int, ...] = ()) -> list[int]:
    """Sleep until a ring has something, another descriptor is ready, or the time is over; ready descriptors."""
    fds = [reader.wake_fd for reader in readers]
    ready, _, _ = select.select([*fds, *extra_fds], [], [], max(0.0, timeout_s))
    return ready


def create_ring(request_bytes_max: int) -> RingFds:
    """Make a ring that an empty reader can always fit one largest request into."""
    size = _HEADER_BYTES + 2 * (_RECORD_BYTES + _padded(request_bytes_max))
    memory = os.memfd_create("firstfault-ring") if hasattr(os, "memfd_create") else _unnamed_file()
    os.ftruncate(memory, size)
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_read, False)
    os.set_blocking(wake_write, False)
    return RingFds(memory, wake_read, wake_write)


def _unnamed_file() -> int:
    """A deleted temporary file, where the system has no memfd."""
    handle, path = tempfile.mkstemp(prefix="firstfault-ring-")
    os.unlink(path)
    return handle
