"""values.schema.json, values.yaml and README.md tell the same, and the program's own schema is in it as it is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import yaml

from tests.support.chart import CHART
from tests.support.chart_files import described, leaves, readme_text, schema_text

VALUES_TEXT = (CHART / "values.yaml").read_text()
VALUES: dict[str, Any] = yaml.safe_load(VALUES_TEXT)
SCHEMA: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text())
# Parts of objects of Kubernetes or of the Collector, whose fields are not ours to name.
FREE = {"global", "affinity", "podSecurityContext", "securityContext", "gateway.affinity", "gateway.config"}


def test_the_programs_schema_is_embedded():
    """`make helm-files` after a change of the configuration."""
    text = (CHART / "values.schema.json").read_text()

    assert schema_text(text) == text


def test_readme_has_every_value():
    text = (CHART / "README.md").read_text()

    assert readme_text(text) == text


def test_every_value_is_described():
    says = described(VALUES_TEXT)

    assert [key for key, _ in leaves(VALUES, says) if key not in says] == []
    assert all(words.endswith(".") for words in says.values())


def keys(tree: dict[str, Any], schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, bool, bool]]:
    """(key path, whether values.yaml has it, whether the schema has it), down to where the schema ends."""
    properties = schema.get("properties", {})
    for key in sorted(tree.keys() | properties.keys()) if properties else []:
        here = f"{path}.{key}" if path else key
        yield here, key in tree, key in properties
        inner = tree.get(key)
        if isinstance(inner, dict):
            yield from keys(inner, properties.get(key, {}), here)


def test_values_and_schema_have_the_same_keys():
    assert [key for key, in_values, in_schema in keys(VALUES, SCHEMA) if in_values != in_schema] == ["global"]


def objects(schema: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every schema of an object, with where it stands in the values."""
    if isinstance(schema, list):
        for part in schema:
            yield from objects(part, path)
    elif isinstance(schema, dict):
        if schema.get("type") == "object":
            yield path, schema
        for key, part in schema.get("properties", {}).items():
            yield from objects(part, f"{path}.{key}" if path else key)
        for word in ("items", "anyOf", "additionalProperties"):
            yield from objects(schema.get(word), path)


def test_unknown_keys_are_refused_wherever_they_are_ours():
    """No typing error is passed over in silence; the configuration's parts too."""
    ours = list(objects({"type": "object"} | SCHEMA))
    theirs = [pair for name, part in SCHEMA["$defs"].items() for pair in objects(part, f"$defs.{name}")]

    open_ended = {path for path, schema in ours + theirs if "additionalProperties" not in schema}
    assert open_ended == FREE
    assert len(theirs) > 20
