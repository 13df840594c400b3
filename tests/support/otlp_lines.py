"""What the Collector's file exporter wrote: OTLP JSON, one request a line, as plain Python.

Reads a file that is still being written: a last line without its end is left for the next look.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def spans(path: Path) -> list[dict[str, Any]]:
    """Every span, with `resource` and `scope` beside its own fields; attributes as a dict."""
    return list(_items(path, "resourceSpans", "scopeSpans", "spans"))


def log_records(path: Path) -> list[dict[str, Any]]:
    """Every log record, in the same way."""
    return list(_items(path, "resourceLogs", "scopeLogs", "logRecords"))


def _items(path: Path, by_resource: str, by_scope: str, items: str) -> Iterator[dict[str, Any]]:
    written = path.read_text() if path.exists() else ""
    for line in written[: written.rfind("\n") + 1].splitlines():
        for resource in json.loads(line).get(by_resource, []):
            for scope in resource[by_scope]:
                for item in scope[items]:
                    yield plain(item) | {"resource": plain(resource["resource"]), "scope": scope["scope"]}


def plain(item: dict[str, Any]) -> dict[str, Any]:
    """Attributes, of the item and of its links, as {key: value}."""
    found = dict(item)
    if "attributes" in found:
        found["attributes"] = {pair["key"]: _value(pair["value"]) for pair in found["attributes"]}
    if "links" in found:
        found["links"] = [plain(link) for link in found["links"]]
    return found


def _value(value: dict[str, Any]) -> Any:
    ((kind, inner),) = value.items()
    if kind == "intValue":
        return int(inner)
    if kind == "arrayValue":
        return [_value(one) for one in inner.get("values", [])]
    return inner
