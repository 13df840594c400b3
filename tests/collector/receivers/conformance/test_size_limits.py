"""The size limit of the OTLP 1.11 receiver: exact on both doors, after decompression too."""

from __future__ import annotations

import grpc
import pytest
from google.rpc.status_pb2 import Status

from collector.receivers import otlp_grpc, otlp_http
from tests.collector.receivers.conformance.bodies import LIMIT, coding_header, packed_as, sized
from tests.collector.receivers.conformance.rows import row
from tests.support.doors import PROTOBUF, Doors, refusal, request, trailers


@row(3)
@pytest.mark.parametrize("compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip])
def test_grpc_over_the_limit_is_refused_for_good(doors: Doors, compression: grpc.Compression):
    """RESOURCE_EXHAUSTED without RetryInfo, also when only the decompressed message is too large."""
    error = refusal(doors.traces.Export, request("x" * LIMIT), compression=compression)

    assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "google.rpc.retryinfo-bin" not in trailers(error)
    assert doors.handover.taken == []


@row(3)
def test_grpc_just_at_the_limit_is_taken(doors: Doors):
    doors.traces.Export(sized(LIMIT), timeout=10)

    assert len(doors.handover.taken) == 1


@row(3)
def test_the_default_limit_is_64_mib():
    assert 64 * 2**20 == otlp_grpc.GrpcSettings().message_bytes_max == otlp_http.HttpSettings().message_bytes_max


@row(11)
@pytest.mark.parametrize("coding", ["identity", "gzip", "deflate", "zstd"])
@pytest.mark.parametrize("over", [0, 1])
def test_http_limit_holds_after_decompression(doors: Doors, coding: str, over: int):
    """Exactly the limit is taken; one byte more is 413."""
    body = sized(LIMIT + over).SerializeToString()

    answer = doors.http.post("/v1/traces", content=packed_as(coding, body), headers=PROTOBUF | coding_header(coding))

    assert answer.status_code == (413 if over else 200)
    assert len(doors.handover.taken) == 1 - over


@row(11)
def test_http_limit_holds_for_bodies_without_a_length(doors: Doors):
    answer = doors.http.post("/v1/traces", content=(b"x" * 4096 for _ in range(100)), headers=PROTOBUF)

    assert (answer.status_code, Status.FromString(answer.content).code) == (413, 8)
