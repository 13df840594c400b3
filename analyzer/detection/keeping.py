"""What detection has learned, as bytes keyed by names, and back.

In: rows of entities, a vocabulary. Out: bytes; later, the rows of the entities whose names they carry. Instances are
left out (their siblings tell what is usual of them), and so are the ticks of the last minutes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from analyzer.detection.entities import BET_STREAM, KEPT, SHARES, STREAMS, Entities
from analyzer.detection.evidence import EARNED_TICKS
from analyzer.kernels.detection import COLUMNS, EDGE, FIRST_CALL, INNER, INSTANCE, OPERATION
from analyzer.snapshot import read_snapshot, require_array, write_snapshot
from analyzer.spans import Vocabulary

_KIND = "detection"
_VERSION = 3
_BEFORE = 2  # version without extreme times and without usual calls; both are learned anew
_NAME_BYTES_MAX = 4 * 4096  # four names, as long as the decoder lets them be
_LOW = (1 << 31) - 1

# Kind, service or caller, operation or callee, kind of the operation (and _WITHIN for one within traces); then, of a
# usual call of the operation, the same of the callee.
EntityWords = tuple[int, str, str, int, str, str, int]
_NO_CALL = ("", "", 0)
_WITHIN = 256
_SHARES_BEFORE = tuple(range(SHARES - 1))
# Where the columns of the version before stand now, of arrays that have become wider.
_WIDENED: dict[str, tuple[int, ...]] = {
    **dict.fromkeys(("share_n", "share_k", "share_z", "share_one", "share_size"), _SHARES_BEFORE),
    "wait_counts": tuple(range(COLUMNS - 1)),
    "log_ratio": tuple(BET_STREAM.index(stream) for stream in range(STREAMS)),
}


class Names:
    """Loaded rows until the vocabulary is met. Bounded by the blob they came from."""

    def __init__(self, names: list[EntityWords], columns: dict[str, npt.NDArray[np.float64]]) -> None:
        self.names = names
        self.columns = columns

    def give(self, entities: Entities, vocabulary: Vocabulary) -> None:
        """Put the rows under the keys that the names have in this vocabulary."""
        keys = np.array([_key(name, vocabulary) for name in self.names], np.uint64)
        slots = entities.add(keys)
        fits = slots >= 0
        for name, column in self.columns.items():
            entities[name][slots[fits]] = column[fits]


def write_state(
    entities: Entities,
    vocabulary: Vocabulary | None,
    opened: int | None,
    coming: npt.NDArray[np.float64],
    waiting: Names | None,
) -> bytes:
    """Return the bytes of everything learned; what still waits for its vocabulary goes along."""
    if vocabulary is None:
        names = [] if waiting is None else waiting.names
        columns = {} if waiting is None else waiting.columns
        arrays = {**(columns or {name: entities[name][:0] for name in KEPT}), "coming": coming}
        return write_snapshot(_KIND, _VERSION, {"entities": names, "open": opened}, arrays)
    kind = entities.keys[: entities.used] >> np.uint64(62)
    live = np.flatnonzero((entities.keys[: entities.used] != 0) & (kind != INSTANCE))
    names = [_words(int(key), vocabulary) for key in entities.keys[live]]
    arrays = {**{name: entities[name][live] for name in KEPT}, "coming": coming}
    return write_snapshot(_KIND, _VERSION, {"entities": names, "open": opened}, arrays)


def read_state(blob: bytes, entities_max: int) -> tuple[Names, int | None, npt.NDArray[np.float64]]:
    """Return (rows by name, open tick, what alarms have earned) of the bytes of `write_state`.

    Raises
    ------
    ValueError
        When they are cut, changed, or not of this kind.
    """
    row_bytes = 8 * sum(KEPT.values()) + _NAME_BYTES_MAX
    words, arrays, narrow = _read(blob, entities_max * row_bytes + (1 << 16))
    try:
        names = [_checked(name) for name in words["entities"]]
        opened = None if words["open"] is None else int(words["open"])
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{_KIND} snapshot: {error}") from error
    columns = {name: _column(arrays, name, len(names), width, narrow) for name, width in KEPT.items()}
    coming = require_array(arrays, "coming", "<f8", (EARNED_TICKS,))
    kept = {name: column[:entities_max] for name, column in columns.items()}
    return Names(names[:entities_max], kept), opened, coming


def _read(blob: bytes, size_max: int) -> tuple[dict[str, Any], dict[str, Any], bool]:
    """Words and arrays of a blob of this version or of the one before (True)."""
    try:
        return *read_snapshot(blob, _KIND, _VERSION, size_max), False
    except ValueError:
        try:
            return *read_snapshot(blob, _KIND, _BEFORE, size_max), True
        except ValueError:
            pass
        raise


def _column(arrays: dict[str, Any], name: str, count: int, width: int, narrow: bool) -> npt.NDArray[np.float64]:
    if not narrow or name not in _WIDENED:
        return require_array(arrays, name, "<f8", (count, width) if width > 1 else (count,))
    column = np.zeros((count, width))
    column[:, _WIDENED[name]] = require_array(arrays, name, "<f8", (count, len(_WIDENED[name])))
    return column


def _checked(name: Any) -> EntityWords:
    whole = (*name, *_NO_CALL) if len(name) == 4 else tuple(name)
    if [type(word) for word in whole] != [int, str, str, int, str, str, int]:
        raise ValueError(f"entity {name!r} is not (kind, name, name, span kind), with or without a call")
    kind, span_kind, callee_kind = whole[0], whole[3], whole[6]
    if kind not in (EDGE, OPERATION, 1) or not 0 <= span_kind < 2 * _WITHIN or not 0 <= callee_kind < _WITHIN:
        raise ValueError(f"entity {name!r} is of a kind that is not kept")
    found: EntityWords = whole
    return found


def _words(key: int, vocabulary: Vocabulary) -> EntityWords:
    kind, high, low = key >> 62, (key >> 31) & _LOW, key & _LOW
    text = vocabulary.strings.text
    if kind == EDGE:
        return EDGE, text(high), text(low), 0, *_NO_CALL
    if kind == OPERATION:
        service, name, span_kind = vocabulary.operations.key(low)
        if high < FIRST_CALL:
            return OPERATION, text(service), text(name), span_kind + (_WITHIN if high else 0), *_NO_CALL
        callee, called, callee_kind = vocabulary.operations.key(high - 1)
        return OPERATION, text(service), text(name), span_kind, text(callee), text(called), callee_kind
    return kind, text(low), "", 0, *_NO_CALL


def _key(words: EntityWords, vocabulary: Vocabulary) -> int:
    """The key of an entity in this vocabulary; 0 when a table is full."""
    kind, first, second, span_kind, service, name, called_kind = words
    intern = vocabulary.strings.intern
    if kind == EDGE:
        return (intern(first.encode()) << 31) | intern(second.encode())
    if kind == OPERATION:
        within, span_kind = divmod(span_kind, _WITHIN)
        intern_operation = vocabulary.operations.intern
        operation = intern_operation(intern(first.encode()), intern(second.encode()), span_kind)
        high = INNER if within else 0
        if (service, name, called_kind) != _NO_CALL:
            callee = intern_operation(intern(service.encode()), intern(name.encode()), called_kind)
            operation, high = (operation if callee else 0), (callee + 1) << 31
        return (OPERATION << 62) | high | operation if operation else 0
    return (kind << 62) | intern(first.encode())
