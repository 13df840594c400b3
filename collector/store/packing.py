"""Answers and OTLP bytes <-> what stands in a row.

In: an `Answer`, request bytes. Out: zstd frames. It never looks into OTLP.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace

from pydantic import BaseModel

from analyzer.errors.group_words import ErrorGroup
from analyzer.findings import Answer
from analyzer.incident_words import Incident
from collector.contracts import OutboxItem, StoredTrace
from collector.errors import PermanentError
from collector.trace_names import ID_BYTES

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

LEVEL = 3  # 8.1 KB of a trace -> 1.9 KB at 500 k spans/s; higher levels gain little (ecosystem.md 2.2)
UNPACKED_BYTES_MAX = 512 * 2**20  # no blob of ours comes near; a damaged frame header may say anything
NAME_BYTES_MAX = ID_BYTES + 1 + 128
INTEGER_MAX = 2**63 - 1

Columns = tuple[int, bytes, int, int, int, str, str, str, str, str, str, str, str, float, str, bytes]


class UnreadableBlobError(Exception):
    """A frame is damaged; the row it stands in is lost, its neighbours are not."""


def trace_key(name: bytes) -> int:
    """Return the first 8 bytes as the signed integer of column `tk`.

    Raises
    ------
    PermanentError
        The id in it is not 16 bytes long, or too much is behind it.
    """
    if not (len(name) == ID_BYTES or (name[ID_BYTES : ID_BYTES + 1] == b"@" and len(name) <= NAME_BYTES_MAX)):
        raise PermanentError(
            f"trace id has {len(name)} bytes; expected {ID_BYTES}, or those and @tenant", "bad_trace_id"
        )
    return int.from_bytes(name[:8], "big", signed=True)


class Packer:
    """Compresses; one per thread that puts (a zstd context is not shared)."""

    def __init__(self) -> None:
        self._zstd = zstd.ZstdCompressor(level=LEVEL)

    def pack(self, raw: bytes) -> bytes:
        # A context that is used again is six times as fast as zstd.compress on 5 KB.
        frame: bytes = self._zstd.compress(raw, mode=zstd.ZstdCompressor.FLUSH_FRAME)
        return frame

    def columns(self, trace: StoredTrace) -> Columns:
        """Return the values of `trace_result` after `id`."""
        answer = trace.answer
        first = answer.root_causes[0] if answer.root_causes else None
        return (
            trace_key(trace.name),
            trace.name,
            answer.revision,
            integer(answer.start_ns),
            integer(answer.end_ns),
            text_of(answer.root_service),
            text_of(answer.root_operation),
            answer.status,
            answer.verdict,
            first.entity.kind if first else "",
            text_of(first.entity.name) if first else "",
            text_of(first.entity.service) if first else "",
            first.rule if first else "",
            first.probability if first else 0.0,
            text_of(answer.summary),
            self.pack(json_of(answer)),
        )

    def blobs(self, trace: StoredTrace) -> tuple[bytes | None, bytes | None]:
        return (
            self.pack(trace.trace_otlp) if trace.trace_otlp is not None else None,
            self.pack(trace.logs_otlp) if trace.logs_otlp is not None else None,
        )

    def message(self, item: OutboxItem) -> OutboxItem:
        """A third of the bytes: an outage may last three times as long under the same quota."""
        return replace(item, payload=self.pack(item.payload))


def unpack(frame: bytes) -> bytes:
    """Undo `Packer.pack`.

    Raises
    ------
    UnreadableBlobError
        The frame is damaged, cut short or says it is larger than `UNPACKED_BYTES_MAX`.
    """
    try:
        reader = zstd.ZstdDecompressor()
        raw: bytes = reader.decompress(frame, max_length=UNPACKED_BYTES_MAX)
    except zstd.ZstdError as error:
        raise UnreadableBlobError(f"a stored frame of {len(frame)} bytes is damaged: {error}") from error
    if not reader.eof:
        raise UnreadableBlobError(
            f"a stored frame of {len(frame)} bytes is cut short or over {UNPACKED_BYTES_MAX} bytes"
        )
    return raw


def unpack_answer(frame: bytes) -> Answer:
    """Undo the `answer` column.

    Raises
    ------
    UnreadableBlobError
        The frame is damaged or holds no `Answer`.
    """
    raw = unpack(frame)
    try:
        return Answer.model_validate_json(raw)
    except ValueError as error:
        raise UnreadableBlobError(f"a stored answer cannot be read: {error}") from error


def unpack_incident(frame: bytes) -> Incident:
    """Undo the `body` column of an incident.

    Raises
    ------
    UnreadableBlobError
        The frame is damaged or holds no `Incident`.
    """
    raw = unpack(frame)
    try:
        return Incident.model_validate_json(raw)
    except ValueError as error:
        raise UnreadableBlobError(f"a stored incident cannot be read: {error}") from error


def unpack_group(frame: bytes) -> ErrorGroup:
    """Undo the `body` column of a group.

    Raises
    ------
    UnreadableBlobError
        The frame is damaged or holds no `ErrorGroup`.
    """
    raw = unpack(frame)
    try:
        return ErrorGroup.model_validate_json(raw)
    except ValueError as error:
        raise UnreadableBlobError(f"a stored group cannot be read: {error}") from error


def integer(value: int) -> int:
    """SQLite holds 64 bits; a time beyond them is a data defect, not a reason to lose the answer."""
    return max(-INTEGER_MAX - 1, min(INTEGER_MAX, value))


def text_of(value: str) -> str:
    """A lone surrogate cannot be written as UTF-8; it becomes `?`, so that no text can keep an answer out."""
    return value if value.isascii() else value.encode("utf-8", "replace").decode("utf-8")


def json_of(word: BaseModel) -> bytes:
    """Write words out as JSON, whatever text is in them."""
    try:
        return word.model_dump_json().encode()
    except ValueError:  # lone surrogates, see `text_of`
        return json.dumps(word.model_dump(mode="python"), ensure_ascii=False).encode("utf-8", "replace")
