"""What the command line prints of hostile telemetry: lines for people and JSON, without a letter that steers a terminal."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from collector.cli import app
from collector.json_text import steady_json
from tests.support.drawing import EPOCH_NS
from tests.support.hostile_text import PAYLOADS, hostile_trace

ALL = pytest.mark.parametrize("payload", PAYLOADS.values(), ids=PAYLOADS)
FEW = pytest.mark.parametrize("payload", [PAYLOADS[name] for name in ("terminal", "new lines", "turned round", "nothing", "letters unseen")])  # fmt: skip


def steers(text: str) -> list[str]:
    return [letter for letter in text if not letter.isprintable() and letter != "\n"]


@ALL
def test_json_says_the_same_without_unseen_letters(payload: str):
    value = {payload: [payload, {"a": payload}]}
    written = steady_json(json.dumps(value, ensure_ascii=False))

    assert json.loads(written) == value
    assert steers(written) == []


@FEW
@pytest.mark.parametrize(
    "words",
    [("analyze",), ("analyze", "--json"), ("report",), ("report", "--format", "json"), ("report", "--format", "monitors")],
    ids=" ".join,
)  # fmt: skip
def test_a_file_of_hostile_spans(tmp_path: Path, payload: str, words: tuple[str, ...]):
    file = tmp_path / "trace.pb"
    file.write_bytes(hostile_trace(payload, "http://127.0.0.1:9/", bytes(range(16)), EPOCH_NS)[0])

    result = CliRunner().invoke(app, [words[0], str(file), *words[1:]], catch_exceptions=False)

    assert result.exit_code == 0
    assert len(result.stdout) > 500
    assert steers(result.stdout + result.stderr) == []


@FEW
@pytest.mark.parametrize("more", [(), ("--json",)], ids=["lines", "JSON"])
def test_a_stack_trace_that_is_brought(payload: str, more: tuple[str, ...]):
    text = (
        f'Traceback (most recent call last):\n  File "/app/{payload}.py", line 7, in f\n    g()\nValueError: {payload}'
    )
    result = CliRunner().invoke(app, ["analyze", "--text", text, *more], catch_exceptions=False)

    assert result.exit_code == 0
    assert steers(result.stdout + result.stderr) == []


@FEW
def test_a_log_that_is_converted(tmp_path: Path, payload: str):
    file = tmp_path / "log.jsonl"
    file.write_text(json.dumps({"level": "error", "message": payload, "service": payload, payload: payload}))

    result = CliRunner().invoke(app, ["convert-log", str(file)], catch_exceptions=False)

    assert result.exit_code == 0
    assert steers(result.stdout + result.stderr) == []
