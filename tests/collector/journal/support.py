"""Disks that misbehave, and an engine that only listens."""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from collector.contracts import Signal
from collector.journal.disk import Disk
from collector.journal.replay import Replay


@dataclass
class Listening:
    """`NumberedHandover` that remembers; `room` False: the ring is full."""

    taken: list[tuple[bytes, Signal, int]] = field(default_factory=list)
    room: bool = True

    def has_room(self, length: int) -> bool:
        return self.room

    def offer(self, payload: bytes, signal: Signal, sequence: int = 0) -> bool:
        self.taken.append((payload, signal, sequence))
        return True


class QuickDisk(Disk):
    """Does not wait for the medium: for tests that end without a crash."""

    def sync(self, descriptor: int) -> None:
        """At once."""


class PowerCut(Exception):
    """The machine is off."""


class CutDisk(Disk):
    """Loses power at the n-th call: of what was not synced, some of the pages survive, whole or in part."""

    def __init__(self, seed: int, calls: int) -> None:
        self._random = random.Random(seed)
        self._left = calls
        self._synced: dict[int, int] = {}
        self._written: dict[int, tuple[Path, int]] = {}

    def create(self, path: Path) -> int:
        self._spend()
        descriptor = super().create(path)
        self._synced[descriptor] = 0
        self._written[descriptor] = (path, 0)
        return descriptor

    def write(self, descriptor: int, buffers: Sequence[bytes]) -> None:
        self._spend()
        super().write(descriptor, buffers)
        path, length = self._written[descriptor]
        self._written[descriptor] = (path, length + sum(map(len, buffers)))

    def sync(self, descriptor: int) -> None:
        self._spend()
        self._synced[descriptor] = self._written[descriptor][1]

    def close(self, descriptor: int) -> None:
        super().close(descriptor)
        self._lose(descriptor)

    def _spend(self) -> None:
        self._left -= 1
        if self._left < 0:
            for descriptor in list(self._written):
                self._lose(descriptor)
            raise PowerCut

    def _lose(self, descriptor: int) -> None:
        """What was not synced is gone, or zeros, or there after all, cut anywhere."""
        path, length = self._written.pop(descriptor)
        synced = self._synced.pop(descriptor)
        survived = self._random.randint(synced, length)
        data = bytearray(path.read_bytes()[:survived])
        if self._random.random() < 0.5:
            zeros = self._random.randint(synced, survived)
            data[zeros:] = bytes(survived - zeros)
        path.write_bytes(data)


class FullDisk(Disk):
    """Takes `room` bytes and no more, as a file system does: part of the last write may be there."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.fails_sync = False

    def write(self, descriptor: int, buffers: Sequence[bytes]) -> None:
        data = b"".join(buffers)
        os.write(descriptor, data[: self.room])
        if len(data) > self.room:
            self.room = 0
            raise OSError(errno.ENOSPC, "No space left on device")
        self.room -= len(data)

    def sync(self, descriptor: int) -> None:
        if self.fails_sync:
            self.fails_sync = False
            raise OSError(errno.EIO, "Input/output error")


def replayed(root: Path) -> list[tuple[bytes, Signal, str, int]]:
    """Everything a replay gives."""
    return drain(Replay(root))


def drain(replay: Replay) -> list[tuple[bytes, Signal, str, int]]:
    found = []
    while (item := replay.take()) is not None:
        payload, signal = item
        found.append((bytes(payload), signal, *replay.release()))
    return found
