"""`firstfault analyze` names the group of an error; `firstfault regroup` says what rules would change."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from typer.testing import CliRunner, Result

from collector.cli import app
from tests.support.drawing import draw

CARD = """
gateway   POST /pay   0..100  ERROR  http.response.status_code=500
  payment   POST /charge  10..90  ERROR  !CardError: "card {number} declined"
"""
SLOW = 'stock  GET /stock  0..100  ERROR  !Timeout: "no answer from {number}"'


@pytest.fixture
def traces(tmp_path: Path) -> Path:
    path = tmp_path / "traces.pb"
    texts = [CARD.format(number=n) for n in range(3)] + [SLOW.format(number=n) for n in range(2)]
    texts.append("gateway  GET /  0..10  OK")
    whole = ExportTraceServiceRequest()
    for seed, text in enumerate(texts):
        whole.MergeFromString(draw(text, seed=seed).requests()[0])
    path.write_bytes(whole.SerializeToString())
    return path


def run(*words: str | Path) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)


def rules(folder: Path, text: str) -> Path:
    path = folder / "rules.yaml"
    path.write_text(text)
    return path


def groups(traces: Path) -> dict[str, set[str]]:
    """Origin service -> groups."""
    found: dict[str, set[str]] = {}
    for line in run("analyze", traces, "--json", "--all").stdout.splitlines():
        answer = json.loads(line)
        service = answer["root_causes"][0]["entity"]["service"] if answer["root_causes"] else ""
        found.setdefault(service, set()).add(answer["group"]["id"] if answer["group"] else "")
    return found


def test_an_answer_with_an_error_names_its_group(traces: Path):
    """Three traces of one error, two of another, and a clean one."""
    found = groups(traces)

    assert {service: len(ids) for service, ids in found.items()} == {"payment": 1, "stock": 1, "": 1}
    assert found[""] == {""}
    assert f"group {next(iter(found['payment']))} (by its message)" in run("analyze", traces).stdout


def test_a_rule_is_tried_before_it_holds(traces: Path, tmp_path: Path):
    found = groups(traces)
    old = {next(iter(found["payment"])), next(iter(found["stock"]))}
    path = rules(
        tmp_path,
        """
        errors:
          rules:
            - {name: everything, match: {service: "*"}, action: merge}
        """,
    )

    said = json.loads(run("regroup", traces, "--config", path, "--json").stdout)

    assert [set(parts) for parts in said["merged"].values()] == [old]
    assert (said["facts"], said["moved_facts"], said["used"]) == (5, 5, {"everything": 5})
    assert "5 errors, 5 would be in another group" in run("regroup", traces, "--config", path).stdout
    assert "0 would be" in run("regroup", traces, "--config", path, "--against", path).stdout


def test_what_would_be_ignored_is_counted(traces: Path, tmp_path: Path):
    path = rules(tmp_path, 'errors: {rules: [{name: slow, match: {type: "Time*"}, action: ignore}]}')

    said = run("regroup", traces, "--config", path).stdout.splitlines()

    assert said[0] == "5 errors, 2 would be in another group"
    assert said[1].startswith("ignore ")
    assert said[1].endswith(": 2 errors")
    assert said[-1] == "rule slow: 2 errors"


def test_rules_that_cannot_be_meant_and_files_that_are_not_there(traces: Path, tmp_path: Path):
    bad = rules(tmp_path, "errors: {rules: [{name: x, match: {}, action: ignore}]}")

    assert run("regroup", traces, "--config", bad).exit_code == 2
    assert "match is empty" in run("regroup", traces, "--config", bad).stderr
    good = rules(tmp_path, "errors: {rules: []}")
    assert run("regroup", tmp_path / "none.jsonl", "--config", good).exit_code == 2
