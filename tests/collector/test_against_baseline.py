"""What no single trace shows, all of them together do: files against their baseline."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from collector.cli import app
from tests.support.drawing import Drawing, draw, healthy

QUICK = """
frontend POST /checkout 0..60 http.response.status_code=200
  frontend CLIENT POST 2..58 server.address=checkout http.response.status_code=200
    checkout POST /checkout 4..56 http.response.status_code=200
      checkout CLIENT POST 32..50 server.address=payment http.response.status_code=200
        payment POST /charge 34..48 http.response.status_code=200
"""
SLOW = """
frontend POST /checkout 0..160 http.response.status_code=200
  frontend CLIENT POST 2..158 server.address=checkout http.response.status_code=200
    checkout POST /checkout 4..156 http.response.status_code=200
      checkout CLIENT POST 32..150 server.address=payment http.response.status_code=200
        payment POST /charge 34..148 http.response.status_code=200
"""


def file_of(folder: Path, name: str, drawings: list[Drawing]) -> Path:
    path = folder / f"{name}.binpb"
    path.write_bytes(b"".join(drawing.requests()[0] for drawing in drawings))  # messages merge into one request
    return path


def analyze(*arguments: str | Path) -> list[str]:
    """What is said of all traces together."""
    ran = CliRunner().invoke(app, ["analyze", *map(str, arguments)], catch_exceptions=False)
    assert ran.exit_code == 0, ran.output
    return [line.split(maxsplit=1)[1] for line in ran.stdout.splitlines() if line.startswith("TOGETHER")]


@pytest.fixture
def normal(tmp_path: Path) -> Path:
    """One call of payment in five is slow, so a slow one is nothing new."""
    return file_of(tmp_path, "normal", [*healthy(draw(QUICK), 160, seed=1), *healthy(draw(SLOW), 40, seed=500)])


def test_what_is_usual_in_one_trace_is_not_in_all_of_them(tmp_path: Path, normal: Path):
    now = file_of(tmp_path, "now", healthy(draw(SLOW), 100, seed=900))

    (told,) = [line for line in analyze("--baseline", normal, now) if line.startswith("Against the baseline")]

    assert "it began at payment: its own time in POST /charge went from" in told
    assert "% sure" in told
    assert analyze(now) == []  # of itself it is as it always was


def test_as_usual_is_said_to_be_so(tmp_path: Path, normal: Path):
    now = file_of(tmp_path, "now", [*healthy(draw(QUICK), 80, seed=900), *healthy(draw(SLOW), 20, seed=1300)])

    assert analyze("--baseline", normal, now) == ["Against the baseline nothing stands out in all traces together."]


def test_a_few_traces_are_no_crowd(tmp_path: Path, normal: Path):
    assert analyze("--baseline", normal, file_of(tmp_path, "now", healthy(draw(SLOW), 5, seed=900))) == []
