"""Our own logs keep our own schema, and name the request they are about."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any, Literal

import pytest

from analyzer.errors.log_schema import faults_of
from collector import correlation
from collector.config import Logs
from collector.logs import set_up_logging
from tests.support.hostile_text import PAYLOADS


@pytest.fixture
def untouched_root() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


@pytest.mark.usefixtures("untouched_root")
def test_every_line_keeps_the_schema(capsys: pytest.CaptureFixture[str]):
    set_up_logging(Logs(format="json", level="debug", environment="staging"), "engine")
    log = logging.getLogger("collector.test")
    log.debug("looked")
    log.warning("port %d is taken", 4317)
    log.critical("gone")
    try:
        raise ValueError("bad\ninput")
    except ValueError:
        log.exception("cannot read %s", "a")

    found = lines(capsys)

    assert [faults_of(line) for line in found] == [[]] * 4
    assert [line["level"] for line in found] == ["DEBUG", "WARN", "ERROR", "ERROR"]
    assert found[1]["message"] == "port 4317 is taken"
    assert found[1]["environment"] == "staging"
    assert found[3]["error"]["type"] == "ValueError"
    assert "bad\ninput" in found[3]["error"]["stack_trace"]


@pytest.mark.usefixtures("untouched_root")
def test_the_same_trouble_has_the_same_fingerprint(capsys: pytest.CaptureFixture[str]):
    set_up_logging(Logs(format="json"), "engine")
    log = logging.getLogger("collector.test")
    for name in ("a", "b"):
        log.error("cannot read %s", name)
    log.error("cannot write %s", "a")

    first, second, other = (line["error"]["fingerprint"] for line in lines(capsys))

    assert first == second != other


@pytest.mark.usefixtures("untouched_root")
def test_a_line_names_the_request_it_is_about(capsys: pytest.CaptureFixture[str]):
    set_up_logging(Logs(format="json"), "query")
    token = correlation.current.set("order-42")
    logging.getLogger("collector.test").info("asked")
    correlation.current.reset(token)
    logging.getLogger("collector.test").info("idle")

    assert [line["correlation_id"] for line in lines(capsys)] == ["order-42", ""]


def test_what_is_sent_on_is_the_id_of_the_request():
    token = correlation.current.set("order-42")

    assert correlation.outgoing("firstfault-cli") == {
        "x-correlation-id": "order-42",
        "x-source-service": "firstfault-cli",
    }
    correlation.current.reset(token)
    assert len(correlation.outgoing("firstfault-cli")["x-correlation-id"]) == 32


@pytest.mark.usefixtures("untouched_root")
@pytest.mark.parametrize("style", ["text", "json"])
@pytest.mark.parametrize("text", [*PAYLOADS.values(), "lone \udcff surrogate"], ids=[*PAYLOADS, "no text"])
def test_no_word_of_theirs_begins_a_line_or_steers_a_terminal(
    capsys: pytest.CaptureFixture[str], style: Literal["text", "json"], text: str
):
    """In the message, and in an error with its traceback: lines of ours begin at the left, theirs do not."""
    set_up_logging(Logs(format=style), "engine")
    forged = f"{text}\n12:00:00 error engine forged {text}"
    try:
        raise ValueError(forged)
    except ValueError:
        logging.getLogger("collector.test").exception("%s", forged)

    said = capsys.readouterr().err.splitlines()

    assert [letter for line in said for letter in line if not letter.isprintable()] == []
    ours = [line for line in said if not line.startswith("  ")]
    assert len(ours) == 1
    assert "Logging error" not in ours[0]
    assert style == "text" or faults_of(json.loads(ours[0])) == []
