"""`python -m tests.support.chart_files`: write what is made from other files of the chart (make helm-files).

helm/values.schema.json   $defs: the program's own schema of its configuration
helm/README.md            the table of values, from the comments of values.yaml
tests/helm/golden/        what every helm/ci/*-values.yaml renders to
Tests compare each with what would be written.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from collector.config import Config
from tests.support.chart import CHART, ROOT, VALUES, rendered_text

GOLDEN = ROOT / "tests" / "helm" / "golden"
BEGIN, END = "<!-- values: begin -->", "<!-- values: end -->"
DEFAULT_MAX = 60  # characters of a default in the table
_KEY = re.compile(r"^(?P<indent> *)(?P<key>[A-Za-z]+):")


def schema_text(text: str) -> str:
    """Put the program's schema into the text of values.schema.json."""
    whole = json.loads(text)
    schema = Config.model_json_schema()
    parts = schema.pop("$defs")
    whole["$defs"] = {"Config": schema, **parts}
    return json.dumps(whole, indent=2) + "\n"


def described(text: str) -> dict[str, str]:
    """Key path -> what its `# --` comment says, of the text of values.yaml."""
    found: dict[str, str] = {}
    path: list[tuple[int, str]] = []
    said: list[str] = []
    for line in text.splitlines():
        bare = line.strip()
        if bare.startswith("# -- "):
            said = [bare.removeprefix("# -- ")]
        elif bare.startswith("#"):
            if said:
                said.append(bare.removeprefix("#").strip())
        elif match := _KEY.match(line):
            indent = len(match["indent"])
            path = [(level, key) for level, key in path if level < indent] + [(indent, match["key"])]
            if said:
                found[".".join(key for _, key in path)] = " ".join(said)
            said = []
        else:
            said = []
    return found


def leaves(tree: dict[str, Any], documented: dict[str, str], path: str = "") -> Iterator[tuple[str, Any]]:
    """Every value: what is documented as a whole is not taken apart."""
    for key, value in tree.items():
        here = f"{path}.{key}" if path else key
        if isinstance(value, dict) and value and here not in documented:
            yield from leaves(value, documented, here)
        else:
            yield here, value


def values_table() -> str:
    """Draw the table of README.md."""
    text = (CHART / "values.yaml").read_text()
    says = described(text)
    lines = ["| value | default | what it is |", "|---|---|---|"]
    for key, value in leaves(yaml.safe_load(text), says):
        default = json.dumps(value)
        shown = f"`{default}`" if len(default) <= DEFAULT_MAX else "see values.yaml"
        lines.append(f"| `{key}` | {shown} | {says[key]} |")
    return "\n".join(lines)


def readme_text(text: str) -> str:
    """Put the table into the text of README.md."""
    before, rest = text.split(BEGIN)
    return f"{before}{BEGIN}\n{values_table()}\n{rest[rest.index(END) :]}"


def golden_of(name: str) -> Path:
    return GOLDEN / f"{name}.yaml"


def main() -> None:
    for path, written in ((CHART / "values.schema.json", schema_text), (CHART / "README.md", readme_text)):
        path.write_text(written(path.read_text()))
    GOLDEN.mkdir(exist_ok=True)
    for stale in set(GOLDEN.glob("*.yaml")) - {golden_of(name) for name in VALUES}:
        stale.unlink()
    for name, values in VALUES.items():
        golden_of(name).write_text(rendered_text(values))
    sys.stdout.write(f"written: schema, README and {len(VALUES)} golden files\n")


if __name__ == "__main__":
    main()
