"""OTLP/JSON -> the protobuf request that means the same, so everything behind has one path.

In: the JSON text of an Export*ServiceRequest. Out: its protobuf bytes. After the OTLP 1.11 section
"JSON Protobuf Encoding", which is not the proto3 mapping: ids are hex (either case), enums are integers
only, keys are lowerCamelCase only, unknown keys are ignored. 64-bit integers may be strings or numbers.
The fields come from the descriptors of opentelemetry-proto, so a newer proto brings its fields along.

A span with an unusable id is kept with an id of the wrong length: the guard then rejects this span alone.
Never shows a value of the telemetry in a message, only its JSON path and type.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections.abc import Callable
from functools import cache
from typing import Any

import orjson
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import EncodeError, Message
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from collector.contracts import Signal
from collector.errors import BadRequestError
from collector.wire.json_budget import count_json
from collector.wire.request_limits import RequestLimits

DEPTH_MAX = 64  # nested attribute values (reliability.md, b); RequestLimits.depth_max is checked behind
_BRACKETS_MAX = 4 * DEPTH_MAX  # {"kvlistValue": {"values": [{"value": ... : four brackets a level
_VALUES_A_MESSAGE = 4  # a span has about ten fields, an attribute two; over this mean it is a bomb
_EXACT_FLOAT_MAX = 2**53

_REQUESTS: dict[Signal, type[Message]] = {
    Signal.TRACES: ExportTraceServiceRequest,
    Signal.LOGS: ExportLogsServiceRequest,
}
_HEX = re.compile(r"(?:[0-9a-fA-F]{2})*")
_INTEGER = re.compile(r"-?[0-9]{1,20}", re.ASCII)
_UNUSABLE_ID = b"\0"  # no id has one byte


class _WrongError(Exception):
    """A value of the wrong kind; every level on the way out adds its step."""

    def __init__(self, expected: str, found: Any) -> None:
        super().__init__(expected)
        self.expected, self.found = expected, _kind(found)
        self.steps: list[str] = []

    def __str__(self) -> str:
        path = "$" + "".join(reversed(self.steps))
        return f"{path} is {self.found}; expected {self.expected}"


def translate_json(payload: bytes, signal: Signal, limits: RequestLimits) -> bytes:
    """Translate one request.

    Parameters
    ----------
    payload : the JSON text, UTF-8
    signal : which request it is; of METRICS only the form is checked
    limits : `messages_max` bounds the objects of the text before they are made

    Returns
    -------
    bytes
        The serialised Export*ServiceRequest; empty for METRICS.

    Raises
    ------
    BadRequestError
        Not JSON, over a budget, or a field has a value of the wrong kind (the message names its path).
    """
    _check_budget(payload, limits)
    try:
        tree = orjson.loads(payload)
    except orjson.JSONDecodeError as error:
        raise BadRequestError(f"the body is not JSON: {error.msg} at byte {error.pos}") from None
    kind = _REQUESTS.get(signal)
    request = kind() if kind is not None else None
    try:
        if request is None:
            _require(tree, dict, "an object")
            return b""
        _fill(request, tree, _setters(request.DESCRIPTOR))
        return request.SerializeToString()
    except _WrongError as wrong:
        raise BadRequestError(f"the JSON does not fit OTLP: {wrong}") from None
    except (EncodeError, ValueError) as error:
        # protobuf itself stops at about 100 nested messages
        raise BadRequestError(f"the JSON does not fit OTLP: {error}"[:500]) from None


def _check_budget(payload: bytes, limits: RequestLimits) -> None:
    objects, values, deepest = count_json(payload)
    if deepest > _BRACKETS_MAX:
        raise BadRequestError(
            f"the JSON is nested {deepest} brackets deep; expected at most {_BRACKETS_MAX}", "too_deep"
        )
    values_max = _VALUES_A_MESSAGE * limits.messages_max
    if objects > limits.messages_max or values > values_max:
        raise BadRequestError(
            f"the JSON holds {objects} objects and about {values} values; expected at most "
            f"{limits.messages_max} and {values_max}. Send smaller batches.",
            "too_many_messages",
        )


_Setter = Callable[[Message, Any], None]


@cache
def _setters(descriptor: Descriptor) -> dict[str, _Setter]:
    """JSON key -> how the field of a message is set. Also keeps the tables of recursive messages finite."""
    return {field.json_name: _setter(field) for field in descriptor.fields}


def _fill(message: Message, tree: Any, setters: dict[str, _Setter]) -> None:
    _require(tree, dict, "an object")
    for key, value in tree.items():
        setter = setters.get(key)
        if setter is None or value is None:  # null means: not set
            continue
        try:
            setter(message, value)
        except _WrongError as wrong:
            wrong.steps.append(f".{key}")
            raise


def _setter(field: FieldDescriptor) -> _Setter:
    name = field.name
    if field.message_type is not None:
        below = field.message_type

        def set_message(message: Message, value: Any) -> None:
            child = getattr(message, name)
            child.SetInParent()
            _fill(child, value, _setters(below))

        def add_messages(message: Message, value: Any) -> None:
            _each(value, lambda item: _fill(getattr(message, name).add(), item, _setters(below)))

        return add_messages if field.is_repeated else set_message
    convert = _converter(field)

    def set_scalar(message: Message, value: Any) -> None:
        setattr(message, name, convert(value))

    def add_scalars(message: Message, value: Any) -> None:
        _each(value, lambda item: getattr(message, name).append(convert(item)))

    return add_scalars if field.is_repeated else set_scalar


def _each(value: Any, take: Callable[[Any], None]) -> None:
    _require(value, list, "an array")
    for i, item in enumerate(value):
        try:
            take(item)
        except _WrongError as wrong:
            wrong.steps.append(f"[{i}]")
            raise


def _converter(field: FieldDescriptor) -> Callable[[Any], Any]:
    kind = field.type
    if kind == FieldDescriptor.TYPE_STRING:
        return _string
    if kind == FieldDescriptor.TYPE_BYTES:
        return _id if field.name.endswith(("trace_id", "span_id")) else _base64
    if kind == FieldDescriptor.TYPE_BOOL:
        return _bool
    if kind in (FieldDescriptor.TYPE_DOUBLE, FieldDescriptor.TYPE_FLOAT):
        return _double
    if kind == FieldDescriptor.TYPE_ENUM:
        return lambda value: _integer(value, -(2**31), 2**31 - 1, "an integer (enums are integers in OTLP/JSON)", False)
    bits = 64 if kind in _WIDE else 32
    low, high = (0, 2**bits - 1) if kind in _UNSIGNED else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    word = f"an integer from {low} to {high}, as a number or a string"
    return lambda value: _integer(value, low, high, word, True)


_UNSIGNED = {
    FieldDescriptor.TYPE_UINT32,
    FieldDescriptor.TYPE_UINT64,
    FieldDescriptor.TYPE_FIXED32,
    FieldDescriptor.TYPE_FIXED64,
}
_WIDE = {
    FieldDescriptor.TYPE_INT64,
    FieldDescriptor.TYPE_UINT64,
    FieldDescriptor.TYPE_FIXED64,
    FieldDescriptor.TYPE_SFIXED64,
    FieldDescriptor.TYPE_SINT64,
}


def _string(value: Any) -> str:
    _require(value, str, "a string")
    return value  # type: ignore[no-any-return]


def _bool(value: Any) -> bool:
    _require(value, bool, "true or false")
    return value  # type: ignore[no-any-return]


def _integer(value: Any, low: int, high: int, expected: str, text: bool) -> int:
    """A number without fraction, or its text. Floats only where they are exact."""
    number = None
    exact = type(value) is float and value.is_integer() and abs(value) <= _EXACT_FLOAT_MAX
    if type(value) is int or exact or (text and type(value) is str and _INTEGER.fullmatch(value)):
        number = int(value)
    if number is None or not low <= number <= high:
        raise _WrongError(expected, value)
    return number


_NAMED_DOUBLES = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def _double(value: Any) -> float:
    if type(value) is float or type(value) is int:
        return float(value)
    if type(value) is str:
        if value in _NAMED_DOUBLES:
            return _NAMED_DOUBLES[value]
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if math.isfinite(number) and value.isascii() and value == value.strip() and "_" not in value:
            return number
    raise _WrongError('a number, or "NaN", "Infinity", "-Infinity"', value)


def _base64(value: Any) -> bytes:
    _require(value, str, "a base64 string")
    plain = value.replace("-", "+").replace("_", "/").rstrip("=")
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise _WrongError("a base64 string", value) from None


def _id(value: Any) -> bytes:
    """Hex in either case. Base64 too: with its padding it cannot be taken for hex, and senders that use
    the proto3 mapping by mistake write it."""
    _require(value, str, "a hex string")
    if _HEX.fullmatch(value):
        return bytes.fromhex(value)
    if (len(value), value[-2:]) == (24, "==") or (len(value) == 12 and value[-1:] == "="):
        try:
            return base64.b64decode(value, validate=True)
        except binascii.Error:
            return _UNUSABLE_ID
    return _UNUSABLE_ID


def _require(value: Any, kind: type, expected: str) -> None:
    if type(value) is not kind:
        raise _WrongError(expected, value)


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "an array", str: "a string", bool: "a boolean", type(None): "null"}
    if type(value) in names:
        return names[type(value)]
    return "an integer" if type(value) is int else "a number"
