"""What was learned, as bytes: a header, words as JSON, arrays as they lie in memory.

In: a kind, a version, words, named arrays. Out: bytes, and back. Never unpickles, never reads more
than it was told to expect, and says what is wrong with a blob it cannot read.

Layout: 4 bytes `FFSN`, CRC-32 of the rest, size of the body when unpacked, zlib(body). Body: length of a JSON
head, the head (kind, version, words, arrays as [name, dtype, shape]), the arrays one after another.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

_MAGIC = b"FFSN"
_HEADER = struct.Struct("<4sIQ")
_LENGTH = struct.Struct("<Q")
_DTYPES = frozenset({"<f4", "<f8", "<i8", "<i4", "<u4", "<u8", "|u1", "|b1"})

Arrays = Mapping[str, npt.NDArray[Any]]


def write_snapshot(kind: str, version: int, words: Mapping[str, Any], arrays: Arrays) -> bytes:
    """Return words and arrays as bytes that `read_snapshot` understands."""
    plain = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    listed = [[name, array.dtype.str, list(array.shape)] for name, array in plain.items()]
    head = json.dumps({"kind": kind, "version": version, "words": words, "arrays": listed}).encode()
    body = b"".join([_LENGTH.pack(len(head)), head, *(array.tobytes() for array in plain.values())])
    packed = zlib.compress(body, 1)
    return _HEADER.pack(_MAGIC, zlib.crc32(packed), len(body)) + packed


def read_snapshot(blob: bytes, kind: str, version: int, size_max: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return (words, arrays) of a blob.

    Raises
    ------
    ValueError
        When the blob is cut, changed, of another kind or version, or larger than `size_max` bytes unpacked.
        Nothing of it has been used then.
    """
    if len(blob) < _HEADER.size or blob[:4] != _MAGIC:
        raise ValueError(f"{kind} snapshot: {len(blob)} bytes that do not begin with {_MAGIC!r}; it is not a snapshot")
    _, checksum, size = _HEADER.unpack_from(blob)
    packed = blob[_HEADER.size :]
    if zlib.crc32(packed) != checksum:
        raise ValueError(f"{kind} snapshot: checksum does not match; the blob was cut or changed. Start without it")
    if size > size_max:
        raise ValueError(f"{kind} snapshot: {size} bytes unpacked; at most {size_max} are expected")
    try:
        body = zlib.decompressobj().decompress(packed, size + 1)
        (head_length,) = _LENGTH.unpack_from(body)
        head = json.loads(body[_LENGTH.size : _LENGTH.size + head_length])
        if (head["kind"], head["version"]) != (kind, version):
            found = f"{head['kind']} version {head['version']}"
            raise ValueError(f"found {found}; this program reads {kind} version {version}")
        arrays = _read_arrays(body, _LENGTH.size + head_length, head["arrays"])
        return dict(head["words"]), arrays
    except (zlib.error, struct.error, KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
        raise ValueError(f"{kind} snapshot: {error}") from error


def _read_arrays(body: bytes, offset: int, listed: Any) -> dict[str, npt.NDArray[Any]]:
    arrays: dict[str, npt.NDArray[Any]] = {}
    for name, dtype, shape in listed:
        if dtype not in _DTYPES or any(type(side) is not int or side < 0 for side in shape):
            raise ValueError(f"array {name!r} has dtype {dtype!r} and shape {shape!r}")
        count = 1
        for side in shape:
            count *= side
        length = count * np.dtype(dtype).itemsize
        if offset + length > len(body):
            raise ValueError(f"array {name!r} is cut")
        arrays[name] = np.frombuffer(body, dtype, count, offset).reshape(shape).copy()
        offset += length
    if offset != len(body):
        raise ValueError(f"{len(body) - offset} bytes too many")
    return arrays


def require_array(arrays: Arrays, name: str, dtype: str, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    """Return an array of a snapshot after a look at its dtype and shape.

    Raises
    ------
    ValueError
        When it is missing or different, or holds a number that is not finite or negative.
    """
    array = arrays.get(name)
    if array is None or array.dtype != np.dtype(dtype) or array.shape != shape:
        found = "nothing" if array is None else f"{array.dtype.str}{list(array.shape)}"
        raise ValueError(f"snapshot array {name!r}: found {found}, expected {dtype}{list(shape)}")
    if array.dtype.kind == "f" and not (np.isfinite(array).all() and (array >= 0).all()):
        raise ValueError(f"snapshot array {name!r}: holds numbers that are negative or not finite")
    return array
