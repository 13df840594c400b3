"""The few calls a journal makes to the system, in one place: tests bring a disk that fills up or loses power."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

_BUFFERS_MAX = 512  # of one writev; the system takes 1024


class Disk:
    """Files of a journal. Any thread; a file has one writer."""

    def make_folder(self, path: Path) -> None:
        """Make a journal's folder, the root of all journals and the storage directory: each ours alone."""
        for folder in (path.parent.parent, path.parent, path):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def create(self, path: Path) -> int:
        """Open a new file (0600), never through a link; the name is on disk when it returns.

        Raises
        ------
        OSError
            It is there already, or the disk does not write.
        """
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(path, flags, 0o600)
        try:
            self._sync_folder(path.parent)
        except OSError:
            os.close(descriptor)
            raise
        return descriptor

    def write(self, descriptor: int, buffers: Sequence[bytes]) -> None:
        """Append all of it.

        Raises
        ------
        OSError
            The disk is full or does not write; any part of it may be there.
        """
        for start in range(0, len(buffers), _BUFFERS_MAX):
            part = buffers[start : start + _BUFFERS_MAX]
            written = os.writev(descriptor, part)
            if written < sum(map(len, part)):
                rest = memoryview(b"".join(part))[written:]
                while rest:
                    rest = rest[os.write(descriptor, rest) :]

    def sync(self, descriptor: int) -> None:
        os.fdatasync(descriptor)

    def cut(self, descriptor: int, length: int) -> None:
        """Take back what was written behind `length`."""
        os.ftruncate(descriptor, length)
        os.lseek(descriptor, length, os.SEEK_SET)

    def remove(self, path: Path) -> bool:
        """Delete a file that holds nothing; whether it is gone."""
        try:
            path.unlink()
        except OSError:
            return False
        return True

    def close(self, descriptor: int) -> None:
        os.close(descriptor)

    def _sync_folder(self, folder: Path) -> None:
        descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
