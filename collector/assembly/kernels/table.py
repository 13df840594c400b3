"""Trace id -> trace record: an open-addressing table without tombstones.

An entry is (hash << 32) | (record + 1); 0 is empty. The hash travels in the entry, so growing and
deleting never touch the records. Nothing here allocates.

The hash is multilinear over the four 32-bit words of the id with secret 64-bit multipliers
(strongly universal: Thorup, "High speed hashing for integers and strings", 3.3), so ids crafted to
collide do not; the murmur3 finaliser behind it breaks the arithmetic runs that sequential ids leave,
which linear probing would feel.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from collector.assembly.kernels import layout as a

_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)
_M1, _M2 = np.uint64(0x85EBCA6B), np.uint64(0xC2B2AE35)
_S16, _S13 = np.uint64(16), np.uint64(13)
_POSITIVE = np.uint64(0x7FFFFFFF)


@njit(nogil=True, inline="always")
def hash_words(word_0, word_1, seeds):
    """31 bits of two uint64 words under five secret multipliers."""
    h = (
        seeds[0] * (word_0 & _LOW)
        + seeds[1] * (word_0 >> _HALF)
        + seeds[2] * (word_1 & _LOW)
        + seeds[3] * (word_1 >> _HALF)
        + seeds[4]
    ) >> _HALF
    h ^= h >> _S16
    h = (h * _M1) & _LOW
    h ^= h >> _S13
    h = (h * _M2) & _LOW
    h ^= h >> _S16
    return np.int64(h & _POSITIVE)


@njit(nogil=True)
def find_hashed(index, traces, word_0, word_1, h):
    """Record of a trace id whose hash is `h`, or -1."""
    mask = index.shape[0] - 1
    at = h & mask
    while True:
        entry = index[at]
        if entry == 0:
            return -1
        if entry >> 32 == h:
            slot = (entry & a.MASK_32) - 1
            if traces[slot]["trace_id_0"] == word_0 and traces[slot]["trace_id_1"] == word_1:
                return slot
        at = (at + 1) & mask


@njit(a.INT(a.INDEX, a.TRACES, a.SEEDS, a.ID, a.ID), cache=True, nogil=True)
def find(index, traces, seeds, word_0, word_1):
    """Record of a trace id, or -1."""
    return find_hashed(index, traces, word_0, word_1, hash_words(word_0, word_1, seeds))


@njit(nogil=True)
def insert(index, h, slot):
    """Enter a record that is not in the table; the caller keeps the table at most half full."""
    mask = index.shape[0] - 1
    at = h & mask
    while index[at] != 0:
        at = (at + 1) & mask
    index[at] = (h << 32) | (slot + 1)


@njit(nogil=True)
def remove(index, h, slot):
    """Take a record out and close the gap behind it (Knuth 6.4, algorithm R)."""
    mask = index.shape[0] - 1
    entry = (h << 32) | (slot + 1)
    gap = h & mask
    while index[gap] != entry:
        gap = (gap + 1) & mask
    at = gap
    while True:
        at = (at + 1) & mask
        entry = index[at]
        if entry == 0:
            break
        home = (entry >> 32) & mask
        if (at - home) & mask >= (at - gap) & mask:
            index[gap] = entry
            gap = at
    index[gap] = 0


@njit("void(int64[::1], int64[::1])", cache=True, nogil=True)
def rehash(old, new):
    """Enter everything of `old` into the empty, larger `new`."""
    mask = new.shape[0] - 1
    for i in range(old.shape[0]):
        entry = old[i]
        if entry != 0:
            at = (entry >> 32) & mask
            while new[at] != 0:
                at = (at + 1) & mask
            new[at] = entry
