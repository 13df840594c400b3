"""Is a frame code of the application, or of a library or the runtime?

In: the module and the file of a frame, the built-in lists, what the user added. Out: True, False, or None when
nothing tells. Decisions are kept by call, for the same few thousand calls come again in every trace.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence, Sized
from dataclasses import dataclass, field
from fnmatch import translate
from typing import Any

from analyzer.errors.model import Frame
from analyzer.errors.stack_traces.in_app_lists import LIBRARY_NAMES, LIBRARY_PATHS, LIBRARY_PREFIXES, SEPARATORS
from analyzer.errors.stack_traces.lines import B, K, Known, Lines, T, after_break, split_lines

# Some 30,000 calls of 70 letters with their files; of a large code base some ten thousand ever stand in a trace.
CALLS_LENGTH_MAX = 2 * 1024 * 1024
# Stacks are remembered whole, for the same error comes again and again: about 400 stacks of 60 frames a language.
BLOCKS_LENGTH_MAX = 2 * 1024 * 1024

Place = tuple[str, str, str, bool | None]
Split = Callable[[str, str], tuple[str, str, str]]
Stack = tuple[tuple[Frame, ...], tuple[int, ...]]  # frames, and the seams between them (see Thrown.async_after)


def length_of_all(parts: Sequence[Sized]) -> int:
    """The letters of several texts."""
    return sum(map(len, parts))


_LIBRARY_FILE = {language: re.compile(pattern) for language, pattern in LIBRARY_PATHS.items()}


class Calls:
    """What is known of a language's stacks: whole ones by their text, their lines, and the calls in these.

    Owned by its rules. Two threads that ask at once may both work an answer out; it is the same answer.

    Attributes
    ----------
    places : (call, file) as they are written -> (function, module, file, in_app)
    """

    __slots__ = ("_lines", "_stacks", "_stacks_forgotten", "_stacks_length", "places")

    def __init__(self, split: Split, decide: Callable[[str, str], bool | None]) -> None:
        def place(written: tuple[str, str]) -> Place:
            function, module, file = split(*written)
            return function, module, file, decide(module or function, file)

        self.places: Known[tuple[str, str], Place] = Known(place, length_of_all, CALLS_LENGTH_MAX)
        self._stacks: dict[str, Stack] = {}
        self._stacks_length = self._stacks_forgotten = 0
        self._lines: dict[object, Lines[Any, Any, Any]] = {}

    @property
    def forgotten(self) -> int:
        """How often a memory was full and emptied."""
        lines = sum([one.known.forgotten for one in self._lines.values()])
        return self.places.forgotten + self._stacks_forgotten + lines

    def stack(self, block: str, read: Callable[[str, Calls], Stack]) -> Stack:
        """The frames of a text without messages, read only when it was not seen lately."""
        found = self._stacks.get(block)
        if found is None:
            found = read(block, self)
            self._stacks_length += len(block)
            if self._stacks_length > BLOCKS_LENGTH_MAX:
                self._stacks.clear()
                self._stacks_length = len(block)
                self._stacks_forgotten += 1
            self._stacks[block] = found
        return found

    def by_line(self, text: str, read: Callable[[str, Calls], Sequence[T]]) -> tuple[T, ...]:
        """What a reader finds in a text, read only where a line was not seen lately."""
        return self.by_part(text, read, split_lines, after_break, len)

    def by_part(
        self,
        block: B,
        read: Callable[[B, Calls], Sequence[T]],
        cut: Callable[[B], Iterable[K]],
        block_of: Callable[[K], B],
        length: Callable[[K], int],
    ) -> tuple[T, ...]:
        """The same where a frame is not read from one line alone; the words are those of `Lines`."""
        lines = self._lines.get(read)
        if lines is None:
            lines = self._lines[read] = Lines(lambda block: read(block, self), cut, block_of, length)
        return lines.read(block)


@dataclass(frozen=True)
class InAppRules:
    """What the user says of their own code; stronger than the built-in lists, and `include` is stronger than `exclude`.

    Parameters
    ----------
    include, exclude : prefixes of modules ("com.acme." or "github.com/acme/"); letter by letter, so with the last
        separator where a whole package is meant; of the function where a frame has no module
    include_paths, exclude_paths : globs over the whole file as it is shown ("/srv/app/*", "*/generated/*"); `*` also
        passes over "/". A Java frame has a bare file name: use prefixes there.

    Examples
    --------
    >>> InAppRules(exclude=("com.acme.generated.",)).decide("java", "com.acme.generated.Stub", "Stub.java")
    False
    """

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    include_paths: tuple[str, ...] = ()
    exclude_paths: tuple[str, ...] = ()
    _calls: dict[str, Calls] = field(default_factory=dict, init=False, repr=False, compare=False)
    _globs: list[re.Pattern[str]] = field(default_factory=list, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        for globs in (self.include_paths, self.exclude_paths):
            # No glob matches nothing: "(?!)".
            self._globs.append(re.compile("|".join(translate(glob) for glob in globs) or "(?!)"))

    def decide(self, language: str, module: str, file: str) -> bool | None:
        """Decide one frame, without memory.

        Parameters
        ----------
        module : of the frame; its function where the language writes no module
        """
        name = module + SEPARATORS.get(language, "")
        if name.startswith(self.include) or self._globs[0].match(file):
            return True
        if name.startswith(self.exclude) or self._globs[1].match(file):
            return False
        if name.startswith(LIBRARY_PREFIXES.get(language, ())) or module in LIBRARY_NAMES.get(language, ()):
            return False
        if file and (library := _LIBRARY_FILE.get(language)) and library.search(file):
            return False
        return True if file or (module and language in LIBRARY_PREFIXES) else None

    def calls(self, language: str, split: Split) -> Calls:
        """The memory of a language's calls; `split` parts a call and a file into function, module and file."""
        found = self._calls.get(language)
        if found is None:
            found = self._calls[language] = Calls(split, lambda module, file: self.decide(language, module, file))
        return found


DEFAULT = InAppRules()
