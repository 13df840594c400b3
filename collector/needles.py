"""Whether any of some words stands in many bytes, at memory's speed: four bytes are looked up at once.

Each word is known by its first four bytes, lower-case. A table of hashes says where one may begin; only there it is
compared.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

_BITS = 16
_SPREAD = np.uint32(2_654_435_761)  # Knuth's multiplicative hash
_SHIFT = np.uint32(32 - _BITS)
GRAM = 4


class Needles:
    """Immutable; any thread.

    Parameters
    ----------
    folded : lower-case words, found in any case
    exact : words found as they are
    """

    def __init__(self, folded: Iterable[bytes], exact: Iterable[bytes] = ()) -> None:
        self._folded: dict[bytes, tuple[bytes, ...]] = {}
        self._exact: dict[bytes, tuple[bytes, ...]] = {}
        for words, places in ((folded, self._folded), (exact, self._exact)):
            for word in words:
                if len(word) < GRAM:
                    raise ValueError(f"{word!r} has {len(word)} bytes; expected {GRAM} or more")
                places[word[:GRAM].lower()] = (*places.get(word[:GRAM].lower(), ()), word)
        grams = [*self._folded, *self._exact]
        self._begins = np.zeros(1 << _BITS, np.bool_)
        self._begins[_hash(np.frombuffer(b"".join(grams), "<u4"))] = True

    def stand_in(self, data: bytes) -> bool:
        """Whether one of the words stands in `data`."""
        low = data.lower()
        for offset in range(min(GRAM, max(0, len(low) - GRAM + 1))):
            grams = np.frombuffer(low, "<u4", (len(low) - offset) // GRAM, offset)
            for hit in self._begins.take(_hash(grams)).nonzero()[0].tolist():
                place = offset + GRAM * hit
                gram = low[place : place + GRAM]
                if gram in self._folded and low.startswith(self._folded[gram], place):
                    return True
                if gram in self._exact and data.startswith(self._exact[gram], place):
                    return True
        return False


def _hash(grams: np.ndarray[tuple[int], np.dtype[np.uint32]]) -> np.ndarray[tuple[int], np.dtype[np.uint32]]:
    return (grams * _SPREAD) >> _SHIFT
