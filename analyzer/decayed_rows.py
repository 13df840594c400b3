"""Rows of counts that fade, by key, with their names across restarts: what baselines and structure rest on.

In: keys, the owner's time. Out: slots to index the arrays with, bytes to keep. Never decides what is
unusual, never grows beyond its capacity.

Two horizons: in `rows` the even layers are slow and the odd ones fast, in `mass` the columns from
`FAST_COLUMNS` on are fast. Nothing fades in place: an observation of now weighs `2**(t / half_life)`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from analyzer.kernels.decay import ACTIVITY, MASS, rescale
from analyzer.pair_table import Added, Keys, OperationName, PairTable, Slots, Waiting, name_keys
from analyzer.snapshot import Arrays, read_snapshot, require_array, write_snapshot
from analyzer.spans import Vocabulary

_VERSION = 1
_OCTAVES_MAX = 30.0  # renormalise when one observation weighs 2**30: float32 has room for 2**127
_NAME_BYTES_MAX = 2 * 4096  # two names of an operation, as long as the decoder lets them be


class DecayedRows:
    """Counts by key. One owner thread, that of its owner.

    rows : float32[capacity, layers, bins]
    mass : float64[capacity, MASS]
    since_ns : int64[capacity, 2]    owner's time at which something was first seen; 0: it is not seen now
    octaves : float64[2]             log2 of what one observation weighs, slow and fast
    """

    def __init__(self, kind: str, capacity: int, shape: tuple[int, int], half_lives_s: tuple[float, float]) -> None:
        self.table = PairTable(capacity)
        # calloc gives these pages out only when they are touched, so a small system stays small.
        self.rows = np.zeros((capacity, *shape), np.float32)
        self.mass = np.zeros((capacity, MASS), np.float64)
        self.since_ns = np.zeros((capacity, 2), np.int64)
        self.octaves = np.zeros(2, np.float64)
        self.now_ns: int | None = None
        self.vocabulary: Vocabulary | None = None
        self._kind = kind
        self._half_lives_s = np.array(half_lives_s)
        self._waiting: Waiting | None = None
        self._waiting_rows = self.rows[:0]
        self._waiting_mass = self.mass[:0]

    @property
    def scales(self) -> tuple[float, float]:
        """What one observation of now weighs on the slow and on the fast horizon."""
        return float(2.0 ** self.octaves[0]), float(2.0 ** self.octaves[1])

    def add(self, keys: Keys) -> Added:
        """Give an empty row to every key that has none, taking those of the least active keys when it must."""
        added = self.table.add(keys, self.mass[:, ACTIVITY])
        for array in (self.rows, self.mass, self.since_ns):
            array[added.evicted] = 0
        return added

    def advance(self, now_ns: int) -> None:
        """Let time pass: nothing is touched but the scales, until they grow large. Time never runs back."""
        if self.now_ns is None:
            self.now_ns = now_ns
        passed_s = max(0, now_ns - self.now_ns) / 1e9
        self.now_ns = max(self.now_ns, now_ns)
        self.octaves += passed_s / self._half_lives_s
        over = self.octaves > _OCTAVES_MAX
        if over.any():
            slow, fast = np.where(over, 2.0 ** -np.minimum(self.octaves, 1000.0), 1.0).tolist()
            rescale(self.rows, self.mass, self.table.used, slow, fast)
            rescale(self._waiting_rows, self._waiting_mass, len(self._waiting_rows), slow, fast)
            self.octaves[over] = 0.0

    def meet(self, vocabulary: Vocabulary) -> tuple[Slots, Slots]:
        """Bind to the vocabulary, and give loaded rows to the operations met since.

        Returns
        -------
        (int32[...], int32[...])
            Slots that were filled, slots that were emptied for them.

        Raises
        ------
        ValueError
            When the batch speaks another vocabulary than the ones before: its ids would mean other operations.
        """
        if self.vocabulary is None:
            self.vocabulary = vocabulary
        if self.vocabulary is not vocabulary:
            raise ValueError(f"this batch has another vocabulary than the {self._kind}; one engine has one vocabulary")
        none = np.empty(0, np.int32)
        if self._waiting is None:
            return none, none
        keys, found = self._waiting.take(vocabulary)
        slots, evicted = none, none
        if len(keys):
            evicted = self.add(keys).evicted
            slots = self.table.find(keys)
            fits = (slots >= 0) & (self.mass[slots, ACTIVITY] == 0)  # what was learned since then stays
            slots, found = slots[fits], found[fits]
            self.rows[slots] = self._waiting_rows[found]
            self.mass[slots] = self._waiting_mass[found]
        if not self._waiting.left.any():
            self._waiting, self._waiting_rows, self._waiting_mass = None, self.rows[:0], self.mass[:0]
        return slots, evicted

    def save(self, words: dict[str, Any]) -> bytes:
        """Return everything, keyed by names; rows that still wait for their names go along."""
        live = np.flatnonzero(self.table.keys[: self.table.used])
        names: list[OperationName] = []
        pairs = np.zeros((0, 2), np.uint32)
        if self.vocabulary is not None:
            names, pairs = name_keys(self.table.keys[live], self.vocabulary)
        rows, mass = self.rows[live], self.mass[live]
        if self._waiting is not None:
            left = self._waiting.left
            moved = self._waiting.pairs[left]
            pairs = np.concatenate([pairs, np.where(moved > 0, moved + np.uint32(len(names)), np.uint32(0))])
            names = names + self._waiting.names
            rows = np.concatenate([rows, self._waiting_rows[left]])
            mass = np.concatenate([mass, self._waiting_mass[left]])
        most = self.table.capacity
        words = {**words, "operations": names, "octaves": self.octaves.tolist(), "now_ns": self.now_ns}
        arrays: Arrays = {"pairs": pairs[:most], "rows": rows[:most], "mass": mass[:most]}
        return write_snapshot(self._kind, _VERSION, words, arrays)

    def load(self, blob: bytes) -> tuple[DecayedRows, dict[str, Any]]:
        """Return (rows of the same shape, words) from the bytes of `save`; `self` stays as it is.

        Raises
        ------
        ValueError
            When the blob is not one that `save` wrote for this kind, or is cut or changed.
        """
        capacity, *shape = self.rows.shape
        row_bytes = 4 * shape[0] * shape[1] + 8 * MASS + 8
        size_max = capacity * (row_bytes + _NAME_BYTES_MAX) + (1 << 16)
        words, arrays = read_snapshot(blob, self._kind, _VERSION, size_max)
        count = len(arrays.get("pairs", ()))
        pairs = require_array(arrays, "pairs", "<u4", (count, 2))
        half_lives_s = (float(self._half_lives_s[0]), float(self._half_lives_s[1]))
        loaded = DecayedRows(self._kind, capacity, (shape[0], shape[1]), half_lives_s)
        loaded._waiting_rows = require_array(arrays, "rows", "<f4", (count, shape[0], shape[1]))
        loaded._waiting_mass = require_array(arrays, "mass", "<f8", (count, MASS))
        try:
            octaves: npt.NDArray[np.float64] = np.array([float(value) for value in words["octaves"]])
            loaded.now_ns = None if words["now_ns"] is None else int(words["now_ns"])
            loaded._waiting = Waiting([(service, name, kind) for service, name, kind in words["operations"]], pairs)
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{self._kind} snapshot: {error}") from error
        if octaves.shape != (2,) or not ((octaves >= 0) & (octaves <= _OCTAVES_MAX)).all():
            raise ValueError(f"{self._kind} snapshot: scales 2**{octaves.tolist()}; expected two from 0 to 30")
        loaded.octaves = octaves
        return loaded, words
