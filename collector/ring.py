"""Request bytes from a receiver process to the engine, through shared memory.

One ring, one writer process, one reader process. The writer owns `written`, the reader owns `read`:
both only grow, and count bytes. What is between them is live and is never overwritten; when there is no
room `offer` says False and nothing was taken. A record never wraps: when the tail of the ring is too
short a filler record skips it. After each record a byte goes through a pipe: it wakes the reader, and
the system call orders the stores before the reader's loads on machines that reorder them.

The memory is anonymous (memfd), passed on by file descriptor: nothing is left behind by a crash, and
the small /dev/shm of a container is no limit. Pages that were touched stay resident, so the ring has room for
ordinary requests only (`ROOM_BYTES`), and of that only the first `_CALM_BYTES` are used while the reader keeps up.
A request of more than half the room goes through a slot behind the ring, one at a time; its record in the ring
keeps the order, and its pages go back to the system as soon as it is read.

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

ROOM_BYTES = 16 * 2**20  # two requests of 8 MiB
FLOOD_BYTES = 32 * 2**20  # of all rings: what receivers take in the tenth of a second that the engine stands still

_HEADER_BYTES = 64  # words: written, read, where the record of the slot's request ends, capacity
_RECORD_BYTES = 16  # length; signal in the low byte, above it the request's number in the journal
_ALIGN = 16
_FILLER = 255
_IN_SLOT = 64  # added to the signal: the bytes are not behind the head but in the slot
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
        self._capacity = int(self._words[3])
        self._ordinary_max = _ordinary_max(self._capacity)
        self._data: np.ndarray[tuple[int], np.dtype[np.uint8]] = np.frombuffer(
            self._map, np.uint8, self._capacity, _HEADER_BYTES
        )
        self._heads: np.ndarray[tuple[int], np.dtype[np.uint64]] = self._data.view(np.uint64)
        self._slot_at = _slot_at(self._capacity)
        self._slot: np.ndarray[tuple[int], np.dtype[np.uint8]] = np.frombuffer(
            self._map, np.uint8, len(self._map) - self._slot_at, self._slot_at
        )

    @property
    def capacity_bytes(self) -> int:
        return self._capacity

    @property
    def used_bytes(self) -> int:
        """Bytes of the ring that are not read yet; of a request in the slot, its head."""
        return int(self._words[0]) - int(self._words[1])

    @property
    def read_position(self) -> int:
        """Where in the ring the next record to read begins, in bytes."""
        return int(self._words[1]) % self._capacity

    def _let_go(self) -> None:
        del self._words, self._data, self._heads, self._slot
        self._map.close()


class RingWriter(_Ring):
    """The receiver's end. One thread at a time (who hands over holds a lock)."""

    def __init__(self, memory_fd: int, wake_fd: int) -> None:
        super().__init__(memory_fd)
        self._wake_fd = wake_fd
        self.refused_count = 0

    def has_room(self, length: int) -> bool:
        """Whether a request of this many bytes would fit now, wherever the ring stands."""
        is_large = length > self._ordinary_max
        need = _RECORD_BYTES if is_large else _RECORD_BYTES + _padded(length)
        return self.used_bytes + 2 * need <= self._capacity and not (is_large and self._is_slot_taken())

    def offer(self, payload: bytes, signal: Signal, sequence: int = 0) -> bool:
        """Copy one request into the ring; False when the reader has not made room for it."""
        length = len(payload)
        is_large = length > self._ordinary_max
        need = _RECORD_BYTES if is_large else _RECORD_BYTES + _padded(length)
        written, read = int(self._words[0]), int(self._words[1])
        at = written % self._capacity
        calm = written == read and at > _CALM_BYTES and need <= at
        skip = self._capacity - at if calm or at + need > self._capacity else 0
        if written + skip + need - read > self._capacity or (
            is_large and (length > len(self._slot) or self._is_slot_taken())
        ):
            self.refused_count += 1
            return False
        if skip:
            self._head(at, skip - _RECORD_BYTES, _FILLER)
            at = 0
        self._head(at, length, sequence << _SIGNAL_BITS | (int(signal) + _IN_SLOT * is_large))
        target = self._slot if is_large else self._data[at + _RECORD_BYTES :]
        target[:length] = np.frombuffer(payload, np.uint8)
        end = written + skip + need
        if is_large:
            self._words[2] = end
        self._words[0] = end
        with contextlib.suppress(BlockingIOError):  # a pipe full of wake-ups: the reader will come
            os.write(self._wake_fd, b"\0")
        return True

    def _is_slot_taken(self) -> bool:
        # A writer that died may have noted an end it did not get to: no record stands behind `written`.
        return bool(self._words[1] < min(self._words[2], self._words[0]))

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
            if kind >= _IN_SLOT:
                return self._slot[:length].data, Signal(kind - _IN_SLOT)
            start = at + _RECORD_BYTES
            return self._data[start : start + length].data, Signal(kind)

    def release(self) -> int:
        """Give the room of the request that was taken back to the writer; its number in the journal, or 0."""
        read = int(self._words[1])
        at = read % self._capacity // 8
        length, word = int(self._heads[at]), int(self._heads[at + 1])
        if word & 0xFF >= _IN_SLOT:
            length = 0
            if hasattr(mmap, "MADV_REMOVE"):
                self._map.madvise(mmap.MADV_REMOVE, self._slot_at)
        self._words[1] = read + _RECORD_BYTES + _padded(length)
        return word >> _SIGNAL_BITS

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
    poll = select.poll()  # select() knows no descriptor over 1023
    for fd in (*(reader.wake_fd for reader in readers), *extra_fds):
        poll.register(fd, select.POLLIN)
    return [fd for fd, _ in poll.poll(max(0.0, timeout_s) * 1000)]


def _ordinary_max(capacity: int) -> int:
    """Longest request that goes through the ring: an empty one has room for it wherever it stands."""
    return capacity // 2 // _ALIGN * _ALIGN - _RECORD_BYTES


def _slot_at(capacity: int) -> int:
    """Where the slot begins: on a page of its own, so that its pages can be given back."""
    return -(-(_HEADER_BYTES + capacity) // mmap.PAGESIZE) * mmap.PAGESIZE


def create_ring(request_bytes_max: int, room_bytes: int = ROOM_BYTES) -> RingFds:
    """Make a ring that always takes one largest request when it is empty.

    Parameters
    ----------
    request_bytes_max : the largest request
    room_bytes : for ordinary ones; no more is made than two of the largest need
    """
    capacity = min(room_bytes // _ALIGN * _ALIGN, 2 * (_RECORD_BYTES + _padded(request_bytes_max)))
    slot_bytes = request_bytes_max if request_bytes_max > _ordinary_max(capacity) else 0
    memory = os.memfd_create("firstfault-ring") if hasattr(os, "memfd_create") else _unnamed_file()
    os.ftruncate(memory, _slot_at(capacity) + slot_bytes)
    os.pwrite(memory, np.uint64(capacity).tobytes(), 3 * 8)
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_read, False)
    os.set_blocking(wake_write, False)
    return RingFds(memory, wake_read, wake_write)


def _unnamed_file() -> int:
    """A deleted temporary file, where the system has no memfd."""
    handle, path = tempfile.mkstemp(prefix="firstfault-ring-")
    os.unlink(path)
    return handle
