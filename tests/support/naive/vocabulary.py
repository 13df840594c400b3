"""The plain twin of the interning tables: lists and dicts, no limits but the ids."""

from __future__ import annotations

from string import ascii_letters, digits

from opentelemetry.proto.resource.v1.resource_pb2 import Resource as ResourceMessage

from analyzer.spans import RESOURCE_KEYS, Resource, Vocabulary


class Strings:
    def __init__(self) -> None:
        self._texts: list[bytes] = [b"", b"<other>"]
        self._ids: dict[bytes, int] = {b"": 0}

    def intern(self, text: bytes) -> int:
        if text not in self._ids:
            self._ids[text] = len(self._texts)
            self._texts.append(text)
        return self._ids[text]

    def text(self, index: int) -> str:
        return self._texts[index].decode("utf-8", "replace")

    def __len__(self) -> int:
        return len(self._texts)


class Operations:
    def __init__(self) -> None:
        self._keys: list[tuple[int, int, int]] = [(0, 1, 0)]
        self._ids: dict[tuple[int, int, int], int] = {}

    def intern(self, service: int, name: int, kind: int) -> int:
        key = (service, name, kind)
        if key not in self._ids:
            self._ids[key] = len(self._keys)
            self._keys.append(key)
        return self._ids[key]

    def key(self, index: int) -> tuple[int, int, int]:
        return self._keys[index]

    def __len__(self) -> int:
        return len(self._keys)


class Blobs:
    """Resources or scopes by their bytes."""

    def __init__(self) -> None:
        self._raw: list[bytes] = [b""]
        self._ids: dict[bytes, int] = {b"": 0}

    def intern(self, raw: bytes) -> int:
        if raw not in self._ids:
            self._ids[raw] = len(self._raw)
            self._raw.append(raw)
        return self._ids[raw]

    def raw(self, index: int) -> bytes:
        return self._raw[index]

    def __len__(self) -> int:
        return len(self._raw)

    def resource(self, index: int) -> Resource:
        message = ResourceMessage.FromString(self._raw[index])
        values = {pair.key: pair.value.string_value for pair in message.attributes}
        words = {}
        for field, keys in RESOURCE_KEYS.items():
            words[field] = next((values[key] for key in keys if values.get(key)), "")
        if len(words["owner"]) > 128 or set(words["owner"]) - set(ascii_letters + digits + "._-"):
            words["owner"] = ""
        return Resource(**words)


def vocabulary() -> Vocabulary:
    return Vocabulary(Strings(), Operations(), Blobs(), Blobs())
