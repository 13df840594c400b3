"""What the scanner looks for, as one block of words.

In: the key lists of `analyzer.spans`, the words of `analyzer.error_classes`. Out: uint64[...] given to
every kernel (`work`): tables first, then scratch for the values of one span. An argument
rather than a compiled-in constant, because numba's cache would not notice a changed list.

An attribute key is told by its length and its last 8 bytes (all keys we look for differ in these), hashed
by a multiplier that was searched until no two keys share a place. Most keys of a span miss with one load.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from analyzer import error_classes, spans
from analyzer.kernels.hashing import U

Words = npt.NDArray[np.uint64]

# A slot is one attribute key; slots of one column stand together, best key first.
_COLUMNS = (
    spans.ERROR_TYPE_KEYS,
    spans.EXCEPTION_TYPE_KEYS,
    spans.EXCEPTION_MESSAGE_KEYS,
    spans.HTTP_STATUS_KEYS,
    spans.RPC_STATUS_KEYS,
    spans.RESEND_KEYS,
    spans.DATABASE_SYSTEM_KEYS,
    spans.MESSAGING_SYSTEM_KEYS,
    spans.RPC_SYSTEM_KEYS,
    spans.PEER_PRECEDENCE,
    ("exception.escaped",),
    ("service.name",),
)
KEYS = tuple(key.encode() for keys in _COLUMNS for key in keys)
SLOT_COUNT = len(KEYS)

_FIRST = np.cumsum([0, *[len(keys) for keys in _COLUMNS]])
FIRST = tuple(U(first) for first in _FIRST)  # first slot of each column, and one behind the last


def _bits(column: int) -> np.uint64:
    return U((1 << int(_FIRST[column + 1])) - (1 << int(_FIRST[column])))


(
    ERROR_TYPE,
    EXCEPTION_TYPE,
    EXCEPTION_MESSAGE,
    HTTP_STATUS,
    RPC_STATUS,
    RESEND,
    DATABASE_SYSTEM,
    MESSAGING_SYSTEM,
    RPC_SYSTEM,
    PEER,
    ESCAPED,
    SERVICE_NAME,
) = (_bits(column) for column in range(len(_COLUMNS)))
SPAN_SLOTS = U((1 << int(_FIRST[-3])) - 1)  # all that a span's own attributes may fill

# Places in the block of words.
KEY_PLACES = 256
KEY_LENGTH_MIN, KEY_LENGTH_SPAN = U(7), U(24)  # keys of 7 to 31 bytes
KEY_WORDS = 5  # length, and four words of the key: bytes 0, 8, 16 and the last 8
KEY_INDEX = U(0)  # 256 words: slot + 1, or 0
KEY_TEXT = U(KEY_PLACES)
RPC_WORDS = 4  # length, and three words of the name in capitals
_RPC = KEY_PLACES + KEY_WORDS * 64
RPC_TEXT = U(_RPC)
_PAIRS = _RPC + RPC_WORDS * 32
PAIR_FILTER = U(_PAIRS)  # 1024 bits: the first two letters of every error word
_CHAINS = _PAIRS + 16
WORD_FIRST = U(_CHAINS)  # per first letter: 1 + the first error word of its chain, 0: none
_RECORDS = _CHAINS + 256
WORD_RECORDS = U(_RECORDS)  # three words each: next of the chain + 1, class | length << 8, place of its text
WORDS_MAX = 128
_TEXT = _RECORDS + 3 * WORDS_MAX
WORD_TEXT_MAX = 512
KEY_MULTIPLIER = U(_TEXT + WORD_TEXT_MAX)
VALUES = U(_TEXT + WORD_TEXT_MAX + 8)  # scratch: two words a slot (start, length; or the number)
EVENT_VALUES = VALUES + U(2 * 64)
WORK_WORDS = int(EVENT_VALUES) + 2 * 64


def key_hash(length: int, last: int, multiplier: int) -> int:
    """Place of a key in the index; `scan.attributes.find_slot` computes the same."""
    mixed = (last ^ last >> 29 ^ length) & 0xFFFFFFFF
    return (mixed * multiplier >> 24) & (KEY_PLACES - 1)


def _word(text: bytes) -> int:
    return int.from_bytes(text[:8], "little")


def _multiplier() -> int:
    """Find the first multiplier of a fixed sequence under which no two keys meet."""
    candidate = 0x9E3779B1
    for _ in range(1 << 20):
        places = {key_hash(len(key), _word(key[-8:]), candidate) for key in KEYS}
        if len(places) == len(KEYS):
            return candidate
        candidate = (candidate * 0x2C1B3C6D + 0x297A2D39) & 0xFFFFFFFF | 1
    raise ValueError("no multiplier keeps the attribute keys apart; expected one: make KEY_PLACES larger")


def new_work() -> Words:
    """Make the block of one decoder (its scratch belongs to one thread)."""
    work = np.zeros(WORK_WORDS, np.uint64)
    _place_keys(work)
    for code, name in enumerate(error_classes.RPC_NAMES):
        text = name.encode()
        work[_RPC + RPC_WORDS * code : _RPC + RPC_WORDS * (code + 1)] = [
            len(text),
            *(_word(text[i : i + 8]) for i in (0, 8, 16)),
        ]
    _place_error_words(work)
    return work


def _place_keys(work: Words) -> None:
    multiplier = _multiplier()
    work[int(KEY_MULTIPLIER)] = multiplier
    for slot, key in enumerate(KEYS):
        if not int(KEY_LENGTH_MIN) <= len(key) <= int(KEY_LENGTH_MIN + KEY_LENGTH_SPAN):
            raise ValueError(f"attribute key {key!r} has {len(key)} bytes; expected 7 to 31")
        work[key_hash(len(key), _word(key[-8:]), multiplier)] = slot + 1
        start = KEY_PLACES + KEY_WORDS * slot
        work[start : start + KEY_WORDS] = [len(key), *(_word(key[i : i + 8]) for i in (0, 8, 16)), _word(key[-8:])]


def pair_bit(first: int, second: int) -> int:
    """Bit of two lower-case letters in the filter."""
    return (first * 31 + second) & 1023


def _place_error_words(work: Words) -> None:
    """Chain the error words of each first letter, in the order of the list: the first one wins."""
    rows = error_classes.KEYWORDS
    if len(rows) > WORDS_MAX:
        raise ValueError(f"{len(rows)} error words; expected at most {WORDS_MAX}")
    place = _TEXT
    last_of: dict[int, int] = {}
    for i, (text, found) in enumerate(rows):
        bit = pair_bit(text[0], text[1])
        work[_PAIRS + bit // 64] |= U(1 << bit % 64)
        record = _RECORDS + 3 * i
        if text[0] in last_of:
            work[_RECORDS + 3 * last_of[text[0]]] = i + 1
        else:
            work[_CHAINS + text[0]] = i + 1
        last_of[text[0]] = i
        work[record + 1] = int(found) | len(text) << 8
        work[record + 2] = place
        for k in range(0, len(text), 8):
            work[place] = _word(text[k : k + 8])
            place += 1
    if place > _TEXT + WORD_TEXT_MAX:
        raise ValueError("the error words do not fit; make WORD_TEXT_MAX larger")
