"""What people have without a trace, at the doors: `POST /analyze` and `firstfault analyze`."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from click.testing import Result
from typer.testing import CliRunner

from collector.cli import app
from collector.text_analysis import is_text_evidence
from tests.analyzer.errors.test_log_schema import EXAMPLE
from tests.analyzer.errors.test_text_evidence import NPE, log_of
from tests.collector.query.rooms import CHECKOUT, Room, problem


def post(body: bytes, kind: str, **headers: str) -> httpx.Response:
    return Room().client.post("/api/v1/analyze", content=body, headers={"content-type": kind} | headers)


def test_a_message_over_rest():
    found = post(b"TimeoutException: Operation timed out after 30000ms", "text/plain; charset=utf-8").json()

    assert (found["answers"], found["text"]["kind"], found["text"]["error_class"]) == ([], "message", "timeout")
    assert found["evidence"]["present"] == ["message"]
    assert [one["kind"] for one in found["evidence"]["missing"]] == ["stack", "log", "trace"]


def test_a_stack_trace_over_rest_is_told_by_its_text():
    found = post(NPE.encode(), "text/plain").json()

    assert found["text"]["kind"] == "stack"
    assert "stack" in found["evidence"]["present"]


def test_a_log_over_rest_plain_and_packed():
    body = log_of(EXAMPLE, EXAMPLE).encode()
    plain = post(body, "application/x-ndjson").json()
    packed = post(gzip.compress(body), "application/x-ndjson", **{"content-encoding": "gzip"}).json()

    assert plain == packed
    assert plain["text"]["errors"][0]["count"] == 2


def test_hostile_text_over_rest_stays_text():
    assert "<script>" not in post(b"<script>Error</script>", "text/plain").text


def test_text_that_is_no_utf8_is_refused():
    problem(post(b"\xff\xfe", "text/plain"), 400, "undecodable")


def run(*words: str) -> Result:
    return CliRunner().invoke(app, ["analyze", *words])


def test_a_log_file_on_the_command_line(tmp_path: Path):
    path = tmp_path / "app.log"
    path.write_text(log_of(*[EXAMPLE] * 12, {"level": "INFO", "message": "fine", "service": "ledger"}))

    done = run(str(path))

    text = done.stdout
    assert done.exit_code == 0
    assert "12 errors of 1 kind in 13 records" in text
    assert "100% of the records of payment-service keep the log schema" in text
    assert "0% of the records of ledger keep the log schema" in text
    assert "missing  trace: which service it began in" in text


def test_a_stack_trace_from_standard_input_as_json():
    """A pipe is looked at without taking from it, which only a process of its own shows."""
    command = [sys.executable, "-m", "collector", "analyze", "-", "--json"]
    done = subprocess.run(command, input=NPE.encode(), capture_output=True, timeout=120, check=True)

    found = json.loads(done.stdout)
    assert (found["kind"], found["error_type"]) == ("stack", "NullPointerException")


def test_a_message_as_a_word():
    done = run("--text", "psycopg2.OperationalError: connection refused \x1b[2J")

    assert done.exit_code == 0
    assert "unavailable" in done.stdout
    assert "\x1b" not in done.stdout


@pytest.mark.parametrize("words", [(), ("--text", "x", "file")])
def test_either_files_or_text(words: tuple[str, ...]):
    done = run(*words)

    assert (done.exit_code, "give files to analyze, or --text" in done.stderr) == (2, True)


def test_a_log_and_traces_may_be_given_together(tmp_path: Path):
    """The log is told for itself, the traces as ever."""
    (tmp_path / "app.log").write_text(log_of(EXAMPLE))
    (tmp_path / "traces").write_bytes(CHECKOUT.requests()[0])

    done = run(str(tmp_path / "app.log"), str(tmp_path / "traces"))

    assert done.exit_code == 0
    assert "1 error of 1 kind in 1 record" in done.stdout
    assert "FINDING" in done.stdout


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (log_of(EXAMPLE).encode(), True),
        (NPE.encode(), True),
        (NPE.encode() + "é".encode()[:1], True),  # cut within a letter
        (b'{"resourceSpans": [{}]}', False),
        (b'{"resourceLogs": [{}]}', False),
        (b"\x0a\x00\x12binary", False),
        (b"hello, world", False),
        (b"[]", False),
        (b"", False),
        (b"\xff" * 10, False),
    ],
)
def test_otlp_is_never_taken_for_a_log(head: bytes, expected: bool):
    assert is_text_evidence(head) is expected
