"""JSON text -> OTLP requests, one value at a time.

In: lines. Out: values with the line they begin at, and what each is: a request, a ResourceSpans or ResourceLogs of
its own, or something else with a sentence about it. Values may stand one a line or be printed over many lines.
A line that is broken costs itself: lines behind it that are requests by themselves are read.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import orjson

from collector.contracts import Signal

_STRINGS = re.compile(rb'"(?:[^"\\]|\\.)*"')
_BLANK = b" \t\r\n\x1e\xef\xbb\xbf"  # also the record separator of RFC 7464, and a byte order mark
_REQUEST_KEYS = {"resourceSpans": Signal.TRACES, "resourceLogs": Signal.LOGS}
_PART_KEYS = {"scopeSpans": "resourceSpans", "scopeLogs": "resourceLogs"}
_LEFT_OUT = {"resourceMetrics": "metrics", "scopeMetrics": "metrics", "resourceProfiles": "profiles"}
_SNAKE_KEYS = ("resource_spans", "resource_logs", "scope_spans", "scope_logs")
_KEYS_SHOWN = 5
# A line that begins so begins a request. Within a printed value it would be indented, or stand in a list.
_BEGINNINGS = (b'{"resourceSpans"', b'{"resourceLogs"')
_EXPECTED = "expected resourceSpans or resourceLogs (or scopeSpans, scopeLogs of one resource)"


@dataclass(frozen=True, slots=True)
class JsonPart:
    """A request as JSON text, or (signal None) why there is none."""

    text: bytes = b""
    signal: Signal | None = None
    message: str = ""
    common: bool = False


@dataclass(frozen=True, slots=True)
class BrokenJson:
    """A value that cannot be read."""

    message: str


def json_values(stream: io.BufferedIOBase, bytes_max: int) -> Iterator[tuple[int, Any]]:
    """Read values with the line they begin at; `BrokenJson` where there is none.

    Parameters
    ----------
    stream : UTF-8 text
    bytes_max : bound of one value; a longer one is broken
    """
    held: list[tuple[int, bytes]] = []  # numbered lines of a value that is not closed yet
    depth = size = 0
    for number, line in _lines(stream, bytes_max):
        if line is None:
            yield number, BrokenJson(f"the line has more than {bytes_max} bytes; send shorter lines")
            continue
        text = line.strip(_BLANK)
        if not text:
            continue
        if held and line.startswith(_BEGINNINGS) and held[0][1].startswith(b"{"):
            yield from _broken(held, f"the value is not closed before line {number}, where another one begins")
            held = []
        if not held:
            value = _parse(text)
            depth = _depth(text) if isinstance(value, BrokenJson) and text[:1] in (b"{", b"[") else 0
            if depth <= 0:
                yield number, value
            else:
                held, size = [(number, text)], len(text)
            continue
        depth += _depth(text)
        size += len(text) + 1
        if size <= bytes_max:
            held.append((number, text))
        if depth <= 0:
            yield from _closed(held, size, bytes_max)
            held = []
    if held:
        reason = "the value is not closed at the end of the file"
        yield from _broken(held, reason if size <= bytes_max else _too_long(bytes_max))


def _closed(held: list[tuple[int, bytes]], size: int, bytes_max: int) -> Iterator[tuple[int, Any]]:
    value = _parse(b"\n".join(text for _, text in held)) if size <= bytes_max else BrokenJson(_too_long(bytes_max))
    if isinstance(value, BrokenJson):
        yield from _broken(held, value.message)
    else:
        yield held[0][0], value


def _broken(held: list[tuple[int, bytes]], message: str) -> Iterator[tuple[int, Any]]:
    """Name the broken value; what it swallowed and is a request by itself lives."""
    yield held[0][0], BrokenJson(message)
    for number, text in held[1:]:
        if text.startswith((b'{"resource', b'{"scope')):
            value = _parse(text.rstrip(b","))
            if isinstance(value, dict) and (_REQUEST_KEYS.keys() | _PART_KEYS.keys()) & value.keys():
                yield number, value


def json_requests(value: Any) -> Iterator[JsonPart]:
    """Say what a value is; traces and logs of one value are two requests."""
    if isinstance(value, BrokenJson):
        yield JsonPart(message=value.message)
    elif isinstance(value, list):
        if any(isinstance(item, dict) and "localEndpoint" in item for item in value[:1]):
            yield JsonPart(message=f"this looks like Zipkin; {_EXPECTED}")
            return
        for item in value:
            if isinstance(item, list):
                yield JsonPart(message=f"found a list in a list; {_EXPECTED}")
            else:
                yield from json_requests(item)
    elif isinstance(value, dict):
        yield from _object(value)
    else:
        yield JsonPart(message=f"found a {type(value).__name__}; {_EXPECTED}")


def _object(value: dict[str, Any]) -> Iterator[JsonPart]:
    known = False
    for key, signal in _REQUEST_KEYS.items():
        if key in value:
            known = True
            yield JsonPart(orjson.dumps({key: value[key]}), signal)
    for key, request in _PART_KEYS.items():
        if key in value and not known:
            known = True
            yield JsonPart(orjson.dumps({request: [value]}), _REQUEST_KEYS[request])
    for key, word in _LEFT_OUT.items():
        if key in value:
            known = True
            yield JsonPart(message=f"request of {word} left out; expected traces or logs", common=True)
    if known or not value:  # an empty object is an empty request
        return
    if any(key in value for key in _SNAKE_KEYS):
        yield JsonPart(message="the keys are snake_case; OTLP/JSON has lowerCamelCase, such as resourceSpans")
    elif isinstance(value.get("data"), list):
        yield JsonPart(message=f"this looks like Jaeger; {_EXPECTED}")
    else:
        keys = ", ".join(repr(key[:40]) for key in list(value)[:_KEYS_SHOWN])
        yield JsonPart(message=f"found the keys {keys}; {_EXPECTED}")


def _lines(stream: io.BufferedIOBase, bytes_max: int) -> Iterator[tuple[int, bytes | None]]:
    """Number the lines from 1; None for one that is too long (it is skipped)."""
    number = 0
    while line := stream.readline(bytes_max + 2):
        number += 1
        if len(line.rstrip(b"\r\n")) <= bytes_max:
            yield number, line
            continue
        while line and not line.endswith(b"\n"):
            line = stream.readline(1 << 20)
        yield number, None


def _parse(text: bytes) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        return BrokenJson(f"not JSON: {error.msg} at column {error.colno}")


def _depth(text: bytes) -> int:
    """Brackets opened minus closed, outside of strings; a string never spans lines in JSON."""
    bare = _STRINGS.sub(b"", text)
    return bare.count(b"{") + bare.count(b"[") - bare.count(b"}") - bare.count(b"]")


def _too_long(bytes_max: int) -> str:
    return f"the value has more than {bytes_max} bytes; write one request a line (JSON lines)"
