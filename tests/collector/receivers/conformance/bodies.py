"""Requests of an exact size, and bodies in every coding."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from collector.receivers.inflate import zstd
from tests.support.doors import request

LIMIT = 256 * 1024


def sized(size_bytes: int) -> ExportTraceServiceRequest:
    """A good request of exactly this size."""
    message = request("x" * (size_bytes - 100))
    message.resource_spans[0].schema_url = "x" * (size_bytes - message.ByteSize() - 2)
    assert message.ByteSize() == size_bytes
    return message


def packed_as(coding: str, body: bytes) -> bytes:
    packers: dict[str, Callable[[bytes], bytes]] = {
        "identity": bytes,
        "gzip": gzip.compress,
        "deflate": zlib.compress,
        "zlib": zlib.compress,
        "raw deflate": lambda data: zlib.compress(data)[2:-4],
        "zstd": zstd.compress,
    }
    return packers[coding](body)


def coding_header(coding: str) -> dict[str, str]:
    return {"content-encoding": coding.removeprefix("raw ")}
