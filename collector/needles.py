"""Whether any of some words stands in many bytes, at memory's speed.

Each word is known by its first four bytes, lower-case. A table of hashes says where one may begin; only there it is
compared.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numba import njit, types

_BITS = 16  # of a hash: a table of 64 KiB
_SPREAD = np.uint64(2_654_435_761)  # Knuth's multiplicative hash, of the lower 32 bits
_LOW, _SHIFT = np.uint64(0xFFFFFFFF), np.uint64(32 - _BITS)
GRAM = 4
_TOP, _ONE_BYTE = np.uint64(24), np.uint64(8)  # where the youngest of four bytes stands; how far they move
_A, _Z, _LOWER = np.uint64(ord("A")), np.uint64(ord("Z")), np.uint64(0x20)

_BYTES = types.Array(types.uint8, 1, "C", readonly=True)
_FLAGS = types.Array(types.boolean, 1, "C")


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
        self._begins = np.zeros(1 << _BITS, np.bool_)
        self._begins[_hash(np.frombuffer(b"".join(grams), "<u4"))] = True

    def stand_in(self, data: bytes) -> bool:
        """Whether one of the words stands in `data`."""
        raw = np.frombuffer(data, np.uint8)
        place = -1
        while (place := _next_begin(raw, self._begins, place + 1)) >= 0:
            gram = data[place : place + GRAM].lower()
            if gram in self._exact and data.startswith(self._exact[gram], place):
                return True
            if gram in self._folded:
                low = data[place : place + self._length_max].lower()
                if low.startswith(self._folded[gram]):
                    return True
        return False


@njit(types.int64(_BYTES, _FLAGS, types.int64), cache=True, nogil=True)
def _next_begin(data: Any, begins: Any, start: int) -> int:
    """The first place at or behind `start` where a word may begin; -1: none."""
    gram = np.uint64(0)
    for i in range(start, data.size):
        byte = np.uint64(data[i])
        if _A <= byte <= _Z:  # as bytes.lower() has it
            byte |= _LOWER
        gram = gram >> _ONE_BYTE | byte << _TOP
        if i - start >= GRAM - 1 and begins[(gram * _SPREAD & _LOW) >> _SHIFT]:
            return i - (GRAM - 1)
    return -1


def _hash(grams: np.ndarray[tuple[int], np.dtype[np.uint32]]) -> np.ndarray[tuple[int], np.dtype[np.uint64]]:
    return (grams * _SPREAD & _LOW) >> _SHIFT
