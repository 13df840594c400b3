"""Random failing traces: few services and operations, so that retries, queues and lost spans come about."""

from __future__ import annotations

import random

from analyzer.spans import SpanKind, StatusCode
from tests.support.drawing import Drawing, DrawnSpan

_KINDS = [SpanKind.SERVER, SpanKind.CLIENT, SpanKind.INTERNAL, SpanKind.PRODUCER, SpanKind.CONSUMER]
_TYPES = ["TimeoutError", "CancelledError", "ConnectionRefusedError", "Boom", "IntegrityError", "Forbidden"]


def random_trace(seed: int, size: int) -> Drawing:
    """A trace of `size` spans; about a third of them fail, one in twenty lost its parent."""
    rng = random.Random(seed)
    spans: list[DrawnSpan] = []
    for number in range(size):
        above = rng.choice(spans[-8:]) if spans and rng.random() > 0.03 else None
        low, high = (above.start_ms, above.end_ms) if above else (0.0, 1000.0)
        start = rng.uniform(low, high)
        end = start + rng.uniform(0.0, (high - start) * 1.3 + 0.1)
        attributes: list[tuple[str, str | int]] = []
        if rng.random() < 0.3:
            attributes.append(("http.response.status_code", rng.choice([200, 400, 402, 404, 429, 500, 502, 503, 504])))
        if rng.random() < 0.2:
            attributes.append(("rpc.grpc.status_code", rng.randrange(17)))
        if rng.random() < 0.5:
            attributes.append(("peer.service", rng.choice("xyz")))
        if rng.random() < 0.05:
            attributes.append(("http.request.resend_count", 1))
        if rng.random() < 0.1:
            attributes.append(("error.type", rng.choice([*_TYPES, "500", "504", "_OTHER"])))
        status = rng.choices([StatusCode.UNSET, StatusCode.OK, StatusCode.ERROR], [5, 1, 3])[0]
        fails = status == StatusCode.ERROR or rng.random() < 0.05
        spans.append(
            DrawnSpan(
                service=rng.choice("abc"),
                operation=rng.choice(["get", "put"]),
                kind=rng.choice(_KINDS),
                start_ms=start,
                end_ms=end,
                span_id=(number + 1).to_bytes(8, "big"),
                parent_id=(b"lost----" if rng.random() < 0.05 else above.span_id) if above else b"",
                status=status,
                attributes=tuple(attributes),
                exceptions=((rng.choice(_TYPES), ""),) if fails and rng.random() < 0.6 else (),
                logs=(("", "it went wrong"),) if rng.random() < 0.03 else (),
            )
        )
    return Drawing(tuple(spans), rng.getrandbits(128).to_bytes(16, "big"))
