"""Source maps from a mounted directory of bundles.

In: the file a JavaScript frame names. Out: the map that lies beside the bundle in the directory ("app.js.map"), read
once, or None. The directory is walked and read as a checkout is: nothing outside of it, no links.
"""

from __future__ import annotations

from analyzer.errors.model import Frame
from analyzer.errors.stack_traces.source_maps import MAP_LENGTH_MAX, SourceMap, UnusableSourceMap, parse_source_map
from collector.checkout.tree import SourceTree

# A decoded map takes some 40 bytes a segment: 20 MB for a bundle of half a million. A page has a few bundles.
MAPS_MAX = 8
# Also that there is no map is remembered, for the same files come again.
FILES_MAX = 4096


class SourceMaps:
    """Maps by the file of a frame; give `find` to `source_maps.remapped`. One owner.

    unusable : why maps could not be read, by their path; the first `FILES_MAX`
    forgotten : how often a map was put away for another
    """

    def __init__(self, tree: SourceTree) -> None:
        self._tree = tree
        self._paths: dict[str, str | None] = {}
        self._maps: dict[str, SourceMap] = {}  # the one used last stands last
        self.unusable: dict[str, str] = {}
        self.forgotten = 0

    def find(self, file: str) -> SourceMap | None:
        """The map of a bundle; None when there is none, it cannot be read, or two fit equally well."""
        if file not in self._paths:
            if len(self._paths) >= FILES_MAX:
                self._paths.clear()
            name = file.partition("?")[0].partition("#")[0]
            self._paths[file] = self._tree.find(Frame("", file=f"{name}.map")) if name else None
        path = self._paths[file]
        if path is None or path in self.unusable:
            return None
        known = self._maps.pop(path, None) or self._read(path)
        if known is not None:
            self._maps[path] = known
        return known

    def _read(self, path: str) -> SourceMap | None:
        text = self._tree.read(path, MAP_LENGTH_MAX)
        try:
            if text is None:
                raise UnusableSourceMap(f"it is gone, no text, or over {MAP_LENGTH_MAX} bytes")
            found = parse_source_map(text)
        except UnusableSourceMap as error:
            if len(self.unusable) < FILES_MAX:
                self.unusable[path] = str(error)
            return None
        if len(self._maps) >= MAPS_MAX:
            del self._maps[next(iter(self._maps))]
            self.forgotten += 1
        return found
