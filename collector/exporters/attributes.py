"""Attributes and ids of what we write back: flat scalars and lists of text, every text with a bound.

In: plain values. Out: protobuf `KeyValue`s. Backends turn nested values into text, so there are none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

from opentelemetry.proto.common.v1.common_pb2 import KeyValue

TEXT_MAX = 256
SENTENCE_MAX = 1024
LIST_MAX = 64
U64_MAX = 2**64 - 1

Value: TypeAlias = "str | bool | int | float | Sequence[str]"


def key_values(attributes: Mapping[str, Value | None], text_max: int = TEXT_MAX) -> Iterable[KeyValue]:
    """Write attributes in the order given; None and empty text are left out."""
    for key, value in attributes.items():
        if value is None or value == "":
            continue
        pair = KeyValue(key=key)
        if isinstance(value, bool):
            pair.value.bool_value = value
        elif isinstance(value, int):
            pair.value.int_value = max(-(2**63), min(2**63 - 1, value))
        elif isinstance(value, float):
            pair.value.double_value = value
        elif isinstance(value, str):
            pair.value.string_value = text(value, SENTENCE_MAX if key.endswith(".message") else text_max)
        else:
            pair.value.array_value.SetInParent()
            for item in value[:LIST_MAX]:
                pair.value.array_value.values.add(string_value=text(item, text_max))
        yield pair


def text(value: str, chars_max: int = TEXT_MAX) -> str:
    """Cut long text and mark the cut; what UTF-8 cannot write becomes `?`."""
    cut = value if len(value) <= chars_max else value[: chars_max - 1] + "…"
    return cut if cut.isascii() else cut.encode("utf-8", "replace").decode("utf-8")


def id_bytes(hex_text: str, size: int) -> bytes:
    """Read an id; empty when it is not one (the field is then left out rather than sent wrong)."""
    try:
        raw = bytes.fromhex(hex_text)
    except ValueError:
        return b""
    return raw if len(raw) == size and any(raw) else b""


def unix_ns(value: int) -> int:
    """A time a fixed64 can hold; 0 (unknown) when it is outside."""
    return value if 0 <= value <= U64_MAX else 0
