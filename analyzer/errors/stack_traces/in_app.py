"""Is a frame code of the application, or of a library or the runtime?

In: the module and the file of a frame, the built-in lists, what the user added. Out: True, False, or None when
nothing tells. Decisions are kept by call, for the same few thousand calls come again in every trace.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fnmatch import translate
from typing import Any, TypeVar

from analyzer.errors.model import Frame
from analyzer.errors.stack_traces.in_app_lists import LIBRARY_NAMES, LIBRARY_PATHS, LIBRARY_PREFIXES, SEPARATORS
from analyzer.errors.stack_traces.lines import Cut, Lines, split_lines

# A large code base has some ten thousand calls that ever stand in a trace; full, the memory starts afresh.
CALLS_MAX = 32_768
# Stacks are remembered whole, for the same error comes again and again: about 400 stacks of 60 frames a language.
BLOCKS_LENGTH_MAX = 2 * 1024 * 1024
# A longer call is not worth remembering: no real one is, and a hostile one would fill the memory.
CALL_LENGTH_MAX = 512

T = TypeVar("T")
Place = tuple[str, str, str, bool | None]
Split = Callable[[str, str], tuple[str, str, str]]
Stack = tuple[tuple[Frame, ...], tuple[int, ...]]  # frames, and the seams between them (see Thrown.async_after)

_LIBRARY_FILE = {language: re.compile(pattern) for language, pattern in LIBRARY_PATHS.items()}


class Calls(dict[tuple[str, str], Place]):
    """(call, file) as they are written -> (function, module, file, in_app). Filled by asking; owned by its rules.

    Two threads that ask at once may both work an answer out; it is the same answer.

    A plain dict whose misses are worked out, so a hit costs one lookup in C. Beside the calls it remembers whole
    stacks by their text, and the lines of them (see `Lines`).

    forgotten : how often either was full and emptied
    """

    __slots__ = ("_blocks", "_blocks_length", "_decide", "_lines", "_split", "forgotten")

    def __init__(self, split: Split, decide: Callable[[str, str], bool | None]) -> None:
        super().__init__()
        self._split, self._decide = split, decide
        self._blocks: dict[str, Stack] = {}
        self._blocks_length = 0
        self._lines: dict[object, Lines[Any]] = {}
        self.forgotten = 0

    def stack(self, block: str, read: Callable[[str, Calls], Stack]) -> Stack:
        """The frames of a text without messages, read only when it was not seen lately."""
        found = self._blocks.get(block)
        if found is None:
            found = read(block, self)
            self._blocks_length += len(block)
            if self._blocks_length > BLOCKS_LENGTH_MAX:
                self._blocks.clear()
                self._blocks_length = len(block)
                self.forgotten += 1
            self._blocks[block] = found
        return found

    def by_line(
        self, block: str, read: Callable[[str, Calls], Sequence[T]], cut: Cut = split_lines, lead: str = "\n"
    ) -> tuple[T, ...]:
        """What a reader finds in a text, read only where a line was not seen lately; its words are those of `Lines`."""
        lines = self._lines.get(read)
        if lines is None:
            lines = self._lines[read] = Lines(lambda text: read(text, self), cut, lead)
        return lines.read(block)

    def __missing__(self, key: tuple[str, str]) -> Place:
        function, module, file = self._split(*key)
        place = function, module, file, self._decide(module or function, file)
        if len(key[0]) + len(key[1]) <= CALL_LENGTH_MAX:
            if len(self) >= CALLS_MAX:
                self.clear()
                self.forgotten += 1
            self[key] = place
        return place


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
