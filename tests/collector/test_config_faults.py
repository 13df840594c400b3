"""R21: whatever is wrong with a configuration, nothing starts, and the message names what it is."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from collector.cli import serve
from tests.support.config_faults import Fault, faults, settings
from tests.support.running import firstfault

COUNT = 200
SEED = 21
_ports: list[list[Any]] = []


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "socket.bind" and _ports:
        _ports[-1].append(arguments[1])


sys.addaudithook(_watch)


@pytest.fixture
def ports() -> Iterator[list[Any]]:
    """Addresses that this process has bound during the test."""
    _ports.append([])
    yield _ports[-1]
    _ports.pop()


@pytest.fixture(scope="module")
def drawn() -> list[Fault]:
    return faults(SEED, COUNT)


def test_two_hundred_faults_are_refused_by_name(
    tmp_path: Path, drawn: list[Fault], ports: list[Any], capsys: pytest.CaptureFixture[str]
):
    """Exit status 2, the key in the message, no port."""
    path = tmp_path / "config.yaml"
    assert len(drawn) == COUNT
    for fault in drawn:
        path.write_text(fault.text, "utf-8")

        with pytest.raises(typer.Exit) as ended:
            serve(path)

        assert (ended.value.exit_code, ports) == (2, []), fault
        assert fault.named in capsys.readouterr().err, fault


def test_a_port_that_is_bound_would_be_seen(ports: list[Any]):
    """The watch itself."""
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))

    assert ports == [("127.0.0.1", 0)]


@pytest.mark.e2e
@pytest.mark.parametrize("number", [0, 8, 20, 24, 60, 150])
def test_the_whole_program_refuses_alike(tmp_path: Path, drawn: list[Fault], number: int):
    """Contradictions, an open door, a file that is no YAML, drawn ones."""
    path = tmp_path / "config.yaml"
    path.write_text(drawn[number].text, "utf-8")

    found = firstfault("serve", "--config", path)

    assert found.returncode == 2
    assert drawn[number].named in found.stderr.decode()
    assert b"Traceback" not in found.stderr


def test_every_number_has_bounds_on_both_sides():
    """A number without an upper bound is one that somebody sets to 10^30, and the process dies of later."""
    unbounded = [
        ".".join(setting.path)
        for setting in settings()
        if setting.schema.get("type") in ("integer", "number")
        and not (
            {"minimum", "exclusiveMinimum"} & set(setting.schema)
            and {"maximum", "exclusiveMaximum"} & set(setting.schema)
        )
    ]

    assert unbounded == []
