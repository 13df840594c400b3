"""Zeros by the gigabyte, packed: small bodies that are large when they are unpacked.

Nothing large is ever in memory, and nothing is packed twice: after a full flush a packer has forgotten what it saw, so
every further mebibyte of zeros is the same bytes again.
"""

from __future__ import annotations

import struct
import zlib

from collector.receivers.inflate import zstd

MIB = 2**20
_CHUNK = bytes(MIB)


def packed_zeros(coding: str, mib: int) -> bytes:
    """So many MiB of zeros as one whole body of "gzip", "deflate" or "zstd", with its right sum at the end."""
    if coding == "zstd":
        packer = zstd.ZstdCompressor()
        return b"".join([*(packer.compress(_CHUNK) for _ in range(mib)), packer.flush()])
    raw = zlib.compressobj(9, wbits=-15)
    piece = raw.compress(_CHUNK) + raw.flush(zlib.Z_FULL_FLUSH)
    body = piece * mib + raw.flush()
    if coding == "gzip":
        total = 0
        for _ in range(mib):
            total = zlib.crc32(_CHUNK, total)
        return b"\x1f\x8b\x08\0\0\0\0\0\2\xff" + body + struct.pack("<II", total, mib * MIB % 2**32)
    # Adler-32 of zeros: the first sum stays 1, the second counts the bytes.
    return b"\x78\xda" + body + struct.pack(">I", (mib * MIB % 65521) << 16 | 1)
