"""What the doctor looks at on the machine: disk, clock, compiled kernels, limits, memory. Best on Linux."""

from __future__ import annotations

import ctypes
import os
import resource
import shutil
import stat
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from collector.config import Config
from collector.floors import Line, check_cache
from collector.memory_limit import memory_limit, open_traces_bytes

MIB, GIB = 2**20, 2**30
FREE_MIN_BYTES = 256 * MIB  # below it, ingest is refused within minutes
SYNC_SLOW_MS = 20.0  # an acknowledgement waits for one sync; 5 ms is the window of a group commit
SYNC_COUNT, SYNC_BYTES = 20, 64 * 1024
BASE_BYTES = GIB // 2  # of all processes before a trace comes (docs/deploy.md)
FILES_SPARE = 256  # store, journal, logs, pipes
CLOCK_LOOK_S = 0.05
CLOCK_APART_S = 0.02
BUILT_S = 1_767_225_600  # 2026-01-01: this version was not there before
KERNELS_TIMEOUT_S = 120.0
_COMPILES = 3
# Ends at the first kernel that would have to be compiled, before it is.
_LOADER = f"""
import os
from numba.core import event

class Ends(event.Listener):
    def on_start(self, found):
        os._exit({_COMPILES})
    def on_end(self, found):
        pass

event.register("numba:compile", Ends())
from collector.app import warming
warming.warm_receiver()
warming.warm()
"""


def check_disk(config: Config) -> list[Line]:
    """Look at the data directory: is it ours, is there room, how long does a write take until it is on disk."""
    name, path = "data directory", Path(config.storage.path)
    place = path if path.exists() else next(parent for parent in path.absolute().parents if parent.exists())
    if not place.is_dir():
        return [Line(name, "fault", f"{place} is a file; expected a directory", "set storage.path")]
    if not os.access(place, os.W_OK | os.X_OK):
        todo = f"give it to user {os.geteuid()}, or set storage.path"
        return [Line(name, "fault", f"user {os.geteuid()} may not write in {place}", todo)]
    mode = stat.S_IMODE(place.stat().st_mode)
    if place != path:
        lines = [Line(name, "ok", f"{path} is not there yet; it is made with mode 0700")]
    elif mode & 0o077:
        lines = [Line(name, "warn", f"{path} has mode {mode:04o}: others see what is in it", f"chmod 700 {path}")]
    else:
        lines = [Line(name, "ok", f"{path}, mode {mode:04o}")]
    return [*lines, _room(config, path, place), _sync_time(config, place)]


def _room(config: Config, path: Path, place: Path) -> Line:
    quota = config.storage.bytes_max + (config.journal.bytes_max if config.durability == "journal" else 0)
    used, free = _used_bytes(path), shutil.disk_usage(place).free
    words = f"{free / GIB:.1f} GiB free; the store and the journal may grow by {max(quota - used, 0) / GIB:.1f} GiB"
    todo = "give the volume more room, or set storage.bytes_max and journal.bytes_max to less than it has"
    if free < FREE_MIN_BYTES:
        return Line("disk space", "fault", words, todo)
    return Line("disk space", "warn" if used + free < quota else "ok", words, todo)


def _used_bytes(path: Path) -> int:
    total = 0
    for folder, _, names in os.walk(path):
        for name in names:
            with suppress(OSError):
                total += os.lstat(os.path.join(folder, name)).st_blocks * 512
    return total


def _sync_time(config: Config, place: Path) -> Line:
    """Time what every acknowledgement waits for."""
    times_ms = []
    block = bytes(SYNC_BYTES)
    try:
        with tempfile.TemporaryFile(dir=place, prefix=".doctor-", buffering=0) as file:
            for _ in range(SYNC_COUNT):
                file.write(block)
                began = time.perf_counter()
                os.fdatasync(file.fileno())
                times_ms.append((time.perf_counter() - began) * 1e3)
    except OSError as error:
        return Line(
            "disk sync", "fault", f"{place} does not write: {error.strerror}", "free space, or set storage.path"
        )
    middle, worst = statistics.median(times_ms), max(times_ms)
    words = f"fdatasync takes {middle:.1f} ms, at most {worst:.1f} ms in {SYNC_COUNT}"
    slow = middle > SYNC_SLOW_MS and config.durability == "journal"
    todo = "every acknowledgement waits for it: a faster volume, or durability: memory (docs/adr/0011)"
    return Line("disk sync", "warn" if slow else "ok", words, todo if slow else "")


def check_clock(
    wall: Callable[[], float] = time.time,
    monotonic: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
    state: Callable[[], int | None] | None = None,
) -> list[Line]:
    """Compare both clocks, and ask the kernel whether somebody keeps the wall clock right. No time server is asked."""
    before = wall() - monotonic()
    sleep(CLOCK_LOOK_S)
    apart_s = wall() - monotonic() - before
    if wall() < BUILT_S:
        at = time.strftime("%Y-%m-%d", time.gmtime(wall()))
        return [Line("clock", "fault", f"says {at}, before this version was made", "set the clock")]
    if abs(apart_s) > CLOCK_APART_S:
        words = f"was set by {apart_s * 1e3:+.0f} ms while we looked"
        return [Line("clock", "warn", words, "let it be slewed, not set (chrony, systemd-timesyncd)")]
    found = (state or _kernel_clock_state)()
    asked = "no time server was asked"
    if found is None:
        return [Line("clock", "ok", f"runs evenly; whether it is kept right is not known here; {asked}")]
    if found == _TIME_ERROR:
        words = f"runs evenly, but the kernel says that nobody keeps it right; {asked}"
        return [Line("clock", "warn", words, "run chrony or systemd-timesyncd, here or on the host")]
    return [Line("clock", "ok", f"runs evenly, and the kernel says that it is kept right; {asked}")]


_TIME_ERROR = 5


def _kernel_clock_state() -> int | None:
    """Return what adjtimex(2) returns when it only looks; None where it cannot."""
    try:
        call = ctypes.CDLL(None, use_errno=True).adjtimex
    except (OSError, AttributeError):
        return None
    found = int(call(ctypes.create_string_buffer(512)))  # modes 0: nothing is set; larger than any struct timex
    return found if found >= 0 else None


def check_kernels(timeout_s: float = KERNELS_TIMEOUT_S) -> list[Line]:
    """Load every compiled kernel in a process of its own, unless others may have written them."""
    name = "compiled kernels"
    if check_cache(os.environ).level == "fault":
        return [Line(name, "warn", "not loaded: see kernel cache")]
    try:
        done = subprocess.run(
            [sys.executable, "-c", _LOADER], timeout=timeout_s, capture_output=True, check=False, text=True
        )
    except subprocess.TimeoutExpired:
        return [Line(name, "warn", f"were not loaded within {timeout_s:g} s", "a start takes longer still")]
    if done.returncode == 0:
        return [Line(name, "ok", "all there: nothing is compiled at start")]
    todo = "python -m collector.app.warming, as the user the server runs as"
    if done.returncode == _COMPILES:
        return [Line(name, "warn", "some are missing for this processor: a start compiles for minutes", todo)]
    last = (done.stderr.strip().splitlines() or ["no words"])[-1]
    return [Line(name, "fault", f"cannot be loaded: {last}", "install firstfault anew")]


def check_files_max(config: Config, limit: Callable[[], int] | None = None) -> list[Line]:
    """Compare the limit of open files with the connections a receiver may hold."""
    protocols = config.receivers.otlp.protocols
    needed = FILES_SPARE + protocols.grpc.connections_max + protocols.http.connections_max
    soft = (limit or _files_max)()
    words = f"{soft if soft >= 0 else 'any number'} allowed; all connections of a receiver take {needed}"
    todo = f"ulimit -n {needed} (LimitNOFILE= of systemd), or lower connections_max"
    return [Line("open files", "warn" if 0 <= soft < needed else "ok", words, todo)]


def _files_max() -> int:
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return -1 if soft == resource.RLIM_INFINITY else soft


def check_memory(config: Config, limit: Callable[[], int] | None = None) -> list[Line]:
    """Compare memory with what assembly may hold; say how many cores there are."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    have = (limit or memory_limit)()
    needed = BASE_BYTES + (config.assembly.memory_bytes_max or open_traces_bytes(have))
    words = f"{have / GIB:.1f} GiB for us; open traces and all processes may take {needed / GIB:.1f} GiB"
    todo = "raise the limit, or lower assembly.memory_bytes_max"
    few = cores < 2
    return [
        Line("memory", "warn" if have < needed else "ok", words, todo),
        Line(
            "cores",
            "warn" if few else "ok",
            f"{cores} for us",
            "two let receivers and the engine work at once" if few else "",
        ),
    ]
