"""Source lines around a frame, from a mounted checkout.

In: a directory and a frame. Out: the file the frame means and the lines around it, or None. Never reads outside of the
directory: only regular files that were found below it by walking are ever opened, no link is followed, and a path from
telemetry is only compared with theirs.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from analyzer.errors.model import Frame

# A large monorepo; the index of as many paths is some 50 MB.
FILES_MAX = 200_000
FILE_BYTES_MAX = 4 * 2**20
LINE_LENGTH_MAX = 400
LINES_AROUND_MAX = 50
# Never the application's own lines, and most of the files there are.
SKIPPED = frozenset({".git", ".hg", ".svn", "node_modules", "__pycache__", ".venv", "venv", "target", ".tox"})


@dataclass(frozen=True, slots=True)
class SourceLines:
    """Lines around a place.

    path : of the file below the checkout
    line : the frame's, counted from 1
    first_line : number of `lines[0]`
    lines : without line ends, each cut to `LINE_LENGTH_MAX`; as they are in the file, so escape them where shown
    """

    path: str
    line: int
    first_line: int
    lines: tuple[str, ...]


@dataclass(slots=True)
class SourceTree:
    """The files of a checkout by name. Walk it again (`refresh`) when another version is checked out. One owner.

    unread : files that were not indexed because there are more than `FILES_MAX`
    """

    root: Path
    unread: int = 0
    _by_name: dict[str, list[tuple[str, ...]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.root.is_dir():
            raise NotADirectoryError(f"{self.root} is no directory; expected a checkout of the application's code")
        self.root = self.root.resolve()
        self.refresh()

    def refresh(self) -> None:
        """Walk the checkout and index its regular files."""
        found: dict[str, list[tuple[str, ...]]] = {}
        count = unread = 0
        for folder, folders, names in os.walk(self.root, followlinks=False):
            folders[:] = sorted(name for name in folders if name not in SKIPPED)
            parts = Path(folder).relative_to(self.root).parts
            for name in names:
                if count < FILES_MAX:
                    found.setdefault(name, []).append((*parts, name))
                    count += 1
                else:
                    unread += 1
        self._by_name, self.unread = found, unread

    def find(self, frame: Frame) -> str | None:
        """The file of the checkout that a frame means.

        A frame's path is that of the machine it ran on, and in Java only a name: the file whose path ends in most of
        the frame's wins, with the package in front for Java. None when there is none, or two fit equally well.
        """
        best: list[tuple[str, ...]] = []
        best_count = 0
        for wanted in _paths(frame):
            for path in self._by_name.get(wanted[-1], ()):
                count = _same_end(wanted, path)
                if count > best_count:
                    best, best_count = [path], count
                elif count == best_count and path not in best:
                    best.append(path)
        return "/".join(best[0]) if len(best) == 1 else None

    def around(self, frame: Frame, lines_around: int = 5) -> SourceLines | None:
        """The lines around a frame; None when its file, or the line in it, is not there."""
        path = self.find(frame) if frame.line > 0 else None
        text = self.read(path) if path else None
        if path is None or text is None:
            return None
        lines = text.split("\n")
        if frame.line > len(lines):
            return None
        span = min(max(lines_around, 0), LINES_AROUND_MAX)
        first = max(frame.line - span, 1)
        shown = lines[first - 1 : frame.line + span]
        return SourceLines(path, frame.line, first, tuple(line.rstrip("\r")[:LINE_LENGTH_MAX] for line in shown))

    def read(self, path: str, bytes_max: int = FILE_BYTES_MAX) -> str | None:
        """The text of a file that `find` gave; None when it is gone, a link by now, too large or not text."""
        try:
            # Every folder on the way is opened for itself, so none can have become a link.
            folder = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY)
            try:
                *folders, name = path.split("/")
                for part in folders:
                    inner = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=folder)
                    os.close(folder)
                    folder = inner
                # Not blocking: a pipe with that name must not hold us.
                handle = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
            finally:
                os.close(folder)
        except OSError:
            return None
        with os.fdopen(handle, "rb") as file:
            known = os.fstat(file.fileno())
            if not stat.S_ISREG(known.st_mode) or known.st_size > bytes_max:
                return None
            found = file.read(bytes_max + 1)
        return None if len(found) > bytes_max or b"\0" in found else found.decode(errors="replace")


def _paths(frame: Frame) -> Iterable[tuple[str, ...]]:
    """What the file may be called, as parts of a path."""
    if not frame.file:
        return
    parts = tuple(part for part in frame.file.replace("\\", "/").split("/") if part not in ("", ".", ".."))
    if not parts:
        return
    if len(parts) == 1 and "." in frame.module:  # com.acme.Shop$Cart in Shop.java: com/acme/Shop.java
        yield (*frame.module.split(".")[:-1], parts[0])
    yield parts


def _same_end(wanted: tuple[str, ...], path: tuple[str, ...]) -> int:
    """How many parts at the end of two paths are equal."""
    count = 0
    for ours, theirs in zip(reversed(wanted), reversed(path), strict=False):
        if ours != theirs:
            break
        count += 1
    return count
