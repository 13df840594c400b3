"""Lines of stack traces that came before: stacks are new every day, their lines are those of the code.

In: a block of lines and its reader. Out: what the reader finds, from memory where a line was read before. Fit are
readers that find in a block what they find in its lines, one behind the other.

A block is a text, and what stands for a line of it is whatever a frame is read from: a line, what is left of two lines
when arguments and addresses are cut off. Or it is a list of what was found already, and a line is a piece of that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")
T = TypeVar("T")
B = TypeVar("B", bound=Sequence[Any])

# Some 50,000 lines of 80 letters; with their frames 4 to 7 times the letters, so about 20 MiB when it is full.
LINES_LENGTH_MAX = 4 * 1024 * 1024
# Short lines cost as much as others: of these no more than so many, some 30 MiB with their frames.
KNOWN_MAX = 65_536
# A longer line is not worth remembering: no real one is, and a hostile one would fill the memory.
LINE_LENGTH_MAX = 512
# Where a quarter of the lines is new, asking costs more than it saves: so many times as much is read whole.
_READ_WHOLE = 7


def split_lines(text: str) -> list[str]:
    """The lines of a text, without what stands before the first line break."""
    return text.split("\n")[1:]


def after_break(line: str) -> str:
    """A line as it stands in a text."""
    return "\n" + line


class Known(dict[K, V]):
    """What was worked out lately, under what it was worked out from. Filled by asking.

    A plain dict whose misses are worked out, so a hit costs one lookup in C. Two threads that ask at once may both
    work an answer out; it is the same answer.

    Parameters
    ----------
    work_out : gives the value of a key
    length : of a key, in letters
    length_max : letters of all keys; full, or with `KNOWN_MAX` keys, the memory starts afresh

    Attributes
    ----------
    new : how often a key was not known
    forgotten : how often it was full and emptied
    """

    __slots__ = ("_length", "_length_max", "_length_of", "_work_out", "forgotten", "new")

    def __init__(self, work_out: Callable[[K], V], length: Callable[[K], int], length_max: int) -> None:
        super().__init__()
        self._work_out, self._length_of, self._length_max = work_out, length, length_max
        self._length = self.new = self.forgotten = 0

    def __missing__(self, key: K) -> V:
        self.new += 1
        value = self._work_out(key)
        length = self._length_of(key)
        if length <= LINE_LENGTH_MAX:
            self._length += length
            if self._length > self._length_max or len(self) >= KNOWN_MAX:
                self.clear()
                self._length = length
                self.forgotten += 1
            self[key] = value
        return value


class Lines(Generic[B, K, T]):
    """A reader that knows the lines it has read.

    Parameters
    ----------
    read : finds in any block what it finds in its lines, one behind the other; nothing it finds is empty
    cut : the lines of a block, in each of them one thing at most. It may drop what nothing depends on (a number, an
        address), so that a line is the same in every stack, and what is certainly no part of a thing
    block_of : a line as the block that `read` must see
    length : of a line, in letters

    Attributes
    ----------
    known : a line as it is cut -> the one thing in it, None for nothing
    """

    __slots__ = ("_cut", "_read", "_whole", "known")

    def __init__(
        self,
        read: Callable[[B], Sequence[T]],
        cut: Callable[[B], Iterable[K]],
        block_of: Callable[[K], B],
        length: Callable[[K], int],
    ) -> None:
        def read_line(line: K) -> T | None:
            found = read(block_of(line))
            return found[0] if found else None

        self._read, self._cut = read, cut
        self.known: Known[K, T | None] = Known(read_line, length, LINES_LENGTH_MAX)
        self._whole = 0

    def read(self, block: B) -> tuple[T, ...]:
        """What the reader finds in a block."""
        if self._whole > 0:
            self._whole -= len(block)
            return tuple(self._read(block))
        known = self.known
        before = known.new
        found = tuple(filter(None, map(known.__getitem__, self._cut(block))))
        if 4 * (known.new - before) > len(found):
            self._whole = _READ_WHOLE * len(block)
        return found
