"""OTLP/JSON to protobuf.

The first byte says which signal. Oracle: a refusal, or bytes that the guard and protobuf read; written as JSON again by
the specification they give the same bytes.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence

from collector.contracts import Signal
from collector.errors import BadRequestError
from collector.wire.limits import prescan
from collector.wire.otlp_json import translate_json
from tests.fuzz.protobuf import LIMITS, SIGNALS
from tests.fuzz.target import Target
from tests.support.damage import damaged_text
from tests.support.otlp_json import REQUESTS, as_json
from tests.support.otlp_seeds import requests_of_every_kind

WORDS = (
    *(b"null", b"true", b"-0", b"1e400", b"NaN", b'"NaN"', b'"Infinity"', b"18446744073709551616", b'"-1"', b"1.5", b"{}"),
    *(b"[]", b"[[", b'{"', b",", b":", b'"', b"\\ud800", b"\\u0000", b"\xff", b'"AA=="', b'"0x1"', b"{" * 99, b"[" * 99),
    *(b'"traceId":', b'"spanId":', b'"kvlistValue":', b'"arrayValue":', b'"intValue":', b'"doubleValue":', b'"flags":'),
    *(b'"bytesValue":', b'"boolValue":', b'"attributes":', b'"kind":', b'"startTimeUnixNano":', b'"resourceSpans":'),
)  # fmt: skip


def check(data: bytes) -> None:
    signal, text = SIGNALS[data[0] % 3 if data else 0], data[1:]
    try:
        payload = translate_json(text, signal, LIMITS)
        prescan(payload, signal, LIMITS)
    except BadRequestError as refused:
        if refused.reason == "undecodable" and "JSON" not in str(refused):
            raise AssertionError("the guard cannot read what we wrote") from refused
        return
    if signal is Signal.METRICS:
        assert payload == b""
        return
    request = REQUESTS[signal].FromString(payload)
    again = translate_json(json.dumps(as_json(request)).encode(), signal, LIMITS)
    assert REQUESTS[signal].FromString(again).SerializeToString(deterministic=True) == request.SerializeToString(
        deterministic=True
    )


def seeds() -> list[bytes]:
    return [
        bytes([SIGNALS.index(signal)]) + json.dumps(as_json(REQUESTS[signal].FromString(payload))).encode()
        for payload, signal in requests_of_every_kind()
        if signal is not Signal.METRICS
    ] + [b'\2{"resourceMetrics":[]}', b'\0{"resourceSpans":null}']


def change(data: bytes, others: Sequence[bytes], rng: random.Random) -> bytes:
    return data[:1] + damaged_text(data[1:], [other[1:] for other in others], WORDS, rng)


TARGET = Target("otlp_json", check, seeds, change, WORDS)
