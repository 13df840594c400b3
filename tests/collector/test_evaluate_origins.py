"""`firstfault evaluate DIR --origins`: simulated cases on disk in, a table and a report out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from analyzer.simulator import CaseSettings, simulate_case
from collector.cli import app
from collector.evaluate_origins import judge_case
from collector.simulate import write_case
from tests.support import case_folders

SMALL = CaseSettings(
    services=8,
    baseline_traces=120,
    fault_traces=60,
    span_loss=0.1,
    late_share=0.0,
    uninstrumented_share=0.0,
    dialect="otel_http",
    granularity="service",
)


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["evaluate", *map(str, arguments)], catch_exceptions=False)


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An operation that throws; nothing at all."""
    directory = tmp_path_factory.mktemp("cases")
    for archetype in ("error", "healthy"):
        write_case(simulate_case(archetype, 11, settings=SMALL), directory / archetype)
    return directory


def test_a_table_is_printed(cases: Path):
    result = run(cases, "--origins")
    lines = result.stdout.splitlines()

    assert result.exit_code == 0
    assert lines[0] == "2 cases; shares are over findings"
    assert lines[1].split()[:4] == ["touched", "findings", "abstained", "silent"]
    assert [line.split("  ")[0] for line in lines[2:]][:2] == ["all", "rule error"]
    assert lines[-1].startswith("fault error")


def test_the_report_counts_every_touched_trace(cases: Path):
    report = json.loads(run(cases, "--origins", "--json", "-").stdout)
    touched = json.loads((cases / "error/truth.json").read_text())["touched_trace_ids"]
    overall = report["overall"]

    assert overall["touched"] == len(touched) > 20
    assert overall["findings"] + overall["abstained"] + overall["silent"] == overall["touched"]
    assert overall["service"] > 0.9
    assert report["by_archetype"]["error"] == overall


def test_the_answers_do_not_hang_on_the_labels(cases: Path, tmp_path: Path):
    """With every label wrong the same spans are named; they are just not right any more."""
    wrong = tmp_path / "wrong"
    write_case(simulate_case("error", 11, settings=SMALL), wrong)
    truth = json.loads((wrong / "truth.json").read_text())
    for trace in truth["traces"].values():
        trace["origin_span_ids"], trace["origin_services"] = ["f" * 16], ["nobody"]
    truth["background"] = {}
    (wrong / "truth.json").write_text(json.dumps(truth))
    (wrong / "case.json").write_text(json.dumps({"fault_type": "kill", "root_cause_services": ["nobody"]}))

    true, other = judge_case(cases / "error"), judge_case(wrong)

    assert [(one.trace_id, one.outcome, one.family) for one in true] == [
        (one.trace_id, one.outcome, one.family) for one in other
    ]
    assert not any(one.service or one.span for one in other)


def test_a_case_without_truth_is_told(tmp_path: Path):
    """Recorded cases have no truth about single traces."""
    text = "gateway POST /checkout 0..100"
    case_folders.write_case(tmp_path / "real", case_folders.begun(text, 5), case_folders.begun(text, 5), ["gateway"])

    result = run(tmp_path, "--origins")

    assert result.exit_code == 2
    assert "only simulated cases have one" in result.stderr
    assert "none of the 1 cases" in result.stderr


@pytest.mark.parametrize("more", [("--method", "all"), ("--window", "detected"), ("--plot", "out.png")])
def test_what_does_not_go_with_it_is_refused(cases: Path, more: tuple[str, str]):
    result = run(cases, "--origins", *more)

    assert result.exit_code == 2
    assert "--json only" in result.stderr
