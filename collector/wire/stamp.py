"""Writes the tenant of a credential into a request, where attributes of a resource stand.

In: a request that the guard has passed. Out: the same with two more attributes at the end of every resource: of equal
keys the last wins, so what a client says there itself does not count. `tenant.id` is for people; `firstfault.tenant`,
which nobody has by accident, keeps traces apart. Nothing else is decoded or moved, and Python takes a step a group, not
a field: a request of eight million fields that nobody knows is copied, no more.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from analyzer.kernels.hashing import SLACK_BYTES
from analyzer.spans import RESOURCE_KEYS
from analyzer.strings import BLOB_LENGTH_MAX
from collector.errors import BadRequestError
from collector.wire.scan.groups import WORDS, find_groups

TENANT_KEYS = (RESOURCE_KEYS["tenant"][0], RESOURCE_KEYS["owner"][0])
ATTRIBUTES_MAX = 1_000  # of one resource with a tenant; the engine looks through them in Python


def stamp_tenant(payload: bytes, tenant: str) -> bytes:
    """Return the request with the tenant in every resource.

    Raises
    ------
    BadRequestError
        It is not protobuf (the guard lets none such through), or a resource is larger than the engine reads: it would
        be nobody's there.
    """
    value = _message(0x12, _message(0x0A, tenant.encode()))
    stamp = b"".join(_message(0x0A, _message(0x0A, key.encode()) + value) for key in TENANT_KEYS)
    whole, pieces, at = memoryview(payload), list[bytes | memoryview](), 0
    for begin, start, end, heads, head_begin, head_start, head_end, size, fields in _groups(payload).tolist():
        if size + len(stamp) > BLOB_LENGTH_MAX or fields > ATTRIBUTES_MAX:
            raise BadRequestError(
                f"a resource has {size} bytes and {fields} attributes; with a tenant at most "
                f"{BLOB_LENGTH_MAX - len(stamp)} and {ATTRIBUTES_MAX} are expected",
                "resource_too_large",
            )
        inner: list[bytes | memoryview]
        if heads == 1:
            size_now = _head(0x0A, size + len(stamp))
            inner = [whole[start:head_begin], size_now, whole[head_start:head_end], stamp, whole[head_end:end]]
        else:  # a reader puts what comes last behind the others
            inner = [whole[start:end], _message(0x0A, stamp)]
        pieces += [whole[at:begin], _head(0x0A, sum(map(len, inner))), *inner]
        at = end
    pieces.append(whole[at:])
    return b"".join(pieces)


def _groups(payload: bytes) -> npt.NDArray[np.int64]:
    raw, room = np.frombuffer(payload + bytes(SLACK_BYTES), np.uint8), 64
    while True:
        places = np.zeros((room, WORDS), np.int64)
        count = find_groups(raw, len(payload), places)
        if count < 0:
            raise BadRequestError("the request ends inside a field, or holds what is no field; expected OTLP")
        if count <= room:
            return places[:count]
        room = count


def _message(tag: int, body: bytes) -> bytes:
    return _head(tag, len(body)) + body


def _head(tag: int, length: int) -> bytes:
    size = bytearray([tag])
    while length > 0x7F:
        size.append(length & 0x7F | 0x80)
        length >>= 7
    size.append(length)
    return bytes(size)
