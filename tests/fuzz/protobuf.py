"""Guard, decoder, masking and stamping of protobuf requests.

The first byte says which signal. Oracle: the guard says what its twin says; what it lets through is decoded as protobuf
decodes it; unguarded bytes are decoded or refused, never read beyond.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Sequence

import numpy as np

from analyzer.spans import SPAN_DTYPE
from collector.contracts import Signal
from collector.errors import BadRequestError
from collector.redaction import Redactor
from collector.wire.decode import Decoder
from collector.wire.detail import read_detail
from collector.wire.limits import prescan
from collector.wire.masking import masked_request
from collector.wire.request_limits import Prescan, RequestLimits
from collector.wire.stamp import stamp_tenant
from tests.collector.wire.facts import check_broken, small_vocabulary
from tests.fuzz.target import Target
from tests.support.damage import damaged
from tests.support.naive import limits as naive
from tests.support.otlp_seeds import requests_of_every_kind

SIGNALS = (Signal.TRACES, Signal.LOGS, Signal.METRICS)
LIMITS = RequestLimits(spans_max=2_000, messages_max=20_000, resources_max=500)
_ROWS = np.zeros(64, SPAN_DTYPE)
_REDACTOR = Redactor()
_unguarded = Decoder(small_vocabulary())


def check(data: bytes) -> None:
    signal, payload = SIGNALS[data[0] % 3 if data else 0], data[1:]
    counted = _guard(payload, signal)
    assert counted == _twin_of_the_guard(payload, signal)
    if signal is Signal.METRICS:
        return
    _decode_unguarded(payload, signal)
    if isinstance(counted, str):
        return
    check_broken(payload, signal)
    assert isinstance(_guard(stamp_tenant(payload, "shop"), signal), Prescan)
    assert isinstance(_guard(masked_request(payload, signal, _REDACTOR), signal), Prescan)
    read_detail(memoryview(payload), log=signal is Signal.LOGS)


def _guard(payload: bytes, signal: Signal) -> Prescan | str:
    """The counts, or the reason for refusing."""
    try:
        return prescan(payload, signal, LIMITS)
    except BadRequestError as refused:
        return refused.reason


def _twin_of_the_guard(payload: bytes, signal: Signal) -> Prescan | str:
    try:
        return naive.prescan(payload, signal, LIMITS)
    except naive.Refused as refused:
        return refused.reason


def _decode_unguarded(payload: bytes, signal: Signal) -> None:
    raw = np.full(len(payload) + 16, 0xFF, np.uint8)  # slack that looks like long varints
    raw[: len(payload)] = np.frombuffer(payload, np.uint8)
    with contextlib.suppress(BadRequestError):
        assert -1 <= _unguarded.decode_into(signal, raw, 0, len(payload), _ROWS, 0) <= len(_ROWS)


def seeds() -> list[bytes]:
    return [bytes([SIGNALS.index(signal)]) + payload for payload, signal in requests_of_every_kind()]


def change(data: bytes, others: Sequence[bytes], rng: random.Random) -> bytes:
    return data[:1] + damaged(data[1:], [other[1:] for other in others], rng)


TARGET = Target("protobuf", check, seeds, change, words=(b"service.name", b"exception", b"exception.type", b"ot=th:"))
