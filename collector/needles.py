"""Whether any of some words stands in many bytes, at memory's speed.

Each word is known by its first four bytes, lower-case. A table of hashes says where one may begin; only there it is
compared.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

BITS = 16  # of a hash: a table of 64 KiB
SPREAD = 2_654_435_761  # Knuth's multiplicative hash, of the lower 32 bits
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
        self._length_max = max(map(len, (word for words in self._folded.values() for word in words)), default=0)
        grams = [*self._folded, *self._exact]
        self._begins = np.zeros(1 << BITS, np.bool_)
        self._begins[_hash(np.frombuffer(b"".join(grams), "<u4"))] = True

    def stand_in(self, data: bytes) -> bool:
        """Whether one of the words stands in `data`."""
        from collector.needle_scan import next_begin  # who only masks texts (query) does not load kernels

        raw = np.frombuffer(data, np.uint8)
        place = -1
        while (place := next_begin(raw, self._begins, place + 1)) >= 0:
            gram = data[place : place + GRAM].lower()
            if gram in self._exact and data.startswith(self._exact[gram], place):
                return True
            if gram in self._folded:
                low = data[place : place + self._length_max].lower()
                if low.startswith(self._folded[gram]):
                    return True
        return False


def _hash(grams: np.ndarray[tuple[int], np.dtype[np.uint32]]) -> np.ndarray[tuple[int], np.dtype[np.uint64]]:
    """`needle_scan.next_begin` has the same in it."""
    return (grams * np.uint64(SPREAD) & np.uint64(0xFFFFFFFF)) >> np.uint64(32 - BITS)
