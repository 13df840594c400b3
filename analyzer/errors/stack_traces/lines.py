"""Lines of stack traces that came before: stacks are new every day, their lines are those of the code.

In: a text of frames and its reader. Out: what the reader finds, from memory where a line was read before. Fit are
readers that find in a text what they find in its lines, one behind the other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")
T = TypeVar("T")
Cut = Callable[[str], list[str]]

# Some 50,000 lines of 80 letters; with their frames 4 to 7 times the letters, so about 20 MiB when it is full.
LINES_LENGTH_MAX = 4 * 1024 * 1024
# A longer line is not worth remembering: no real one is, and a hostile one would fill the memory.
LINE_LENGTH_MAX = 512
# Where a quarter of the lines is new, asking costs more than it saves: so many times as much text is read whole.
_READ_WHOLE = 7


def split_lines(block: str) -> list[str]:
    """The lines of a text; the first is what stands before the first line break."""
    return block.split("\n")


class Known(dict[K, V]):
    """What was worked out lately, under what it was worked out from. Filled by asking.

    Parameters
    ----------
    work_out : gives the value of a key
    length : of a key, in letters

    Attributes
    ----------
    new : how often a key was not known
    forgotten : how often it was full and emptied
    """

    __slots__ = ("_length", "_length_of", "_work_out", "forgotten", "new")

    def __init__(self, work_out: Callable[[K], V], length: Callable[[K], int]) -> None:
        super().__init__()
        self._work_out, self._length_of = work_out, length
        self._length = self.new = self.forgotten = 0

    def __missing__(self, key: K) -> V:
        self.new += 1
        value = self._work_out(key)
        length = self._length_of(key)
        if length <= LINE_LENGTH_MAX:
            self._length += length
            if self._length > LINES_LENGTH_MAX:
                self.clear()
                self._length = length
                self.forgotten += 1
            self[key] = value
        return value


class Lines(Generic[T]):
    """A reader that knows the lines it has read.

    Parameters
    ----------
    read : finds in any text what it finds in its lines, one behind the other
    cut : parts a text where things begin, one at most in a part; what stands before the first part is left out. It may
        drop what nothing depends on (a number, an address), so that a line is the same in every stack
    lead : what `read` must see in front of a part

    Attributes
    ----------
    known : a line as it is written -> the one thing in it, None for nothing
    """

    __slots__ = ("_cut", "_read", "_whole", "known")

    def __init__(self, read: Callable[[str], Sequence[T]], cut: Cut = split_lines, lead: str = "\n") -> None:
        def read_line(line: str) -> T | None:
            found = read(lead + line)
            return found[0] if found else None

        self._read, self._cut = read, cut
        self.known: Known[str, T | None] = Known(read_line, len)
        self._whole = 0

    def read(self, block: str) -> tuple[T, ...]:
        """What the reader finds in a text."""
        if self._whole > 0:
            self._whole -= len(block)
            return tuple(self._read(block))
        known = self.known
        before = known.new
        lines = self._cut(block)[1:]
        found = tuple([one for one in map(known.__getitem__, lines) if one is not None])
        if 4 * (known.new - before) > len(lines):
            self._whole = _READ_WHOLE * len(block)
        return found
