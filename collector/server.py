"""`firstfault serve`: everything up, told to people and orchestrators, and down again in order.

In: the configuration's tree. Out: an exit status. With `--processes 1` all rooms live in this process; else
this process supervises the others. Health (13133) and metrics (8888) are answered here in both cases.
"""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol

from collector.app.doors import check_files, warn_of_open_doors
from collector.app.endpoints import host_port
from collector.config import Config, ConfigError, check
from collector.floors import check_floors
from collector.health import Health, health_server, metrics_server
from collector.logs import set_up_logging
from collector.ring import FLOOD_BYTES, ROOM_BYTES, create_ring
from collector.stop_signals import on_stop_signal
from collector.supervisor import ChildSpec, Supervisor, own_stop_s
from collector.telemetry import Snapshot, Telemetry, merge

logger = logging.getLogger(__name__)

RECEIVER = "receiver-0"  # in one process
LAST_QUESTIONS_S = 0.5  # for who asks for health or metrics while we stop
BODY_SHARE = 0.9  # of the time for a stop; the rest is for health and metrics


class Body(Protocol):
    """What `run` keeps alive: one process or many."""

    def start(self) -> None: ...

    def wait(self) -> None:
        """Return when it is time to stop."""

    def request_stop(self) -> None:
        """End `start` and `wait` early. From any thread."""

    def stop(self) -> bool: ...

    def cut_off(self) -> None:
        """End at once. From any thread."""

    def watch(self, health: Health, telemetry: Telemetry) -> None: ...


def run(tree: Mapping[str, Any]) -> int:
    """Serve until SIGTERM or SIGINT; the exit status (0: stopped cleanly).

    A second signal ends everything at once, with status 1. What was acknowledged is in the journal.
    """
    config = check(dict(tree))
    set_up_logging(config.service.telemetry.logs, "server")
    try:
        check_files(config)
    except ConfigError as error:
        logger.error("cannot start: %s", error)
        return 2
    if not _above_floors():
        return 2
    warn_of_open_doors(config)
    stopping = threading.Event()
    body: Body | None = None

    def asked_to_stop() -> None:
        if stopping.is_set() and body is not None:
            body.cut_off()
        stopping.set()
        if body is not None:
            body.request_stop()

    on_stop_signal(asked_to_stop)
    up = threading.Event()
    health, telemetry = Health(), Telemetry()
    health.ready("server", lambda: "stopping" if stopping.is_set() else "" if up.is_set() else "starting")
    telemetry.register("server", _uptime(time.monotonic()))
    with ExitStack() as doors:
        try:
            for door in (
                health_server(health, *host_port(config.service.health.endpoint)),
                metrics_server(telemetry, *host_port(config.service.telemetry.metrics.endpoint)),
            ):
                door.start()
                doors.callback(door.stop, LAST_QUESTIONS_S)
            body = _OneProcess(config, stopping) if config.service.processes == 1 else _Many(tree, config, stopping)
            body.watch(health, telemetry)
            if stopping.is_set():
                body.request_stop()
            body.start()
        except (OSError, RuntimeError) as error:  # a port or a directory that somebody else has
            logger.error("cannot start: %s", error)
            if body is not None:
                body.stop()
            return 1
        if not stopping.is_set():
            up.set()
            _say_hello(config)
        body.wait()
        logger.info("stopping")
        clean = body.stop()
    logger.info("stopped%s", "" if clean else "; something had to be cut off")
    return 0 if clean else 1


def _above_floors() -> bool:
    """Say what is below a floor; False when it is not safe to go on."""
    below = [line for line in check_floors() if line.level != "ok"]
    for line in below:
        fatal = line.level == "fault"
        said = "cannot start: %s: %s (%s)" if fatal else "%s: %s (%s)"
        logger.log(logging.ERROR if fatal else logging.WARNING, said, line.name, line.words, line.todo)
    return all(line.level != "fault" for line in below)


def _say_hello(config: Config) -> None:
    protocols = config.receivers.otlp.protocols
    logger.info(
        "ready: OTLP/gRPC %s, OTLP/HTTP %s, ask at http://%s/docs",
        protocols.grpc.endpoint if protocols.grpc.enabled else "off",
        protocols.http.endpoint if protocols.http.enabled else "off",
        config.query.endpoint,
    )


def _uptime(began: float) -> Callable[[], Snapshot]:
    return lambda: {"process_uptime_seconds": time.monotonic() - began}


class _OneProcess:
    """All rooms here. Simple to run and to debug; with load, answers wait for the same interpreter lock."""

    def __init__(self, config: Config, stopping: threading.Event) -> None:
        from collector.app.durability import handover
        from collector.app.engine_room import EngineRoom
        from collector.app.query_room import QueryRoom
        from collector.app.receiver_room import ReceiverRoom
        from collector.app.source import DirectSource

        self._stopping = stopping
        self._timeout_s = config.service.stop_timeout_s * BODY_SHARE
        self._source = DirectSource(RECEIVER, ROOM_BYTES)
        way, self._journal_counts = handover(config, RECEIVER, self._source, 1)
        self._engine = EngineRoom(config, self._source, stopping.is_set)
        self._query = QueryRoom(
            config, self._engine.open_traces, self._engine.decisions, lambda: self._telemetry.snapshot()
        )
        self._receivers = ReceiverRoom(config, way, shared_port=False)
        self._telemetry = Telemetry()
        self._running: list[str] = []

    def start(self) -> None:
        for name, room in (("engine", self._engine), ("query", self._query), ("receiver", self._receivers)):
            if self._stopping.is_set():
                return
            room.start()
            self._running.append(name)

    def wait(self) -> None:
        self._stopping.wait()

    def request_stop(self) -> None:
        """Everything here looks at `stopping` itself."""

    def stop(self) -> bool:
        def time_of(role: str) -> float:
            return own_stop_s(role, self._timeout_s)

        if "receiver" in self._running:
            self._receivers.stop(time_of("receiver"))
        clean = self._engine.stop(time_of("engine")) if "engine" in self._running else True
        if "query" in self._running:
            self._query.stop(time_of("query"))
        return clean

    def cut_off(self) -> None:
        os._exit(1)

    def watch(self, health: Health, telemetry: Telemetry) -> None:
        self._telemetry = telemetry
        for name, room in (("engine", self._engine), ("query", self._query), ("receivers", self._receivers)):
            health.ready(name, room.not_ready)
            telemetry.register(name, room.snapshot)
        health.alive("engine", self._engine.stuck)
        telemetry.register("source", self._source.snapshot)
        telemetry.register("journal", self._journal_counts)


class _Many:
    """Receivers, engine and query in processes of their own."""

    def __init__(self, tree: Mapping[str, Any], config: Config, stopping: threading.Event) -> None:
        self._stopping = stopping
        # Not in the storage directory: the name of a Unix socket may have 107 bytes only.
        self._folder = Path(tempfile.mkdtemp(prefix="firstfault-"))
        count = receiver_count(config)
        grpc, http = config.receivers.otlp.protocols.grpc, config.receivers.otlp.protocols.http
        room = max(ROOM_BYTES, FLOOD_BYTES // count)
        rings = [create_ring(max(grpc.message_bytes_max, http.message_bytes_max), room) for _ in range(count)]
        told = {"config": dict(tree), "control_folder": str(self._folder), "receivers": count}
        receivers = [f"receiver-{number}" for number in range(count)]
        cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
        specs = [
            ChildSpec(
                "engine",
                "engine",
                told
                | {"rings": [(name, ring.memory, ring.wake_read) for name, ring in zip(receivers, rings, strict=True)]},
                tuple(fd for ring in rings for fd in (ring.memory, ring.wake_read)),
            ),
            # Requests are taken before questions are answered: the first to be heard of is who sends.
            ChildSpec("query", "query", told | {"others": ["engine", *receivers]}, after=receivers[0]),
        ]
        for number, (name, ring) in enumerate(zip(receivers, rings, strict=True)):
            # Two grpcio processes that share two cores are slower than two that keep to one each.
            core = frozenset({cores[number % len(cores)]}) if len(cores) > 1 else None
            given = told | {"ring": (ring.memory, ring.wake_write)}
            specs.append(ChildSpec(name, "receiver", given, (ring.memory, ring.wake_write), core))
        self._supervisor = Supervisor(specs, self._folder, config.service.stop_timeout_s * BODY_SHARE)

    def start(self) -> None:
        self._supervisor.start()

    def wait(self) -> None:
        watcher = threading.Thread(target=self._supervisor.watch, name="supervisor", daemon=True)
        watcher.start()
        self._stopping.wait()
        self._supervisor.request_stop()
        watcher.join()

    def request_stop(self) -> None:
        self._supervisor.request_stop()

    def cut_off(self) -> None:
        self._supervisor.cut_off()
        shutil.rmtree(self._folder, ignore_errors=True)
        os._exit(1)

    def stop(self) -> bool:
        clean = self._supervisor.stop()
        shutil.rmtree(self._folder, ignore_errors=True)
        return clean

    def watch(self, health: Health, telemetry: Telemetry) -> None:
        health.ready("processes", self._not_ready)
        telemetry.register("processes", self._stats)

    def _not_ready(self) -> str:
        dead = sorted(name for name, alive in self._supervisor.alive().items() if not alive)
        if dead:
            return f"not running: {', '.join(dead)}"
        waiting = sorted(self._supervisor.not_ready())
        return f"not ready: {', '.join(waiting)}" if waiting else ""

    def _stats(self) -> Snapshot:
        answers = self._supervisor.ask_all("stats").values()
        numbers = [
            {key: float(value) for key, value in answer.items() if isinstance(value, int | float)} for answer in answers
        ]
        return merge([*numbers, {f"process_restarts|{name}": n for name, n in self._supervisor.restarts.items()}])


def receiver_count(config: Config) -> int:
    """The engine is one thread and decides how much is taken: it has a core left to it."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return config.service.processes or max(1, cores - 1)
