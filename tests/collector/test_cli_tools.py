"""Commands that ask nobody: the schema of reports, logs in our schema, monitors with traps."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from analyzer.errors.log_schema import faults_of
from collector import convert_log
from collector.cli import app
from tests.support import brief_monitors

Run = Callable[..., Result]
ECS = {
    "@timestamp": "2025-10-09T08:53:20Z",
    "log.level": "error",
    "service.name": "payment",
    "message": "declined",
    "error.type": "CardError",
    "user.id": "ada",
    "client.ip": "192.0.2.17",
}


@pytest.fixture
def run() -> Run:
    return lambda *words: CliRunner().invoke(app, list(map(str, words)), catch_exceptions=False)


def log_file(folder: Path, *lines: object) -> Path:
    path = folder / "app.log"
    path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines))
    return path


def test_the_schema_of_reports_is_printed(run: Run):
    done = run("report", "--schema")

    assert done.exit_code == 0
    assert {"summary", "root_cause", "runbook", "mitigations"} <= set(json.loads(done.stdout)["properties"])


def test_a_report_of_nothing_is_refused_in_words(run: Run):
    done = run("report")

    assert (done.exit_code, done.stderr) == (2, "give an id to ask a server, or a file; or --schema\n")


# -- convert-log ---------------------------------------------------------------------------


def test_a_log_becomes_lines_of_the_schema_that_name_nobody(run: Run, tmp_path: Path):
    done = run("convert-log", log_file(tmp_path, ECS))

    (line,) = done.stdout.splitlines()
    record = json.loads(line)
    assert done.exit_code == 0
    assert faults_of(record) == []
    assert (record["level"], record["service"], record["error"]["type"]) == ("ERROR", "payment", "CardError")
    assert record["user"]["ip"] == "192.0.2.0"
    assert record["user"]["id"] != "ada"
    assert len(record["user"]["id"]) == 16


@pytest.mark.parametrize(
    ("options", "user"),
    [
        (("--user", "keep", "--ip", "keep"), {"id": "ada", "ip": "192.0.2.17"}),
        (("--user", "drop", "--ip", "drop"), None),
    ],
)
def test_what_becomes_of_users_is_asked_for(run: Run, tmp_path: Path, options: tuple[str, ...], user: object):
    done = run("convert-log", log_file(tmp_path, ECS), *options)

    assert json.loads(done.stdout).get("user") == user


def test_what_is_no_record_is_counted(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(convert_log, "LINE_BYTES_MAX", 400)
    done = run("convert-log", log_file(tmp_path, ECS, "Traceback", "[1]", "", {"message": "x" * 500}, ECS))

    assert len(done.stdout.splitlines()) == 2
    assert done.stderr == "3 lines are no JSON object of at most 400 bytes and left out\n"


def test_without_a_record_or_a_file_the_status_says_so(run: Run, tmp_path: Path):
    assert run("convert-log", log_file(tmp_path, "nothing")).exit_code == 1
    missing = run("convert-log", tmp_path / "no\x1b[31m.log")

    assert missing.exit_code == 2
    assert "\x1b" not in missing.stderr


def test_a_converted_log_steers_no_terminal(run: Run, tmp_path: Path):
    done = run("convert-log", log_file(tmp_path, ECS | {"message": "a\x1b[31mb\u202e"}))

    assert "\x1b" not in done.stdout
    assert json.loads(done.stdout)["message"].startswith("a")


# -- check-monitors ------------------------------------------------------------------------


def test_traps_of_monitors_are_told(run: Run, tmp_path: Path):
    path = tmp_path / "monitors.json"
    path.write_text(json.dumps([brief_monitors.HIGH_ERROR_RATE, brief_monitors.NEW_ERROR_TYPE]))

    done = run("check-monitors", path)

    assert done.exit_code == 1
    assert "undefined when there are no hits" in done.stdout
    assert "fires for any error, not for new ones" in done.stdout


def test_our_own_monitors_have_none(run: Run, tmp_path: Path):
    from analyzer.reports.monitors_datadog import datadog_monitors
    from analyzer.reports.watched import Watched

    path = tmp_path / "monitors.json"
    path.write_text(json.dumps(datadog_monitors(Watched("payment"))))

    assert (run("check-monitors", path).stdout, run("check-monitors", path).exit_code) == (
        "no trap is known in them\n",
        0,
    )


@pytest.mark.parametrize(("content", "words"), [("{", "is no JSON"), ("[]", "holds no monitor"), ("[1]", "no monitor")])
def test_what_is_no_monitor_is_refused_in_words(run: Run, tmp_path: Path, content: str, words: str):
    path = tmp_path / "monitors.json"
    path.write_text(content)

    done = run("check-monitors", path)

    assert done.exit_code == 2
    assert words in done.stderr
    assert run("check-monitors", tmp_path / "none.json").exit_code == 2


def test_hostile_names_of_monitors_steer_nothing(run: Run, tmp_path: Path):
    path = tmp_path / "monitors.json"
    path.write_text(json.dumps({"name": "a\x1b[31m\u202e", "type": "x", "query": "y"}))

    done = run("check-monitors", path)

    assert "\x1b" not in done.stdout
    assert "\u202e" not in done.stdout
