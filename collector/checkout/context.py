"""Source context of a report: stacks in the words of their sources, lines around the origin's frames, who changed them.

In: directories that are mounted (a checkout, source maps; either may be missing), exceptions of a trace, its report.
Out: the report with excerpts. Whatever is not found is a line of the report, never an error. Paths of this machine are
told to nobody.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Sequence
from pathlib import Path

from analyzer.errors.model import ExceptionFact, Frame, StackTrace
from analyzer.errors.stack_traces import parse_stack
from analyzer.errors.stack_traces.source_maps import remapped
from analyzer.reports.clock_text import utc
from analyzer.reports.model import Report, SourceCommit, SourceExcerpt
from analyzer.words import shown
from collector.checkout.history import Commit, HistoryUnknown, suspects
from collector.checkout.maps import SourceMaps
from collector.checkout.tree import SourceTree
from collector.contracts import Clock

# What is at the origin: one exception as a rule, its cause or a neighbour at times.
FRAMES_MAX = 3
# A checkout is replaced by the next release; walking a large one takes a second or two.
REFRESH_NS = 300 * 1_000_000_000
SECOND_NS = 1_000_000_000
# For all frames together; somebody waits for the report, and git may take its own limit once.
HISTORY_NS = 10 * SECOND_NS
NOT_FOUND = "not found in the checkout, or several files fit equally well"
HIDDEN = "a hidden file or folder; what is in it is not shown"
NO_LINE = "the stack says no file and line"


class SourceContext:
    """Sources that reports look into; any thread, one at a time.

    Parameters
    ----------
    checkout, maps : directories; empty: there is none
    lines_around : lines before and after the frame's
    commits_max : commits to these lines; 0: the history is not asked
    """

    def __init__(
        self, clock: Clock, checkout: str = "", maps: str = "", *, lines_around: int = 5, commits_max: int = 5
    ) -> None:
        self._clock = clock
        self._checkout, self._mapped = checkout, maps
        self._lines_around, self._commits_max = lines_around, commits_max
        self._lock = threading.Lock()
        self._walked_ns: int | None = None
        self._tree: SourceTree | None = None
        self._maps: SourceMaps | None = None
        self._faults: list[str] = []

    def parse(self, text: str, language: str = "") -> StackTrace | None:
        """Parse a stack trace as `parse_stack` does; JavaScript is led back to its sources where a map is found."""
        stack = parse_stack(text, language)
        if stack is None or stack.language != "javascript" or not self._mapped:
            return stack
        with self._lock:
            self._walk()
            return remapped(stack, self._maps.find) if self._maps is not None else stack

    def added(self, report: Report, facts: Sequence[ExceptionFact], origins: Collection[str]) -> Report:
        """Return the report with the sources of its origin.

        Parameters
        ----------
        facts : exceptions of the trace, with stacks as `parse` gave them
        origins : span ids; exceptions written there are looked at, all of them when none was
        """
        with self._lock:
            self._walk()
            tree, faults = self._tree, [*self._faults, *self._unusable()]
        found: list[SourceExcerpt] = []
        if tree is not None:
            frames = _frames(facts, origins)
            found = self._excerpts(tree, frames, report.summary.started_ns)
            if frames and not any(one.lines for one in found):
                faults.append("source code: no frame of the origin was found in the checkout")
        available = ["source code"] if any(one.lines for one in found) else []
        return report.model_copy(
            update={
                "sources": found,
                "available": [*report.available, *available],
                "missing": [*report.missing, *faults],
            }
        )

    def _unusable(self) -> list[str]:
        """Maps that were found and could not be read; the lock is held."""
        bad = self._maps.unusable if self._maps is not None else {}
        first = next(iter(bad.items()), None)
        if first is None:
            return []
        return [f"source maps: {len(bad)} cannot be read, the first is {shown(first[0])}: {shown(first[1])}"]

    def _walk(self) -> None:
        """Index both directories, again when that was long ago; the lock is held."""
        now_ns = self._clock.monotonic_ns()
        if self._walked_ns is not None and now_ns - self._walked_ns < REFRESH_NS:
            return
        self._walked_ns, self._faults = now_ns, []
        self._tree = self._indexed(self._checkout, "sources.checkout")
        mapped = self._indexed(self._mapped, "sources.maps")
        self._maps = SourceMaps(mapped) if mapped is not None else None

    def _indexed(self, folder: str, setting: str) -> SourceTree | None:
        if not folder:
            return None
        try:
            tree = SourceTree(Path(folder))
        except OSError:
            self._faults.append(f"source code: the directory of {setting} is not there; is it mounted?")
            return None
        if tree.unread:
            self._faults.append(f"source code: {tree.unread:,} files of {setting} are too many and were left out")
        return tree

    def _excerpts(self, tree: SourceTree, frames: Sequence[Frame], failed_ns: int) -> list[SourceExcerpt]:
        found: list[SourceExcerpt] = []
        unknown = "" if self._commits_max else "the history is not asked (sources.commits_max is 0)"
        begun_ns = self._clock.monotonic_ns()
        for frame in frames:
            excerpt = self._lines(tree, frame)
            if not unknown and self._clock.monotonic_ns() - begun_ns > HISTORY_NS:
                unknown = f"not asked, after {HISTORY_NS // SECOND_NS} s for other frames"
            if excerpt.lines and not unknown:
                try:
                    told = suspects(
                        tree.root, excerpt.path, excerpt.line, failed_ns // SECOND_NS, most=self._commits_max
                    )
                    excerpt = excerpt.model_copy(update={"commits": [_commit(one) for one in told]})
                except HistoryUnknown as error:
                    # It would say, or take as long for, the same of the others.
                    unknown = shown(str(error).replace(str(tree.root), "the checkout"))
            if excerpt.lines and unknown:
                excerpt = excerpt.model_copy(update={"commits_missing": unknown})
            found.append(excerpt)
        return found

    def _lines(self, tree: SourceTree, frame: Frame) -> SourceExcerpt:
        place = f"{frame.file}:{frame.line}" if frame.line else frame.file
        excerpt = SourceExcerpt(location=shown(place), function=shown(frame.function))
        if not frame.file or frame.line < 1:
            return excerpt.model_copy(update={"missing": NO_LINE})
        path = tree.find(frame)
        if path is not None and any(part.startswith(".") for part in path.split("/")):
            # Telemetry says which file is read: settings and keys that lie in a checkout are none of its business.
            return excerpt.model_copy(update={"missing": HIDDEN})
        around = tree.around(frame, self._lines_around)
        if around is None:
            return excerpt.model_copy(update={"missing": NOT_FOUND})
        lines = [_printable(line) for line in around.lines]
        place_of = {"path": around.path, "line": around.line, "first_line": around.first_line, "lines": lines}
        return excerpt.model_copy(update=place_of)


def _frames(facts: Sequence[ExceptionFact], origins: Collection[str]) -> list[Frame]:
    """The frames to look at: of exceptions at the origin, else of all; each place once."""
    at_origin = (
        [fact for fact in facts if not set(origins).isdisjoint((fact.span_id, *fact.span_ids))] if origins else []
    )
    found: dict[tuple[str, int], Frame] = {}
    for fact in at_origin or facts:
        frame = fact.stack.origin if fact.stack is not None else None
        if frame is not None and len(found) < FRAMES_MAX:
            found.setdefault((frame.file, frame.line), frame)
    return list(found.values())


def _commit(commit: Commit) -> SourceCommit:
    time_ns = commit.time_s * SECOND_NS
    return SourceCommit(
        commit_id=commit.id, at=utc(time_ns), author=shown(commit.author), subject=shown(commit.subject)
    )


def _printable(line: str) -> str:
    """A line of code without characters that steer a terminal or turn the line round; tabs become blanks."""
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in line.expandtabs(4))
