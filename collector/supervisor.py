"""Starts the processes of a server, keeps them alive, stops them front to back.

    receivers (n)   guard and acknowledge; share their port through SO_REUSEPORT
    engine (1)      decode, assemble, analyse, store, export
    query (1)       REST and gRPC answers

Each runs `python -m collector.process ROLE`. They are started together and waited for back to front (engine,
query, receivers) until each says over its control socket that it is ready: what receivers take before the
engine is up waits in the rings. One that dies is started
again, later each time it dies soon. The supervisor itself holds no data and does no work: only the rings'
descriptors, so that a new engine finds what the old one had not taken.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from collector.control import ControlClient

logger = logging.getLogger(__name__)

READY_TIMEOUT_S = 240.0  # a fresh install compiles its kernels once: 40 s on two fast cores, more on a busy machine
BACKOFF_MAX_S = 30.0
# Shares of the time for a stop. A process is told a little less than its share, so that it ends by itself.
STOP_SHARES = {"receiver": 0.25, "query": 0.1, "engine": 0.65}
_OWN_SHARE = 0.85
CALM_S = 60.0  # a process that lived this long starts at once when it dies
POLL_S = 0.1


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """One process: its role, what it is told, which descriptors it inherits, on which cores it runs.

    `after` names one that must be ready before this one is started: cores are few, and all of them import at once.
    """

    name: str
    role: str
    told: dict[str, Any]
    fds: tuple[int, ...] = ()
    cores: frozenset[int] | None = None
    after: str = ""


@dataclass(slots=True)
class _Child:
    spec: ChildSpec
    control: ControlClient
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    restart_at: float = 0.0
    deaths: int = 0


@dataclass(slots=True)
class Supervisor:
    """Owner: the main thread. `children` stand in the order of starting (back to front)."""

    specs: Sequence[ChildSpec]
    control_folder: Path
    stop_timeout_s: float = 10.0
    restarts: dict[str, int] = field(default_factory=dict)
    _children: list[_Child] = field(default_factory=list)
    _stopping: threading.Event = field(default_factory=threading.Event)

    def start(self) -> None:
        """Start every process and wait until each is ready, or until `request_stop`.

        Raises
        ------
        RuntimeError
            One of them ended, or was not ready in time; the others are stopped first.
        """
        for spec in self.specs:
            child = _Child(spec, ControlClient(socket_path(self.control_folder, spec.name)))
            self._children.append(child)
            if not spec.after:
                self._spawn(child)
        by_name = {child.spec.name: child for child in self._children}
        for child in self._children:
            if child.spec.after:
                if not self._is_ready(by_name[child.spec.after]):
                    return
                self._spawn(child)
        for child in self._children:
            if not self._is_ready(child):
                return

    def _is_ready(self, child: _Child) -> bool:
        """Wait until it is; False when we are asked to stop meanwhile."""
        if self._wait_ready(child):
            return True
        if self._stopping.is_set():
            return False
        self.stop()
        raise RuntimeError(f"{child.spec.name} did not become ready within {READY_TIMEOUT_S:.0f} s; its log says why")

    def watch(self) -> None:
        """Start again what dies, until `request_stop`."""
        while not self._stopping.wait(POLL_S):
            now = time.monotonic()
            for child in self._children:
                if child.process is not None and child.process.poll() is not None:
                    self._died(child, now)
                if child.process is None and now >= child.restart_at and not self._stopping.is_set():
                    self.restarts[child.spec.name] = self.restarts.get(child.spec.name, 0) + 1
                    self._spawn(child)

    def request_stop(self) -> None:
        """Ask `watch` to return, from any thread."""
        self._stopping.set()

    def stop(self) -> bool:
        """Stop front to back, all within `stop_timeout_s`; False when one had to be killed.

        Each role has its share of the time (`STOP_SHARES`); what one leaves over is the next one's.
        """
        self._stopping.set()
        clean = True
        deadline = time.monotonic()
        groups: dict[str, list[_Child]] = {}
        for child in reversed(self._children):
            groups.setdefault(child.spec.role, []).append(child)
        for role, group in groups.items():
            for child in group:
                if child.process is not None:
                    child.process.terminate()
            deadline += self.stop_timeout_s * STOP_SHARES.get(role, 1.0)
            for child in group:
                clean = self._wait_end(child, deadline) and clean
        for child in self._children:
            child.control.close()
        return clean

    def cut_off(self) -> None:
        """Kill every process now: somebody asked a second time. From any thread."""
        self._stopping.set()
        for child in self._children:
            if child.process is not None:
                child.process.kill()

    def ask_all(self, word: str) -> dict[str, dict[str, object]]:
        """Put one question to every process; those that do not answer are left out."""
        answers = {}
        for child in self._children:
            found = child.control.json(word)
            if found is not None:
                answers[child.spec.name] = found
        return answers

    def not_ready(self) -> list[str]:
        """Names of the processes that do not say that they are ready."""
        known = {child.spec.name for child in self._children}
        waiting = [child.spec.name for child in self._children if child.control.question("ready") != b"true"]
        return waiting + [spec.name for spec in self.specs if spec.name not in known]

    def alive(self) -> dict[str, bool]:
        return {child.spec.name: child.process is not None and child.process.poll() is None for child in self._children}

    def _spawn(self, child: _Child) -> None:
        spec = child.spec
        read_fd, write_fd = os.pipe()
        command = [sys.executable, "-m", "collector.process", spec.role, str(read_fd)]
        child.process = subprocess.Popen(command, pass_fds=(read_fd, *spec.fds))
        child.started_at = time.monotonic()
        os.close(read_fd)
        with os.fdopen(write_fd, "wb") as pipe:
            stop_s = own_stop_s(spec.role, self.stop_timeout_s)
            pipe.write(orjson.dumps({"name": spec.name, "stop_s": stop_s, **spec.told}))
        if spec.cores and hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(child.process.pid, spec.cores)

    def _wait_ready(self, child: _Child) -> bool:
        deadline = time.monotonic() + READY_TIMEOUT_S
        while time.monotonic() < deadline and not self._stopping.is_set():
            if child.process is None or child.process.poll() is not None:
                return False
            if child.control.question("ready") == b"true":
                return True
            self._stopping.wait(0.02)
        return False

    def _died(self, child: _Child, now: float) -> None:
        assert child.process is not None
        lived = now - child.started_at
        child.deaths = 1 if lived > CALM_S else child.deaths + 1
        wait = 0.0 if child.deaths == 1 else min(BACKOFF_MAX_S, 2.0 ** (child.deaths - 2))
        child.restart_at = now + wait
        logger.error(
            "%s ended with status %s after %.1f s; it is started again in %.1f s",
            child.spec.name,
            child.process.returncode,
            lived,
            wait,
        )
        child.process = None

    def _wait_end(self, child: _Child, deadline: float) -> bool:
        if child.process is None:
            return True
        try:
            child.process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            logger.error("%s did not stop in its share of %.0f s and is killed", child.spec.name, self.stop_timeout_s)
            child.process.kill()
            child.process.wait()
            return False
        return child.process.returncode in (0, -signal.SIGTERM)


def own_stop_s(role: str, stop_timeout_s: float) -> float:
    """Seconds that a process of this role has for its own stop."""
    return stop_timeout_s * STOP_SHARES.get(role, 1.0) * _OWN_SHARE


def socket_path(folder: Path, name: str) -> Path:
    """Where a process listens for our questions."""
    return folder / f"{name}.sock"
