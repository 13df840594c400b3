"""Lines of stack traces that came before: stacks are new every day, their lines are those of the code.

In: a text of frames and its reader. Out: what the reader finds, from memory where a line was read before. Fit are
readers that find in a text what they find in its lines, one behind the other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")
Cut = Callable[[str], list[str]]

# Some 50,000 lines of 80 letters; with their frames ...
LINES_LENGTH_MAX = 4 * 1024 * 1024
# A longer line is not worth remembering: no real one is, and a hostile one would fill the memory.
LINE_LENGTH_MAX = 512
# Where most lines are new, asking for each costs more than it saves: so many times as much text is read without.
_READ_WHOLE = 7


def split_lines(block: str) -> list[str]:
    """The lines of a text; the first is what stands before the first line break."""
    return block.split("\n")


class Lines(dict[str, T | None]):
    """A line as it is written -> the one thing `read` finds in it, None for nothing. Filled by asking.

    Parameters
    ----------
    read : finds in any text what it finds in its lines, one behind the other
    cut : parts a text where things begin, one at most in a part; what stands before the first part is left out. It may
        drop what nothing depends on (a number, an address), so that a line is the same in every stack
    lead : what `read` must see in front of a part

    Attributes
    ----------
    forgotten : how often it was full and emptied
    """

    __slots__ = ("_cut", "_lead", "_length", "_new", "_read", "_whole", "forgotten")

    def __init__(self, read: Callable[[str], Sequence[T]], cut: Cut = split_lines, lead: str = "\n") -> None:
        super().__init__()
        self._read, self._cut, self._lead = read, cut, lead
        self._length = self._new = self._whole = 0
        self.forgotten = 0

    def read(self, block: str) -> tuple[T, ...]:
        """What the reader finds in a text."""
        if self._whole > 0:
            self._whole -= len(block)
            return tuple(self._read(block))
        lines = self._cut(block)[1:]
        self._new = 0
        found = tuple([one for one in map(self.__getitem__, lines) if one is not None])
        if 4 * self._new > len(lines):
            self._whole = _READ_WHOLE * len(block)
        return found

    def __missing__(self, line: str) -> T | None:
        self._new += 1
        found = self._read(self._lead + line)
        one = found[0] if found else None
        if len(line) <= LINE_LENGTH_MAX:
            self._length += len(line)
            if self._length > LINES_LENGTH_MAX:
                self.clear()
                self._length = len(line)
                self.forgotten += 1
            self[line] = one
        return one
