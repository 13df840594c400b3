"""One writer a directory: made private, locked for as long as the writer lives.

In: a directory. Out: the right to write it. The lock is the kernel's: it ends with the process, so a
killed writer leaves nothing to clean up.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path


class StoreInUseError(RuntimeError):
    """Another process writes this directory."""


class Ownership:
    """Held from construction to `release`.

    Raises
    ------
    StoreInUseError
        Somebody else holds it.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with suppress(PermissionError):  # a mounted volume's own directory: its mode is the administrator's
            folder.chmod(0o700)
        path = folder / "writer.lock"
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self.release()
            raise StoreInUseError(
                f"{folder} is written by another process; expected one writer a directory. "
                "Stop the other, or give this one its own storage.path."
            ) from error

    def release(self) -> None:
        """Let go; a second call does nothing."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
