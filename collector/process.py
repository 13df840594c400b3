"""`python -m collector.process ROLE FD`: one process of the server, told by its supervisor what to be.

What it is told (the configuration's tree, its name, descriptors) comes through the pipe FD as JSON: not on
the command line and not in the environment, where others could read secrets.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import orjson

from analyzer.findings import Answer
from collector.config import Config, check
from collector.contracts import Signal
from collector.control import (
    ControlClient,
    ControlServer,
    RemoteDecisions,
    RemoteOpenTraces,
    Responder,
    answer_decision,
)
from collector.handover import Position
from collector.logs import set_up_logging
from collector.malloc import map_large_blocks
from collector.ring import RingReader, RingWriter, wait_any
from collector.stop_signals import on_stop_signal
from collector.supervisor import socket_path
from collector.telemetry import Snapshot, merge

logger = logging.getLogger(__name__)


class Room(Protocol):
    """What a process is."""

    def start(self) -> None: ...

    def stop(self, timeout_s: float) -> object: ...

    def not_ready(self) -> str: ...

    def snapshot(self) -> Snapshot: ...


class RingSource:
    """`pipeline.Source` over the rings of all receivers; one request from each in turn. Owner: the engine's thread."""

    def __init__(self, readers: Mapping[str, RingReader]) -> None:
        self._names = {id(reader): name for name, reader in readers.items()}
        self._readers = list(readers.values())
        self._next = 0
        self._taken: RingReader | None = None

    def wait(self, timeout_s: float) -> None:
        if any(reader.used_bytes for reader in self._readers):
            return
        wait_any(self._readers, timeout_s)
        for reader in self._readers:
            reader.clear_wakeups()

    def take(self) -> tuple[memoryview, Signal] | None:
        if self._taken is not None:
            return self._taken.take()
        for step in range(len(self._readers)):
            reader = self._readers[(self._next + step) % len(self._readers)]
            found = reader.take()
            if found is not None:
                self._next = (self._next + step + 1) % len(self._readers)
                self._taken = reader
                return found
        return None

    def release(self) -> Position:
        assert self._taken is not None
        position = self._names[id(self._taken)], self._taken.release()
        self._taken = None
        return position

    def fill(self) -> float:
        return max((reader.used_bytes / reader.capacity_bytes for reader in self._readers), default=0.0)

    def snapshot(self) -> Snapshot:
        return {
            "ring_used_bytes": sum(reader.used_bytes for reader in self._readers),
            "ring_capacity_bytes": sum(reader.capacity_bytes for reader in self._readers),
        }


def main(role: str, told: Mapping[str, Any]) -> int:
    """Be one process until SIGTERM."""
    config = check(told["config"])
    set_up_logging(config.service.telemetry.logs, told["name"])
    stopping = threading.Event()
    on_stop_signal(stopping.set)
    try:
        room, snapshots, responders = _room(role, told, config, stopping.is_set)
        responders["ready"] = lambda _: b"false" if room.not_ready() else b"true"
        responders["stats"] = lambda _: orjson.dumps(merge([read() for read in (*snapshots, _process_snapshot)]))
        responders["ports"] = lambda _: orjson.dumps(getattr(room, "ports", {}))
        control = ControlServer(socket_path(Path(told["control_folder"]), told["name"]), responders)
        control.start()
        room.start()
    except (OSError, RuntimeError) as error:  # a port or a directory that somebody else has: words, not a traceback
        logger.error("cannot start: %s", error)
        return 1
    stopping.wait()
    room.stop(told["stop_s"])
    control.stop()
    return 0


def _room(
    role: str, told: Mapping[str, Any], config: Config, is_stopping: Callable[[], bool]
) -> tuple[Room, list[Callable[[], Snapshot]], dict[str, Responder]]:
    """Build what this process is: the room, what it counts, what it answers. Each loads only what it needs."""
    if role == "engine":
        from collector.app.engine_room import EngineRoom

        source = RingSource({name: RingReader(memory, wake) for name, memory, wake in told["rings"]})
        engine = EngineRoom(config, source, is_stopping)
        return (
            engine,
            [engine.snapshot, source.snapshot],
            {
                "ask": lambda name: _ask(engine.open_traces.ask, name),
                "explain": lambda name: _ask(engine.open_traces.explain, name),
                "decide": lambda rest: answer_decision(engine.decisions.decide, rest),
                "stuck": lambda _: orjson.dumps(engine.stuck()),
            },
        )
    if role == "receiver":
        from collector.app.durability import handover
        from collector.app.receiver_room import ReceiverRoom

        memory, wake = told["ring"]
        writer = RingWriter(memory, wake)
        way, counted = handover(config, told["name"], writer, told["receivers"])
        receiver = ReceiverRoom(config, way, shared_port=True)
        return receiver, [receiver.snapshot, counted, lambda: {"ring_refused_requests": writer.refused_count}], {}
    from collector.app.query_room import QueryRoom

    map_large_blocks()  # who explains reads what was learned anew each minute; here nothing is hot
    folder = Path(told["control_folder"])
    client = ControlClient(socket_path(folder, "engine"))
    others = [ControlClient(socket_path(folder, name)) for name in told["others"]]
    # Of its own: a decision may wait for the engine, and questions about traces must not wait for it.
    decisions = RemoteDecisions(ControlClient(socket_path(folder, "engine")))
    query = QueryRoom(config, RemoteOpenTraces(client), decisions, lambda: merge([_stats(other) for other in others]))
    return query, [query.snapshot], {}


def _ask(ask: Callable[[bytes, float], Answer | None], name: bytes) -> bytes:
    answer = ask(name, 2.0)
    return answer.model_dump_json().encode() if answer is not None else b""


def _stats(client: ControlClient) -> Snapshot:
    found = client.json("stats")
    return {key: float(value) for key, value in found.items() if isinstance(value, int | float)} if found else {}


def _process_snapshot() -> Snapshot:
    with contextlib.suppress(OSError, ValueError, IndexError):
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return {"process_resident_bytes": pages * os.sysconf("SC_PAGE_SIZE")}
    return {}


if __name__ == "__main__":
    with os.fdopen(int(sys.argv[2]), "rb") as pipe:
        given = orjson.loads(pipe.read())
    status = main(sys.argv[1], given)
    # All is written and closed. What libraries still tear down takes seconds on a busy machine, which others need.
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
