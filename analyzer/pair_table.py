"""Which row belongs to which pair of ids; how rows are given, taken back, saved and found again.

In: keys (operation id, other id) packed in one word. Out: slots, dense from 0, to index the owner's arrays.
Never grows beyond its capacity: when it is full the least active slots are given up, many at once, and counted.
Across restarts ids change, so a saved table carries names; `Waiting` holds its rows until the names are met.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analyzer.kernels.pairs import find_slots, put_slots
from analyzer.spans import Vocabulary

Keys = npt.NDArray[np.uint64]
Slots = npt.NDArray[np.int32]
OperationName = tuple[str, str, int]  # service, span name, kind

_EVICT_SHARE = 16  # one sixteenth of the slots is given up at once, so the rebuild is paid for by many keys


def pack(operation: npt.NDArray[np.integer], other: npt.NDArray[np.integer]) -> Keys:
    """Pack pairs of ids into keys; 0 (no key) where the operation is `<other>`."""
    high, low = operation.astype(np.uint64), other.astype(np.uint64)
    return np.where(high == 0, np.uint64(0), (high << np.uint64(32)) | low)


@dataclass(frozen=True, slots=True)
class Added:
    """Slots that changed hands: `evicted` must be emptied by the owner before use."""

    evicted: Slots
    refused: int


class PairTable:
    """Keys to slots, bounded. One owner thread, that of its owner."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.keys: Keys = np.zeros(capacity, np.uint64)
        self.used = 0  # slots [0, used) have been given at least once
        self.evicted = 0
        self._free: list[int] = []
        size = 1 << max(4, (2 * capacity - 1).bit_length())
        self._table_keys: Keys = np.zeros(size, np.uint64)
        self._table_slots: Slots = np.zeros(size, np.int32)

    def __len__(self) -> int:
        return self.used - len(self._free)

    @property
    def arrays(self) -> tuple[Keys, Slots]:
        """The hash table itself, for kernels that look up one key at a time."""
        return self._table_keys, self._table_slots

    def find(self, keys: Keys) -> Slots:
        """Return the slot of each key, -1 where there is none; the shape of `keys` is kept."""
        flat = np.ascontiguousarray(keys).reshape(-1)
        slots = np.empty(len(flat), np.int32)
        find_slots(flat, self._table_keys, self._table_slots, slots)
        return slots.reshape(keys.shape)

    def add(self, keys: Keys, activity: npt.NDArray[np.float64]) -> Added:
        """Give a slot to every key that has none.

        Parameters
        ----------
        keys : uint64[n]
            May repeat; 0 is passed over.
        activity : float64[capacity]
            How alive each slot is; the least alive are given up when room is needed.

        Returns
        -------
        Added
            The slots that were taken from their keys, and how many new keys found no room: at most
            one sixteenth of the table changes hands at once, so that a flood of new names cannot
            sweep out everything that was learned.
        """
        new = np.unique(keys[self.find(keys) < 0])
        new = new[new != 0]
        evicted = np.empty(0, np.int32)
        if not len(new):
            return Added(evicted, 0)
        room = self.capacity - len(self)
        if len(new) > room:
            evicted = self._evict(max(1, self.capacity // _EVICT_SHARE), activity)
            room = self.capacity - len(self)
        refused = max(0, len(new) - room)
        new = new[: len(new) - refused]
        slots = self._take(len(new))
        self.keys[slots] = new
        put_slots(new, slots, self._table_keys, self._table_slots)
        return Added(evicted, refused)

    def _take(self, count: int) -> Slots:
        again = min(count, len(self._free))
        slots = [self._free.pop() for _ in range(again)]
        slots += range(self.used, self.used + count - again)
        self.used += count - again
        return np.array(slots, np.int32)

    def _evict(self, count: int, activity: npt.NDArray[np.float64]) -> Slots:
        live = np.flatnonzero(self.keys[: self.used])
        # Of equals the larger key goes first: a pair before the operation alone, which its share is taken of.
        order = np.lexsort((~self.keys[live], activity[live]))
        gone = live[order[:count]].astype(np.int32)
        self.keys[gone] = 0
        self._free += gone.tolist()
        self.evicted += len(gone)
        self._table_keys[:] = 0
        live = np.flatnonzero(self.keys[: self.used]).astype(np.int32)
        put_slots(self.keys[live], live, self._table_keys, self._table_slots)
        return gone


def operation_name(vocabulary: Vocabulary, operation: int) -> OperationName:
    """Return an operation in words: what stays the same when ids are given anew."""
    service, name, kind = vocabulary.operations.key(operation)
    return vocabulary.strings.text(service), vocabulary.strings.text(name), kind


def name_keys(keys: Keys, vocabulary: Vocabulary) -> tuple[list[OperationName], npt.NDArray[np.uint32]]:
    """Write keys as names and places in that list (uint32[n, 2]; place + 1, 0: none)."""
    halves = np.stack([keys >> np.uint64(32), keys & np.uint64(0xFFFFFFFF)], axis=1)
    ids, places = np.unique(halves, return_inverse=True)
    places = places.reshape(halves.shape) + 1
    names: list[OperationName] = []
    if len(ids) and ids[0] == 0:
        ids, places = ids[1:], places - 1
    names = [operation_name(vocabulary, int(index)) for index in ids]
    return names, places.astype(np.uint32)


class Waiting:
    """Loaded rows whose names have not been met yet. Bounded by the blob they came from."""

    def __init__(self, names: Sequence[OperationName], pairs: npt.NDArray[np.uint32]) -> None:
        """Hold pairs of places.

        Raises
        ------
        ValueError
            When a pair points outside the names, or a name is not (text, text, number).
        """
        for name in names:
            if [type(part) for part in name] != [str, str, int] or not 0 <= name[2] <= 255:
                raise ValueError(f"operation {name!r} is not (service, name, kind)")
        if pairs.ndim != 2 or pairs.shape[1] != 2 or (pairs.size and int(pairs.max()) > len(names)):
            raise ValueError(f"pairs point outside the {len(names)} names of the snapshot")
        self.names: list[OperationName] = [(service, name, kind) for service, name, kind in names]
        self.pairs = pairs
        self.left = np.ones(len(pairs), np.bool_)
        self._place = {name: place for place, name in reversed(list(enumerate(self.names, start=1)))}
        self._ids = np.zeros(len(names) + 1, np.uint64)
        self._met = 1  # operations [0, _met) have been looked at; 0 is `<other>`

    def take(self, vocabulary: Vocabulary) -> tuple[Keys, npt.NDArray[np.int64]]:
        """Return (keys, rows) of the pairs whose names are known by now; each pair once."""
        if self._met == 1:
            # Also what never comes again must be known: a call that is missing has no span to bring its name.
            strings = vocabulary.strings
            for service, name, kind in self.names:
                vocabulary.operations.intern(strings.intern(service.encode()), strings.intern(name.encode()), kind)
        count = len(vocabulary.operations)
        fresh = False
        for operation in range(self._met, count):
            place = self._place.get(operation_name(vocabulary, operation))
            if place is not None and not self._ids[place]:
                self._ids[place] = operation
                fresh = True
        self._met = max(self._met, count)
        if not fresh:
            return np.empty(0, np.uint64), np.empty(0, np.int64)
        ids = self._ids[self.pairs]
        known = self.left & (ids[:, 0] != 0) & ((self.pairs[:, 1] == 0) | (ids[:, 1] != 0))
        rows = np.flatnonzero(known)
        self.left[rows] = False
        return pack(ids[rows, 0], ids[rows, 1]), rows
