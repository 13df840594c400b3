"""The demo: ten of ten, healthy traces clean, also beside another server; interrupted, it leaves nothing behind."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from collector.demo.faults import FAULTS
from tests.support.running import ROOT, environment

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

USUAL_PORTS = (4317, 4318, 8080, 9317, 8888, 13133)
COMMAND = [sys.executable, "-m", "collector", "demo", "--once"]


def processes_below(folder: Path) -> list[int]:
    """Processes, of whatever session, that were started with this directory for temporary files."""
    found = []
    for place in Path("/proc").iterdir():
        if place.name.isdigit() and place.name != str(os.getpid()):
            try:
                told = (place / "environ").read_bytes().split(b"\0")
            except OSError:
                continue
            if b"TMPDIR=" + os.fsencode(folder) in told:
                found.append(int(place.name))
    return found


@pytest.fixture
def short_folder():
    """Names of Unix sockets may have 107 bytes: pytest's own directory is too deep."""
    import tempfile

    with tempfile.TemporaryDirectory(prefix="ff-", dir="/tmp") as name:
        yield Path(name)


@pytest.mark.deep
def test_ten_of_ten(short_folder: Path):
    """Exit status 0: all ten answers are right and no healthy trace has a finding; the usual ports are taken."""
    with ExitStack() as stack:
        for port in USUAL_PORTS:
            taken = stack.enter_context(socket.socket())
            try:
                taken.bind(("127.0.0.1", port))
                taken.listen()
            except OSError:
                continue  # then somebody else has it
        done = subprocess.run(
            COMMAND,
            capture_output=True,
            text=True,
            timeout=500,
            cwd=ROOT,
            env=environment() | {"TMPDIR": str(short_folder), "COLUMNS": "80"},
            check=False,
        )

    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(FAULTS)} of {len(FAULTS)} right." in done.stdout
    assert "0 with a finding" in done.stdout
    assert done.stdout.count("│ right │") == len(FAULTS)
    assert max(map(len, done.stdout.splitlines())) <= 80
    urls = re.findall(r"^http://127\.0\.0\.1:(\d+)/api/v1/traces/[0-9a-f]{32}/root-cause$", done.stdout, re.MULTILINE)
    assert len(urls) == len(FAULTS)
    assert not {int(port) for port in urls} & set(USUAL_PORTS)
    assert processes_below(short_folder) == []
    assert list(short_folder.iterdir()) == []


@pytest.mark.parametrize(
    "number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.deep)], ids=["Ctrl-C", "SIGTERM"]
)
def test_an_interrupted_demo_leaves_nothing_behind(short_folder: Path, number: signal.Signals):
    """In the middle of the traffic: no process, no directory, no traceback."""
    with subprocess.Popen(
        COMMAND,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd=ROOT,
        env=environment() | {"TMPDIR": str(short_folder)},
    ) as demo:
        deadline = time.monotonic() + 250
        while len(processes_below(short_folder)) < 12 and time.monotonic() < deadline:
            assert demo.poll() is None
            time.sleep(0.05)
        demo.send_signal(number)
        said, _ = demo.communicate(timeout=60)

    assert demo.returncode == 130, said
    assert b"Traceback" not in said
    assert processes_below(short_folder) == []
    assert list(short_folder.iterdir()) == []
