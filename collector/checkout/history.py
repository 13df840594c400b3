"""Commits that touched the lines around a frame, from the history of a mounted checkout.

In: a checkout, a file of it, a line. Out: the latest commits to these lines, newest first: who to ask, and what to
look at first. Runs `git log -L`, read-only, with a limit on time, commits and output; never runs what the repository
configures (hooks, monitors, external diffs).
"""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from analyzer.digits import is_number

COMMITS_MAX = 20
LINES_AROUND = 3
OUTPUT_BYTES_MAX = 256 * 1024
TEXT_LENGTH_MAX = 200
# A question of a person who waits; walking a long history for one range takes seconds.
TIMEOUT_S = 10.0
# git itself cuts names and subjects, so that no commit can make it say much.
_FORMAT = f"%x01%H%x00%at%x00%<({TEXT_LENGTH_MAX},trunc)%an%x00%<({TEXT_LENGTH_MAX},trunc)%s%x00"
_SAFE = (
    *(
        "-c",
        "core.fsmonitor=false",
        "-c",
        "core.hooksPath=/dev/null",
        "-c",
        "core.pager=cat",
        "-c",
        "log.showSignature=false",
    ),
    # Mounted from elsewhere, so owned by somebody else; nothing of it is run.
    *("-c", "safe.directory=*", "--no-pager", "--no-optional-locks", "--literal-pathspecs"),
)


@dataclass(frozen=True, slots=True)
class Commit:
    """A commit that touched the lines; author and subject as they are written, so escape them where shown."""

    id: str
    time_s: int
    author: str
    subject: str


class HistoryUnknown(Exception):
    """The history could not be asked; says why."""


def suspects(root: Path, path: str, line: int, before_s: int | None = None, most: int = 5) -> list[Commit]:
    """The latest commits that touched the lines around a place, newest first.

    Parameters
    ----------
    root : the checkout
    path : of a file below it, as `SourceTree.find` gives it
    line : counted from 1
    before_s : only commits made before, in seconds since 1970; when the error was first seen
    most : how many, at most `COMMITS_MAX`

    Raises
    ------
    HistoryUnknown
        There is no git, no repository, no such line in the committed file, or it took longer than `TIMEOUT_S`.
    """
    git = shutil.which("git")
    if git is None:
        raise HistoryUnknown("git is not installed; it is needed to look for commits")
    if line < 1 or "\n" in path or "\0" in path:
        raise HistoryUnknown(f"{path!r} line {line} is no place in a file; expected a path and a line from 1")
    count = min(max(most, 1), COMMITS_MAX)
    failed = ""
    # The range may end behind the last line; then the line alone is asked for.
    for around in (LINES_AROUND, 0):
        span = f"{max(line - around, 1)},{line + around}:{path}"
        command = [git, *_SAFE, "-C", str(root), "log", f"-n{count}", f"--format={_FORMAT}", "--no-patch", "-L", span]
        command += ["--no-ext-diff", "--no-textconv", "--no-show-signature"]
        if before_s is not None:
            command.append(f"--before=@{int(before_s)} +0000")
        found, failed = _ask(command)
        if not failed:
            return _commits(found)[:count]
    raise HistoryUnknown(f"git knows nothing of {path!r} line {line}: {failed}")


def _ask(command: list[str]) -> tuple[bytes, str]:
    """What git says, and what it complains of."""
    clean = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": "/dev/null"}
    clean |= {"GIT_TERMINAL_PROMPT": "0", "GIT_NO_LAZY_FETCH": "1", "HOME": "/nonexistent"}
    try:
        done = subprocess.run(
            command, capture_output=True, stdin=subprocess.DEVNULL, timeout=TIMEOUT_S, env=clean, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise HistoryUnknown(f"git took longer than {TIMEOUT_S:g} s; ask for fewer commits") from error
    if done.returncode:
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        return b"", (lines[-1] if lines else f"exit code {done.returncode}")[:TEXT_LENGTH_MAX]
    return done.stdout[:OUTPUT_BYTES_MAX], ""


def _commits(output: bytes) -> list[Commit]:
    commits: list[Commit] = []
    for told in output.decode(errors="replace").split("\x01")[1:]:
        parts = told.split("\0")
        if len(parts) < 5 or not is_number(parts[1]):
            continue  # cut off at the end of what is read
        commits.append(Commit(parts[0], int(parts[1]), parts[2].strip(), parts[3].strip()))
    return commits
