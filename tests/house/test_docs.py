"""What README says is so: commands, rules, settings, routes."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from collector.config import check
from collector.query.rest import create_app
from tests.support.fakes.store import FakeOpenTraces, FakeStore

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
RULE = re.compile(r'"((?:error|latency|structure)\.[a-z_]+(?:\.[a-z_]+)?)"')
# Attribute keys that look like rules.
NOT_RULES = {f"error.{key}" for key in ("type", "message", "kind", "class", "stack", "stack_trace", "fingerprint")}


def rules_in_code() -> set[str]:
    found: set[str] = set()
    for path in (ROOT / "analyzer").rglob("*.py"):
        found |= set(RULE.findall(path.read_text()))
    return found - NOT_RULES


def rules_in_readme() -> set[str]:
    """`a.b|c` names a.b and a.c; a line may be wrapped."""
    found: set[str] = set()
    for name in re.findall(r"`((?:error|latency|structure)\.[a-z_.|]+)`", README):
        stem, *others = name.split("|")
        found.add(stem)
        found |= {f"{stem.rpartition('.')[0]}.{other}" for other in others}
    return found


def test_every_rule_is_explained():
    """A named rule that nobody can look up explains nothing."""
    assert rules_in_code() - rules_in_readme() == set()


def test_no_rule_is_invented():
    assert rules_in_readme() - rules_in_code() == set()


def test_the_example_configuration_is_accepted():
    (example,) = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)

    check(yaml.safe_load(example))


def test_every_route_named_exists():
    app = create_app(FakeStore(), FakeOpenTraces())
    paths = set(app.openapi()["paths"])

    named = {path.split("?")[0] for path in re.findall(r"`(?:GET|POST) (/api/v1/[^`]*)`", README)}

    assert named
    assert named - paths == set()


def test_every_make_target_named_exists():
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))

    assert set(re.findall(r"make ([a-z-]+)", README)) - targets == set()


def test_the_changelog_has_something_to_say():
    assert re.search(r"## Unreleased\n+### Added\n+- ", (ROOT / "CHANGELOG.md").read_text())
