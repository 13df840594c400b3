"""The tables that ids refer to: strings, operations, resources, scopes.

In: bytes, once each. Out: small dense ids that never change while the process lives. All four
tables of a vocabulary share one block of words and one block of text, so that a kernel can be
given the whole vocabulary as two arrays. The blocks are virtual memory: what is not used is
never touched. A full table answers with `<other>` and counts it; it never grows.

Owner: the engine thread adds; any thread may read an id it was given.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import astuple, dataclass, replace

import numpy as np
import numpy.typing as npt

from analyzer.kernels import hashing
from analyzer.kernels.hashing import HEADER_WORDS, SLACK_BYTES
from analyzer.resource_fields import read_resource
from analyzer.spans import STRING_OTHER, Bytes, Resource, Vocabulary

Clean = Callable[[str], str]
Words = npt.NDArray[np.uint64]

STRINGS_MAX = 262_144  # 60 services x 100 operations leave it nearly empty; ids in names fill it, and then stop
STRING_BYTES_MAX = 32 << 20
OPERATIONS_MAX = 65_536
RESOURCES_MAX = 65_536  # one a process instance: a day of pods of a large cluster
RESOURCE_BYTES_MAX = 64 << 20
SCOPES_MAX = 8_192
SCOPE_BYTES_MAX = 8 << 20
STRING_LENGTH_MAX = 1_024  # reliability.md shape 31: longer text is cut at a code point; whole in the span's bytes
BLOB_LENGTH_MAX = 1 << 20  # a Resource or scope larger than this is `<other>`

TEXT_BYTES_MIN = 64
_OTHER_TEXT = b"<other>"


@dataclass(frozen=True, slots=True)
class TableBlock:
    """The memory of all tables of one vocabulary.

    words : uint64[...]    headers, hash slots, records (layout: analyzer.kernels.hashing)
    text : uint8[...]      bytes of strings, resources and scopes, each in its own region

    Headers stand first, in the order strings, operations, resources, scopes.
    """

    words: Words
    text: Bytes


@dataclass(frozen=True, slots=True)
class _Plan:
    """What one table needs of the block."""

    count_max: int
    text_bytes_max: int
    record_words: int
    other: int
    length_max: int = 0
    cut: bool = False

    @property
    def slot_count(self) -> int:
        return 1 << (2 * self.count_max - 1).bit_length()  # at most half full: short probes

    @property
    def word_count(self) -> int:
        return self.slot_count + self.count_max * self.record_words


def _block(plans: list[_Plan], secrets: tuple[int, int]) -> TableBlock:
    header_words = HEADER_WORDS * len(plans)
    words = np.zeros(header_words + sum(plan.word_count for plan in plans), np.uint64)
    text = np.zeros(sum(plan.text_bytes_max for plan in plans) + SLACK_BYTES, np.uint8)
    word_place, text_place = header_words, 0
    for i, plan in enumerate(plans):
        if plan.text_bytes_max and plan.text_bytes_max < TEXT_BYTES_MIN:
            raise ValueError(f"a table of {plan.text_bytes_max} bytes of text; expected {TEXT_BYTES_MIN} or more")
        if not 2 <= plan.count_max < 1 << hashing.ID_BITS:
            raise ValueError(f"a table of {plan.count_max} ids; expected 2 to {(1 << hashing.ID_BITS) - 1}")
        header = words[i * HEADER_WORDS : (i + 1) * HEADER_WORDS]
        header[hashing.SLOTS] = word_place
        header[hashing.SLOT_MASK] = plan.slot_count - 1
        header[hashing.RECORDS] = word_place + plan.slot_count
        header[hashing.COUNT_MAX] = plan.count_max
        header[hashing.TEXT] = text_place
        header[hashing.TEXT_BYTES_MAX] = plan.text_bytes_max
        header[hashing.COUNT] = 1  # id 0 stands for nothing (or `<other>`) and is in no slot
        header[hashing.SECRET_0], header[hashing.SECRET_1] = secrets
        header[hashing.OTHER] = plan.other
        header[hashing.LENGTH_MAX] = plan.length_max
        header[hashing.CUT] = int(plan.cut)
        word_place += plan.word_count
        text_place += plan.text_bytes_max
    return TableBlock(words, text)


class _Table:
    """One table of the block."""

    def __init__(self, block: TableBlock, header: np.uint64) -> None:
        self.block = block
        self._header = header
        self._at = int(header)

    def _word(self, which: int) -> int:
        return int(self.block.words[self._at + which])

    @property
    def overflow_count(self) -> int:
        """How often `<other>` was answered because the table was full (or the bytes too long)."""
        return self._word(hashing.OVERFLOWS)

    def __len__(self) -> int:
        return self._word(hashing.COUNT)

    def _check(self, index: int) -> None:
        if not 0 <= index < len(self):
            raise IndexError(f"id {index}; expected 0 to {len(self) - 1}")


class _TextTable(_Table):
    """A table of byte strings."""

    def __init__(self, block: TableBlock, header: np.uint64) -> None:
        super().__init__(block, header)
        # The table never moves: where it stands need not be looked up for every text.
        self._records, self._text = self._word(hashing.RECORDS), self._word(hashing.TEXT)

    def intern(self, text: bytes) -> int:
        """Return the id of `text`, adding it when new; the `<other>` id when the table is full."""
        source = np.frombuffer(text + bytes(SLACK_BYTES), np.uint8)
        block = self.block
        found = hashing.intern_text(block.words, block.text, self._header, source, np.uint64(0), np.uint64(len(text)))
        return int(found) & 0xFFFFFFFF

    def raw(self, index: int) -> bytes:
        """Return the bytes of an id.

        Raises
        ------
        IndexError
            When the id was never given.
        """
        self._check(index)
        if index == 0:
            return b""
        record = int(self.block.words[self._records + index])
        place = self._text + (record & 0xFFFFFFFF)
        return self.block.text[place : place + (record >> 32 & 0x7FFFFFFF)].tobytes()


class StringTable(_TextTable):
    """Text by id; 0 is the empty string, 1 is `<other>`."""

    def __init__(self, block: TableBlock, clean: Clean | None = None) -> None:
        super().__init__(block, hashing.STRING_TABLE)
        self._clean = clean
        # What has been shown once is shown again: names of services and operations. As bounded as the table.
        self._shown: dict[int, str] = {}
        # The record of id 1 stands in no slot: a service truly called "<other>" gets its own id.
        record = self._word(hashing.RECORDS) + STRING_OTHER
        block.words[record] = len(_OTHER_TEXT) << 32
        place = self._word(hashing.TEXT)
        block.text[place : place + len(_OTHER_TEXT)] = np.frombuffer(_OTHER_TEXT, np.uint8)
        block.words[self._at + hashing.TEXT_BYTES] = len(_OTHER_TEXT)
        block.words[self._at + hashing.COUNT] = STRING_OTHER + 1

    def text(self, index: int) -> str:
        """Return the text of an id, cleaned; invalid UTF-8 is shown as U+FFFD."""
        found = self._shown.get(index)
        if found is None:
            found = self.raw(index).decode("utf-8", "replace")
            if self._clean is not None:
                found = self._clean(found)
            self._shown[index] = found
        return found


class OperationTable(_Table):
    """Operations by id: who does what, as which kind. Id 0 is `<other>`."""

    def __init__(self, block: TableBlock) -> None:
        super().__init__(block, hashing.OPERATION_TABLE)
        block.words[self._word(hashing.RECORDS)] = STRING_OTHER

    def intern(self, service: int, name: int, kind: int) -> int:
        """Return the id of (service string id, name string id, kind); 0 when the table is full."""
        three = (np.uint64(service), np.uint64(name), np.uint64(kind))
        return int(hashing.intern_operation(self.block.words, self._header, *three))

    def key(self, index: int) -> tuple[int, int, int]:
        """Return (service string id, name string id, kind) of an operation id."""
        self._check(index)
        record = self._word(hashing.RECORDS) + 2 * index
        pair, kind = int(self.block.words[record]), int(self.block.words[record + 1])
        return pair >> 32, pair & 0xFFFFFFFF, kind


class ResourceTable(_TextTable):
    """Resources by id. Id 0 is `<other>`: the table was full, or no resource was sent."""

    def __init__(self, block: TableBlock, clean: Clean | None = None) -> None:
        super().__init__(block, hashing.RESOURCE_TABLE)
        self._clean = clean
        self._read: dict[int, Resource] = {}  # bounded by the ids of the table

    def resource(self, index: int) -> Resource:
        """Return the resource in words; read on the first question, kept after."""
        found = self._read.get(index)
        if found is None:
            found = read_resource(self.raw(index))
            if self._clean is not None:
                owner = found.owner  # part of what a trace is called, so it must stay as it is
                found = replace(Resource(*(self._clean(text) for text in astuple(found))), owner=owner)
            self._read[index] = found
        return found


class ScopeTable(_TextTable):
    """Instrumentation scopes by id; 0: none, or the table was full."""

    def __init__(self, block: TableBlock) -> None:
        super().__init__(block, hashing.SCOPE_TABLE)


def new_vocabulary(
    *,
    strings_max: int = STRINGS_MAX,
    string_bytes_max: int = STRING_BYTES_MAX,
    operations_max: int = OPERATIONS_MAX,
    resources_max: int = RESOURCES_MAX,
    resource_bytes_max: int = RESOURCE_BYTES_MAX,
    scopes_max: int = SCOPES_MAX,
    scope_bytes_max: int = SCOPE_BYTES_MAX,
    seed: int | None = None,
    clean: Clean | None = None,
) -> Vocabulary:
    """Make the empty tables of one engine.

    Parameters
    ----------
    strings_max, operations_max, resources_max, scopes_max : int
        Ids of each table, the reserved ones included.
    string_bytes_max, resource_bytes_max, scope_bytes_max : int
        Bytes of text each may hold.
    seed : int, optional
        Of the hash secrets. Default: random, so nobody outside can make names that collide.
        Ids do not depend on it.
    clean : callable, optional
        Text -> the text that is shown: secrets masked. Asked once for each id; ids and raw bytes do not depend on it.

    Raises
    ------
    ValueError
        When a table has fewer than 2 ids, or 2**24 or more, or less than 64 bytes of text.
    """
    sequence = np.random.SeedSequence(seed)
    first, second = (int(word) | 1 for word in sequence.generate_state(2, np.uint64))
    block = _block(
        [
            _Plan(strings_max, string_bytes_max, 1, STRING_OTHER, STRING_LENGTH_MAX, cut=True),
            _Plan(operations_max, 0, 2, 0),
            _Plan(resources_max, resource_bytes_max, 1, 0, BLOB_LENGTH_MAX),
            _Plan(scopes_max, scope_bytes_max, 1, 0, BLOB_LENGTH_MAX),
        ],
        (first, second),
    )
    return Vocabulary(StringTable(block, clean), OperationTable(block), ResourceTable(block, clean), ScopeTable(block))


def block_of(vocabulary: Vocabulary) -> TableBlock:
    """Return the arrays of a vocabulary made by `new_vocabulary`.

    Raises
    ------
    TypeError
        When it was made by hand (tests do), or of tables of different vocabularies.
    """
    tables = (vocabulary.strings, vocabulary.operations, vocabulary.resources, vocabulary.scopes)
    blocks = [table.block for table in tables if isinstance(table, _Table)]
    if len(blocks) != len(tables) or any(block is not blocks[0] for block in blocks):
        raise TypeError("the vocabulary has no table block of its own; expected one made by new_vocabulary()")
    return blocks[0]
