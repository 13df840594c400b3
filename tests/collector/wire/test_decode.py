"""The scanner reads what protobuf reads: every column, in every legal way of writing."""

from __future__ import annotations

import contextlib
import random

import numpy as np
import pytest
from google.protobuf.message import Message
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numba.core import config
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from analyzer.kernels.hashing import intern_operation, intern_text, is_utf8
from analyzer.spans import SPAN_DTYPE
from collector.contracts import Signal
from collector.errors import BadRequestError
from collector.wire.decode import Decoder
from collector.wire.limits import scan_request
from collector.wire.scan.requests import read_request
from tests.collector.wire import strategies
from tests.collector.wire.facts import check_broken, decoded, expected, small_vocabulary, without_bytes
from tests.support.load import requests
from tests.support.load_traces import Fault
from tests.support.otlp_seeds import log_payload

QUICK = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


@QUICK
@given(strategies.trace_requests)
def test_spans_are_read_as_protobuf_reads_them(request: Message):
    """All columns and the bytes of every span are those of the plain twin."""
    payload = request.SerializeToString()

    assert expected(payload) == decoded(payload)


@QUICK
@given(strategies.log_requests)
def test_log_records_are_read_as_protobuf_reads_them(request: Message):
    """All columns of log records but their content hash are those of the plain twin."""
    payload = request.SerializeToString()

    assert expected(payload, Signal.LOGS) == decoded(payload, Signal.LOGS)


@QUICK
@given(strategies.trace_requests, st.integers(0, 2**32))
def test_any_legal_way_of_writing_a_span_says_the_same(request: Message, seed: int):
    """Order of fields, long varints, unknown fields, doubled and split fields change nothing."""
    payload = strategies.written_oddly(request, random.Random(seed))

    assert without_bytes(expected(payload)) == without_bytes(decoded(payload))


@QUICK
@given(strategies.log_requests, st.integers(0, 2**32))
def test_any_legal_way_of_writing_a_log_record_says_the_same(request: Message, seed: int):
    """The same for log records."""
    payload = strategies.written_oddly(request, random.Random(seed))

    assert without_bytes(expected(payload, Signal.LOGS)) == without_bytes(decoded(payload, Signal.LOGS))


@pytest.mark.parametrize(("grouping", "size"), [("gateway", 64), ("sdk", 10)])
def test_realistic_requests_are_read_whole(grouping, size):
    """Spans as the load generator writes them: all are there, all columns equal."""
    for payload, count in requests(5, 12, size, grouping):
        found = decoded(payload)

        assert count == len(found)
        assert expected(payload) == found


def seeds_of_mutation() -> list[tuple[bytes, Signal]]:
    """Small requests to damage: as they are sent, oddly written, and of logs."""
    rng = random.Random(3)
    spans = [payload for payload, _ in requests(11, 4, 3, faults=[Fault("edge-gateway", 0.5)])][:12]
    odd = [strategies.written_oddly(ExportTraceServiceRequest.FromString(payload), rng) for payload in spans[:6]]
    return [(payload, Signal.TRACES) for payload in spans + odd] + [(log_payload(), Signal.LOGS)] * 4


def mutate(count: int, seed: int) -> int:
    rng = random.Random(seed)
    origins = seeds_of_mutation()
    passed = 0
    for _ in range(count):
        payload, signal = rng.choice(origins)
        passed += check_broken(strategies.mutated(payload, rng), signal)
    return passed


def test_mutated_requests_never_crash_and_never_lie():
    """Two thousand damaged requests: refused, or read as protobuf reads them."""
    count = 2_000 if not config.DISABLE_JIT else 150

    passed = mutate(count, seed=1)

    assert count // 20 < passed < count


@pytest.mark.deep
def test_sixty_thousand_mutated_requests_never_crash_and_never_lie():
    """The same, thirty times as long."""
    assert mutate(60_000, seed=2) > 3_000


def test_random_bytes_are_refused_or_read():
    """Noise is no request; what passes by chance says what protobuf says."""
    rng = random.Random(4)
    for _ in range(300):
        check_broken(rng.randbytes(rng.randint(0, 40)), rng.choice((Signal.TRACES, Signal.LOGS)))


def test_the_decoder_alone_survives_what_the_guard_would_refuse():
    """Every prefix and every flipped bit, unguarded: a count, or BadRequestError, never a read outside."""
    payload = requests(2, 1, 4)[0][0][: 700 if config.DISABLE_JIT else None]
    decoder = Decoder(small_vocabulary())
    rows = np.zeros(16, SPAN_DTYPE)
    rng = random.Random(5)
    for cut in range(0, len(payload), 7):
        for damaged in (payload[:cut], strategies.mutated(payload, rng)):
            raw = np.full(len(damaged) + 16, 0xFF, np.uint8)  # slack that looks like long varints
            raw[: len(damaged)] = np.frombuffer(damaged, np.uint8)
            with contextlib.suppress(BadRequestError):
                count = decoder.decode_into(Signal.TRACES, raw, 0, len(damaged), rows, 0)
                assert -1 <= count <= len(rows)


@pytest.mark.skipif(config.DISABLE_JIT, reason="nothing is compiled here")
@pytest.mark.parametrize("kernel", [read_request, scan_request, intern_text, intern_operation, is_utf8])
def test_nothing_compiles_at_run_time(kernel):
    """Kernels that Python calls have their one signature since import, and refuse any other."""
    assert len(kernel.signatures) == 1
    with pytest.raises(TypeError, match="No matching definition"):
        kernel(*["something else"] * len(kernel.signatures[0]))
