"""Processes of the demo: started together, ended in order, whatever interrupts."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import IO

STOP_S = 40.0  # firstfault stops its processes one after the other, 10 s each at most
_INTERRUPTS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def running(
    commands: Sequence[Sequence[str]], log: IO[bytes], environment: dict[str, str] | None = None
) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Run `python -m COMMAND` for each command until the block ends; none is left behind."""
    processes: list[subprocess.Popen[bytes]] = []
    try:
        with _uninterrupted():  # an interrupt between a start and its note would leave the process behind
            for words in commands:
                processes.append(_start(words, log, environment))
        yield processes
    finally:
        _end(processes)


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Hold interrupts back until the block ends."""
    held: list[int] = []
    before = {number: signal.signal(number, lambda number, _: held.append(number)) for number in _INTERRUPTS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if held:
        signal.raise_signal(held[0])


def _start(words: Sequence[str], log: IO[bytes], environment: dict[str, str] | None = None) -> subprocess.Popen[bytes]:
    # A session of its own: Ctrl-C is for the demo, which ends the others in order.
    command = [sys.executable, "-m", *words]
    return subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)


def _end(processes: list[subprocess.Popen[bytes]]) -> None:
    # An impatient second Ctrl-C, or a SIGTERM behind it, must not leave them behind.
    before = {number: signal.signal(number, signal.SIG_IGN) for number in _INTERRUPTS}
    try:
        for process in processes:
            process.terminate()
        deadline = time.monotonic() + STOP_S
        for process in processes:
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
