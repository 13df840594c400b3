"""What docs/errors.md says is so: rules, routes, commands, tiers."""

from __future__ import annotations

import re
from pathlib import Path

import yaml
from typer.main import get_command

from analyzer.errors.fingerprint import VERSION
from collector.cli import app
from collector.config import check
from collector.query.rest import create_app
from tests.support.fakes.store import FakeOpenTraces, FakeStore

PAGE = (Path(__file__).parents[2] / "docs" / "errors.md").read_text()


def test_the_example_rules_are_accepted():
    (example,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)

    errors = check(yaml.safe_load(example)).errors

    assert {rule.action for rule in errors.rules} == {"merge", "split", "ignore", "fingerprint"}
    assert errors.taxonomy


def test_every_route_named_exists():
    paths = create_app(FakeStore(), FakeOpenTraces()).openapi()["paths"]
    named = re.findall(r"`(GET|PATCH) (/api/v1/[^`?]*)", PAGE)

    assert len(named) == 4
    for method, path in named:
        assert method.lower() in paths[path.replace("{id}", "{group_id}")]


def test_every_command_named_exists():
    commands = set(get_command(app).commands)  # type: ignore[attr-defined]
    named = set(re.findall(r"^firstfault ([a-z-]+)", PAGE, re.MULTILINE))

    assert named >= {"groups", "regroup"}
    assert named <= commands
    assert f"version `{VERSION}`" in PAGE
