"""`firstfault evaluate-detection`: simulated traffic through analyzer and detector, small enough for every day."""

from __future__ import annotations

import orjson
import pytest
from typer.testing import CliRunner

from analyzer.evaluation.alarming import StreamResult, score_streams
from analyzer.simulator.case import CaseSettings
from analyzer.simulator.stream import StreamSettings, simulate_stream
from collector.cli import app
from collector.evaluate_detection import plan_streams, play_stream

SMALL = CaseSettings(services=8, dialect="otel_http", sampling="none")


def result(archetype: str = "error", delay_s: float | None = 30.0, incidents: int = 0) -> StreamResult:
    return StreamResult(archetype, 1, 1800.0, incidents, 3 * incidents, archetype != "healthy", delay_s)


@pytest.mark.parametrize(
    "archetype",
    ["error", "kill", *(pytest.param(one, marks=pytest.mark.deep) for one in ("own_latency", "n_plus_one"))],
)
def test_faults_are_told_within_minutes_and_nothing_before(archetype: str):
    settings = StreamSettings(healthy_s=1800.0, quiet_s=900.0, fault_s=300.0, case=SMALL)

    found = play_stream(simulate_stream(archetype, 2, settings))

    assert (found.false_incidents, found.false_alarms) == (0, 0)
    assert found.delay_s is not None
    assert found.delay_s <= 300.0


@pytest.mark.parametrize("hours", [1, pytest.param(2, marks=pytest.mark.deep)])
def test_healthy_hours_with_harmless_changes_are_quiet(hours: int):
    settings = StreamSettings(healthy_s=3600.0 * hours, quiet_s=900.0, changes_per_hour=3, case=SMALL)
    stream = simulate_stream("healthy", 7, settings)

    assert play_stream(stream).false_incidents == 0
    assert len(stream.changes) > 1


def test_recall_delay_and_false_alarms_are_counted():
    scored = score_streams([result(), result(delay_s=None), result("kill", 50.0), result("healthy", None, incidents=2)])

    assert scored["healthy_hours"] == 2.0
    assert (scored["false_incidents_per_hour"], scored["false_alarms_per_hour"]) == (1.0, 3.0)
    assert (scored["fault_count"], scored["recall"], scored["delay_s"]) == (3, pytest.approx(2 / 3), 40.0)
    assert scored["by_archetype"]["error"]["recall"] == 0.5


def test_nothing_to_score_is_no_division():
    assert score_streams([])["recall"] is None


def test_a_plan_holds_the_hours_then_every_fault():
    planned = plan_streams(25.0, 2, ["kill", "error", "healthy"], 0.5)

    assert [settings.healthy_s for archetype, settings in planned if archetype == "healthy"] == [36000, 36000, 18000]
    assert [archetype for archetype, _ in planned][3:] == ["kill", "error"] * 2


def test_the_command_prints_a_table_and_writes_the_report(tmp_path):
    report = tmp_path / "found.json"
    arguments = ["evaluate-detection", "--hours", "0.1", "--faults", "0", "--json", str(report)]

    done = CliRunner().invoke(app, arguments)

    assert done.exit_code == 0
    assert "0.1 healthy hours: 0.000 false incidents an hour" in done.stdout
    assert orjson.loads(report.read_bytes())["fault_count"] == 0


def test_an_unknown_archetype_is_wrong_use():
    done = CliRunner().invoke(app, ["evaluate-detection", "--archetype", "nothing"])

    assert done.exit_code == 2
