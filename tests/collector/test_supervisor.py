"""Processes are started together, watched, started again when they die, and stopped front to back."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from collector import supervisor as module
from collector.supervisor import STOP_SHARES, ChildSpec, Supervisor, own_stop_s, socket_path

# A stand-in for collector.process: answers "ready", notes its end in a file, and dies when it is told to.
CHILD = textwrap.dedent(
    """
    import json, os, signal, sys, threading
    from pathlib import Path
    from collector.control import ControlServer
    from collector.supervisor import socket_path
    with os.fdopen(int(sys.argv[2])) as pipe:
        told = json.load(pipe)
    done = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: None if told.get("deaf") else done.set())
    folder = Path(told["folder"])
    if told.get("broken"):
        sys.exit(3)
    server = ControlServer(socket_path(folder, told["name"]), {"ready": lambda _: b"true", "who": lambda _: json.dumps({"name": told["name"]}).encode()})
    server.start()
    done.wait()
    with (folder / "ended").open("a") as notes:
        notes.write(told["name"] + chr(10))
    server.stop()
    """
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    script = tmp_path / "child.py"
    script.write_text(CHILD)
    real = subprocess.Popen

    def popen(command: list[str], **options: object) -> object:
        environment = os.environ | {"PYTHONPATH": str(Path(module.__file__).parents[1])}
        return real([sys.executable, str(script), *command[3:]], env=environment, **options)  # type: ignore[call-overload]

    monkeypatch.setattr(module.subprocess, "Popen", popen)
    return tmp_path


@pytest.fixture
def started(folder: Path) -> Iterator[Callable[..., Supervisor]]:
    made: list[Supervisor] = []

    def start(*names: str, **told: object) -> Supervisor:
        specs = [ChildSpec(name, name.rstrip("0123456789"), {"folder": str(folder), **told}) for name in names]
        one = Supervisor(specs, folder, stop_timeout_s=10.0)
        made.append(one)
        one.start()
        return one

    yield start
    for one in made:
        one.stop()


def until(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def test_all_are_ready_when_start_returns(started: Callable[..., Supervisor]):
    supervisor = started("engine", "query")

    assert supervisor.alive() == {"engine": True, "query": True}
    assert supervisor.not_ready() == []
    assert supervisor.ask_all("who") == {"engine": {"name": "engine"}, "query": {"name": "query"}}


def test_one_is_started_when_another_is_ready(folder: Path, monkeypatch: pytest.MonkeyPatch):
    told = {"folder": str(folder)}
    specs = [ChildSpec("engine", "engine", told), ChildSpec("query", "query", told, after="receiver"), ChildSpec("receiver", "receiver", told)]  # fmt: skip
    supervisor = Supervisor(specs, folder, stop_timeout_s=10.0)
    spawn, seen = supervisor._spawn, {}

    def watched(child: module._Child) -> None:
        seen[child.spec.name] = {name for name in seen if name not in supervisor.not_ready()}
        spawn(child)

    monkeypatch.setattr(Supervisor, "_spawn", lambda _, child: watched(child))
    try:
        supervisor.start()
        assert list(seen) == ["engine", "receiver", "query"]
        assert "receiver" in seen["query"]
        assert supervisor.not_ready() == []
    finally:
        supervisor.stop()
    assert (folder / "ended").read_text().split() == ["receiver", "query", "engine"]


def test_they_are_stopped_front_to_back(started: Callable[..., Supervisor], folder: Path):
    """The last to start is the first to go."""
    supervisor = started("engine", "query", "receiver")

    assert supervisor.stop()

    assert (folder / "ended").read_text().split() == ["receiver", "query", "engine"]


def test_one_that_dies_is_started_again(started: Callable[..., Supervisor], folder: Path):
    supervisor = started("engine", "query")
    watcher = threading.Thread(target=supervisor.watch, daemon=True)
    watcher.start()
    killed = supervisor._children[0].process
    assert killed is not None
    os.kill(killed.pid, signal.SIGKILL)

    until(lambda: supervisor.restarts.get("engine") == 1 and supervisor.not_ready() == [])
    supervisor.request_stop()
    watcher.join(10)

    assert supervisor.restarts == {"engine": 1}


def test_one_that_cannot_start_stops_the_others(started: Callable[..., Supervisor]):
    with pytest.raises(RuntimeError, match="engine"):
        started("engine", "query", broken=True)


def test_one_that_does_not_listen_is_killed_in_time(folder: Path):
    spec = ChildSpec("engine", "engine", {"folder": str(folder), "deaf": True})
    supervisor = Supervisor([spec], folder, stop_timeout_s=0.2)
    supervisor.start()
    process = supervisor._children[0].process
    assert process is not None

    assert not supervisor.stop()
    assert process.returncode == -signal.SIGKILL


def test_asked_to_stop_it_does_not_go_on_starting(folder: Path):
    spec = ChildSpec("engine", "engine", {"folder": str(folder)})
    supervisor = Supervisor([spec], folder, stop_timeout_s=10.0)
    supervisor.request_stop()

    supervisor.start()  # neither waits nor complains

    assert supervisor.stop()


def test_cut_off_kills_all_at_once(started: Callable[..., Supervisor]):
    supervisor = started("engine", "query")

    supervisor.cut_off()

    assert not supervisor.stop()
    assert [child.process.returncode for child in supervisor._children if child.process] == [-signal.SIGKILL] * 2


def test_a_process_has_less_than_its_share_for_its_own_stop():
    """So that it ends by itself before it is killed."""
    shares = [own_stop_s(role, 10.0) for role in STOP_SHARES]

    assert sum(STOP_SHARES.values()) == pytest.approx(1.0)
    assert sum(shares) < 10.0


def test_a_socket_has_a_name_of_its_own(tmp_path: Path):
    assert socket_path(tmp_path, "engine").name == "engine.sock"
