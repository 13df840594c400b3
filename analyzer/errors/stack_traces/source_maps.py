"""Source maps: from a place in a bundle back to the file, line and name it was made from.

In: the text of a map (version 3) and a parsed stack. Out: the same stack in the words of the sources. Reads no file:
who calls says where maps are. Source: ECMA-426; decoding is done in columns, a numpy step for each rule of the format.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from analyzer.errors.model import Frame, StackTrace, Thrown
from analyzer.errors.stack_traces.in_app import DEFAULT, InAppRules

# A bundle of 5 MB has a map of about as much; what is larger would hold the memory of many others.
MAP_LENGTH_MAX = 32 * 1024 * 1024
_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_COMMA, _SEMICOLON, _WRONG = 64, 65, 255
_CODES = np.full(256, _WRONG, np.uint8)
_CODES[np.frombuffer(_ALPHABET, np.uint8)] = np.arange(64)
_CODES[ord(",")], _CODES[ord(";")] = _COMMA, _SEMICOLON

Ints = npt.NDArray[np.int64]


class UnusableSourceMap(ValueError):
    """The text is no source map that can be read; says what was found and expected."""


class Place(NamedTuple):
    """A place in a source: line and column count from 1, as stacks print them; name is "" when the map has none."""

    source: str
    line: int
    column: int
    name: str
    library: bool


@dataclass(frozen=True, slots=True)
class SourceMap:
    """A decoded map.

    lines : int64[n_lines + 1], where each generated line's segments begin
    columns : int64[n_segments], generated columns, growing within a line
    places : int64[4, n_segments], source, line, column, name; from 0, -1 where there is none
    ignored : sources that the bundler calls library
    """

    sources: tuple[str, ...]
    names: tuple[str, ...]
    lines: Ints
    columns: Ints
    places: Ints
    ignored: frozenset[int]

    def find(self, line: int, column: int) -> Place | None:
        """The source of a place in the bundle, both counted from 1; None when the map does not know it.

        The segment that begins at or before the column speaks, as in browsers.
        """
        if not 0 < line < len(self.lines):
            return None
        begin, end = int(self.lines[line - 1]), int(self.lines[line])
        at = begin + int(np.searchsorted(self.columns[begin:end], max(column - 1, 0), side="right")) - 1
        if at < begin:
            return None
        source, row, col, name = (int(value) for value in self.places[:, at])
        if not 0 <= source < len(self.sources) or row < 0 or col < 0:
            return None
        named = self.names[name] if 0 <= name < len(self.names) else ""
        return Place(self.sources[source], row + 1, col + 1, named, source in self.ignored)


def parse_source_map(text: str) -> SourceMap:
    """Decode a map.

    Raises
    ------
    UnusableSourceMap
        It is too long, no JSON object, of another version, an index of sections, or its mappings are damaged.
    """
    if len(text) > MAP_LENGTH_MAX:
        raise UnusableSourceMap(f"the source map has {len(text)} letters; at most {MAP_LENGTH_MAX} are read")
    if text.startswith(")]}"):  # against inclusion as a script
        text = text.partition("\n")[2]
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UnusableSourceMap(f"the source map is no JSON ({error}); expected an object") from error
    if not isinstance(found, dict) or found.get("version") != 3:
        raise UnusableSourceMap("the source map is not of version 3; build it again with a current bundler")
    if "sections" in found:
        raise UnusableSourceMap("the source map is an index of sections; expected one with mappings of its own")
    mappings = found.get("mappings")
    if not isinstance(mappings, str) or not mappings.isascii():
        raise UnusableSourceMap('the source map has no "mappings" in ASCII; build it again')
    root = found.get("sourceRoot") or ""
    sources = tuple(_joined(str(root), source) for source in _texts(found.get("sources")))
    ignored = found.get("ignoreList", found.get("x_google_ignoreList")) or []
    lines, columns, places = _decode(mappings)
    return SourceMap(
        sources=sources,
        names=tuple(_texts(found.get("names"))),
        lines=lines,
        columns=columns,
        places=places,
        ignored=frozenset(one for one in ignored if isinstance(one, int)) if isinstance(ignored, list) else frozenset(),
    )


def remapped(stack: StackTrace, find_map: Callable[[str], SourceMap | None], rules: InAppRules = DEFAULT) -> StackTrace:
    """The same stack in the words of the sources; frames whose file has no map stay as they are.

    Parameters
    ----------
    find_map : the map of a file of a frame, None when there is none
    """
    if stack.language != "javascript":
        return stack
    return replace(stack, chain=tuple([_remapped(thrown, find_map, rules) for thrown in stack.chain]))


def _remapped(thrown: Thrown, find_map: Callable[[str], SourceMap | None], rules: InAppRules) -> Thrown:
    places: list[Place | None] = []
    for frame in thrown.frames:
        known = find_map(frame.file) if frame.file and frame.line else None
        places.append(known.find(frame.line, frame.column or 1) if known else None)
    frames: list[Frame] = []
    for frame, place, caller in zip(thrown.frames, places, [*places[1:], None], strict=True):
        if place is None:
            frames.append(frame)
            continue
        file = _joined(frame.file.rpartition("/")[0], place.source)
        in_app = False if place.library else rules.decide("javascript", frame.module, file)
        # A minified function's own name is lost; the place that called it may have kept it.
        function = caller.name if caller and caller.name else frame.function
        frames.append(Frame(function, frame.module, file, place.line, place.column, in_app))
    return replace(thrown, frames=tuple(frames))


def _decode(mappings: str) -> tuple[Ints, Ints, Ints]:
    """Base64 VLQ to columns: digits to numbers, numbers to segments, differences to sums."""
    codes = _CODES[np.frombuffer(mappings.encode("ascii"), np.uint8)]
    if (codes == _WRONG).any():
        raise UnusableSourceMap("the mappings hold a letter that is no base64; the source map is damaged")
    is_digit = codes < 64
    is_last = is_digit & (codes < 32)  # bit 5 says that another digit follows
    if np.any((codes[:-1] >= 32) & is_digit[:-1] & ~is_digit[1:]) or (len(codes) and is_digit[-1] and codes[-1] >= 32):
        raise UnusableSourceMap("a number of the mappings breaks off; the source map is damaged")
    digits = codes[is_digit].astype(np.int64)
    ends = np.flatnonzero(digits < 32)
    begins = np.concatenate([[0], ends[:-1] + 1]) if len(ends) else ends
    place = np.arange(len(digits)) - np.repeat(begins, ends - begins + 1)
    if len(place) and int(place.max()) > 6:
        raise UnusableSourceMap("a number of the mappings is over 32 bits; the source map is damaged")
    raw = np.add.reduceat((digits & 31) << (5 * place), begins) if len(begins) else digits
    numbers = np.where(raw & 1, -(raw >> 1), raw >> 1)
    # Separators in front of each number tell its segment and its line.
    separators = np.cumsum(~is_digit)[is_last]
    lines_before = np.cumsum(codes == _SEMICOLON)[is_last]
    first = np.flatnonzero(np.diff(separators, prepend=-1))
    sizes = np.diff(np.append(first, len(numbers)))
    if not np.isin(sizes, (1, 4, 5)).all():
        raise UnusableSourceMap("a segment of the mappings has not 1, 4 or 5 numbers; the source map is damaged")
    line_of = lines_before[first]
    line_count = int(np.count_nonzero(codes == _SEMICOLON)) + 1
    lines = np.searchsorted(line_of, np.arange(line_count + 1))
    # Columns are differences within a line, everything else over the whole map.
    running = np.cumsum(numbers[first])
    before_line = np.concatenate([[0], running])[lines[line_of]] if len(first) else running
    columns = running - before_line
    places = np.full((4, len(first)), -1, np.int64)
    for row, least in ((0, 4), (1, 4), (2, 4), (3, 5)):
        has = sizes >= least
        places[row, has] = np.cumsum(numbers[first[has] + row + 1])
    return lines, columns, places


def _texts(found: object) -> list[str]:
    return [one if isinstance(one, str) else "" for one in found] if isinstance(found, list) else []


def _joined(folder: str, source: str) -> str:
    """A source as seen from a folder, without "." and ".."; nothing leads above the top of a path."""
    if not folder or source.startswith("/") or "://" in source:
        return source
    kept: list[str] = []
    scheme, parted, path = folder.rpartition("://")
    for part in f"{path}/{source}".split("/"):
        if part == ".." and kept and kept[-1] not in ("", ".."):
            kept.pop()
        elif part not in (".", "..") or (part == ".." and not path.startswith("/")):
            kept.append(part)
    return scheme + parted + "/".join(kept)
