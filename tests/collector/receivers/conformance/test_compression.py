"""Which compressions the OTLP 1.11 receiver takes, and what it says of others and of damage."""

from __future__ import annotations

import gzip
from collections.abc import Callable

import grpc
import pytest
from google.rpc.status_pb2 import Status

from collector.receivers.inflate import zstd
from tests.collector.receivers.conformance.bodies import coding_header, packed_as
from tests.collector.receivers.conformance.rows import row
from tests.support import raw_http2
from tests.support.doors import PROTOBUF, Doors, request


@row(1)
@pytest.mark.parametrize("compression", list(grpc.Compression))
def test_grpc_takes_plain_gzip_and_deflate(doors: Doors, compression: grpc.Compression):
    doors.traces.Export(request("a"), compression=compression, timeout=10)

    assert doors.handover.spans() == ["a"]


@row(1)
@pytest.mark.parametrize(("coding", "pack"), [("", bytes), ("identity", bytes), ("gzip", gzip.compress)])
def test_http_takes_plain_and_gzip(doors: Doors, coding: str, pack: Callable[[bytes], bytes]):
    body = pack(request("a").SerializeToString())

    answer = doors.http.post("/v1/traces", content=body, headers=PROTOBUF | {"content-encoding": coding})

    assert (answer.status_code, doors.handover.spans()) == (200, ["a"])


@row(13)
@pytest.mark.parametrize("coding", ["gzip", "deflate", "zstd"])
def test_http_damaged_compression_is_400(doors: Doors, coding: str):
    packed = packed_as(coding, request("a").SerializeToString())
    bodies = [packed[:-3], b"\x00\x01\x02\x03" + packed[4:], packed + b"garbage"]

    answers = [
        doors.http.post("/v1/traces", content=body, headers=PROTOBUF | coding_header(coding)).status_code
        for body in bodies
    ]

    assert answers == [400, 400, 400]


@row(17)
@pytest.mark.parametrize("coding", ["zstd", "deflate", "zlib", "raw deflate"])
def test_http_takes_more_compressions_than_the_specification(doors: Doors, coding: str):
    body = packed_as(coding, request("a").SerializeToString())

    answer = doors.http.post("/v1/traces", content=body, headers=PROTOBUF | coding_header(coding))

    assert (answer.status_code, doors.handover.spans()) == (200, ["a"])


@row(17)
@pytest.mark.parametrize("coding", ["br", "snappy", "gzip, gzip"])
def test_http_unknown_compression_is_415(doors: Doors, coding: str):
    answer = doors.http.post("/v1/traces", content=b"x", headers=PROTOBUF | {"content-encoding": coding})

    assert (answer.status_code, Status.FromString(answer.content).code) == (415, 12)


@row(17)
def test_grpc_zstd_is_refused_by_grpcio_itself(doors: Doors):
    """13 INTERNAL, so clients drop the data: the documentation says to use gzip. When this fails, change it."""
    body = raw_http2.message(zstd.compress(request("a").SerializeToString()), compressed=True)

    status = raw_http2.call(doors.grpc_address, _TRACES, [body], encoding="zstd")

    assert grpc.StatusCode.INTERNAL.value[0] == status


_TRACES = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
