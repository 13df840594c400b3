"""Files that may be exchanged while we run: certificates, tokens, passwords, keys.

In: paths, and how to make a value of them. Out: the value of now. A change is seen by time, size or inode (a mounted
secret is exchanged by a symbolic link), looked for at most once every `every_s` seconds and only when somebody asks.
What is bad when we start is an error; what is bad later is said once, counted, and the value of before stays in use.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

from collector.contracts import Clock
from collector.telemetry import Snapshot, sample

T = TypeVar("T")
LOOK_EVERY_S = 1.0
FILE_BYTES_MAX = 2**20  # certificates, tokens and keys are small; a mistaken path is not read into memory

_Mark = tuple[tuple[int, int, int] | None, ...]

logger = logging.getLogger(__name__)


class FileFaultError(RuntimeError):
    """A file cannot be used; the message names it and says why."""


class Watched(Generic[T]):
    """What `read` makes of `paths`, made again when one of them changes. `current` on any thread.

    Parameters
    ----------
    what : name in logs and counters: few, fixed words
    read : makes the value; raises `FileFaultError`

    Raises
    ------
    FileFaultError
        The files are bad now.
    """

    def __init__(
        self,
        what: str,
        paths: Sequence[Path],
        read: Callable[[], T],
        clock: Clock,
        *,
        every_s: float = LOOK_EVERY_S,
    ) -> None:
        self._what, self._paths, self._read, self._clock = what, tuple(paths), read, clock
        self._every_ns = round(every_s * 1e9)
        self._lock = threading.Lock()
        self._mark = self._marks()
        self._value = read()
        self._look_at_ns = clock.monotonic_ns() + self._every_ns
        self._counts = {"ok": 0, "failed": 0}

    def current(self) -> T:
        """Return the newest good value; the same object until a file changes."""
        if self._clock.monotonic_ns() >= self._look_at_ns and self._lock.acquire(blocking=False):
            try:
                self._look()
                self._look_at_ns = self._clock.monotonic_ns() + self._every_ns
            finally:
                self._lock.release()
        return self._value

    def snapshot(self) -> Snapshot:
        """Copy the counters, for `Telemetry.register`."""
        return {sample("door_file_reloads", self._what, outcome): float(n) for outcome, n in self._counts.items()}

    def _look(self) -> None:
        marks = self._marks()
        if marks == self._mark:
            return
        # Set before reading: what is exchanged meanwhile looks different again at the next look.
        self._mark = marks
        try:
            self._value = self._read()
        except FileFaultError as fault:
            self._counts["failed"] += 1
            logger.error("%s: the new files are bad and the ones of before stay in use: %s", self._what, fault)
            return
        self._counts["ok"] += 1
        logger.info("%s: files read again", self._what)

    def _marks(self) -> _Mark:
        return tuple(_mark(path) for path in self._paths)


def read_bytes(path: Path, what: str) -> bytes:
    """Read a small file.

    Raises
    ------
    FileFaultError
        It cannot be read, is empty, or is larger than `FILE_BYTES_MAX`.
    """
    try:
        with path.open("rb") as file:
            found = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise FileFaultError(f"{what} {path} cannot be read: {error.strerror or error}") from error
    if not found.strip():
        raise FileFaultError(f"{what} {path} is empty")
    if len(found) > FILE_BYTES_MAX:
        raise FileFaultError(f"{what} {path} has more than {FILE_BYTES_MAX} bytes; is it the right file?")
    return found


def _mark(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size
