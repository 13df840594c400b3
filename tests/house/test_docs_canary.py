"""What docs/canary.md says is so: faults, metrics, numbers, options, floors."""

from __future__ import annotations

import re
from pathlib import Path

import yaml
from prometheus_client.parser import text_string_to_metric_families
from typer.testing import CliRunner

from collector.canary import LEARNED_EACH, LEARNED_ROUND
from collector.canary_faults import FAULTS, PREFIX, SLOW_MS
from collector.canary_metrics import CanaryMetrics
from collector.cli import app
from collector.config import check
from collector.doctor_network import ENDS_SOON_DAYS
from collector.floors import FLOORS

PAGE = (Path(__file__).parents[2] / "docs" / "canary.md").read_text()


def test_every_fault_has_its_line():
    named = re.findall(r"^\| `([a-z_]+)` \|", PAGE, re.MULTILINE)

    assert [name for name in named if not name.startswith("firstfault_")] == [fault.name for fault in FAULTS]


def test_every_metric_has_its_line():
    """And every line its metric, with these labels."""
    told = dict(re.findall(r"^\| `(firstfault_canary_[a-z_]+)(\{[a-z,]+\})?` \|", PAGE, re.MULTILINE))
    families = text_string_to_metric_families(CanaryMetrics(FAULTS).text().decode())
    exported = {family.name + ("_total" if family.type == "counter" else "") for family in families}

    assert set(told) == {name for name in exported if not name.endswith("_created")}


def test_the_numbers_are_those_of_the_program():
    per_round = LEARNED_ROUND + len(FAULTS) - 1

    assert f"so {LEARNED_EACH} healthy\ntraces are sent for each slow one" in PAGE
    assert f"{LEARNED_ROUND} in each round after it" in PAGE
    assert LEARNED_EACH // LEARNED_ROUND == 20
    assert "every twentieth round" in PAGE
    assert f"Every 60 seconds: {per_round} traces" in PAGE
    assert f"takes {SLOW_MS:.0f} ms more" in PAGE
    assert f"a warning {ENDS_SOON_DAYS} days before" in PAGE
    assert f"`{PREFIX}`" in PAGE


def test_the_example_configuration_is_accepted():
    examples = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)

    assert examples
    for example in examples:
        check(yaml.safe_load(example))


def test_every_option_named_exists():
    helps = "".join(
        CliRunner(env={"COLUMNS": "200", "NO_COLOR": "1"}).invoke(app, [name, "--help"]).output
        for name in ("canary", "doctor", "selftest")
    )

    assert {option for option in re.findall(r"--[a-z][a-z-]*", PAGE) if option not in helps} == set()


def test_every_floor_is_named():
    for floor in FLOORS:
        if floor.ours:
            assert f"{floor.package} {floor.since}" in PAGE
        else:
            assert floor.package in PAGE
