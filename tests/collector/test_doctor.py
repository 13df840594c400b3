"""The doctor finds what is ill and says what to do; what is well it leaves alone."""

from __future__ import annotations

import datetime as dt
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest

from collector import doctor, doctor_machine, doctor_network
from collector.config import Config, check
from collector.floors import Line
from tests.support.certificates import Authority
from tests.support.running import LOCAL, free_port, write_configuration


def one(lines: list[Line]) -> Line:
    (line,) = lines
    return line


def named(lines: list[Line], name: str) -> Line:
    return one([line for line in lines if line.name == name])


def config(folder: Path, **changes: Any) -> Config:
    _, tree, _ = write_configuration(folder, changes=changes)
    return check(tree)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without loading kernels in another process: a test of its own does."""
    monkeypatch.setattr(doctor, "check_kernels", lambda: [Line("compiled kernels", "ok", "not looked at")])


# -- the whole -----------------------------------------------------------------------------


def test_a_machine_that_is_well(tmp_path: Path, quick: None, capsys: pytest.CaptureFixture[str]):
    path, _, _ = write_configuration(tmp_path)

    assert doctor.run(path, as_json=False) == 0
    said = capsys.readouterr().out
    assert said.splitlines()[-1].startswith("0 fault(s), ")
    assert f"ok     {'configuration':<24} {path}" in said


def test_json_holds_the_same(tmp_path: Path, quick: None, capsys: pytest.CaptureFixture[str]):
    path, _, _ = write_configuration(tmp_path, exporter=f"{LOCAL}:{free_port()}")

    assert doctor.run(path, as_json=True) == 1
    found = orjson.loads(capsys.readouterr().out)
    assert (found["well"], found["faults"]) == (False, 1)
    (ill,) = [line for line in found["checks"] if line["level"] == "fault"]
    assert ill["name"].startswith("exporter ")
    assert ill["todo"]
    assert {line["level"] for line in found["checks"]} <= {"ok", "warn", "fault"}


def test_without_a_configuration_the_machine_is_still_looked_at(tmp_path: Path, quick: None):
    path = tmp_path / "config.yaml"
    path.write_text("storage: {bytes: 1}\nquery: {endpoint: here}\n")

    lines = doctor.examine(path)

    ill = named(lines, "configuration")
    assert ill.level == "fault"
    assert "storage.bytes: unknown key" in ill.words
    assert "query.endpoint" in ill.words
    assert "\n" not in ill.words
    assert {"version of grpcio", "kernel cache", "clock"} <= {line.name for line in lines}


def test_files_of_the_configuration_that_are_bad_are_named(tmp_path: Path, quick: None):
    tls = {"cert_file": str(tmp_path / "nowhere.pem"), "key_file": str(tmp_path / "nowhere.key")}
    path, _, _ = write_configuration(tmp_path, changes={"query": {"tls": tls}})

    line = named(doctor.examine(path), "configured files")

    assert line.level == "fault"
    assert "query.tls" in line.words


# -- ports ---------------------------------------------------------------------------------


def test_free_ports_are_free(tmp_path: Path):
    lines = doctor_network.check_ports(config(tmp_path))

    assert [line.level for line in lines] == ["ok"] * 6
    assert doctor_network.check_ports(config(tmp_path)) != lines  # nothing is held; the ports are others


def test_a_port_that_another_program_has_is_named_with_it(tmp_path: Path):
    """By its process and command."""
    program = "import socket, sys; s = socket.create_server(('127.0.0.1', 0)); print(s.getsockname()[1], flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        found = config(tmp_path, query={"endpoint": f"{LOCAL}:{port}"})

        line = named(doctor_network.check_ports(found), f"port {LOCAL}:{port}")
        process.communicate()

    assert line.level == "fault"
    assert f"is taken by process {process.pid} (" in line.words


def test_two_doors_at_one_port(tmp_path: Path):
    port = free_port()
    # One address twice is a fault of the configuration already; two names of one are found here.
    found = config(tmp_path, query={"endpoint": f"{LOCAL}:{port}", "grpc_endpoint": f"localhost:{port}"})

    lines = [line for line in doctor_network.check_ports(found) if line.name.endswith(f":{port}")]

    assert [line.level for line in lines] == ["ok", "fault"]
    assert lines[1].words == "is told for REST and for gRPC"


@pytest.mark.parametrize("endpoint", ["192.0.2.1:4317", "no-such-host.invalid:4317"])
def test_an_address_that_is_not_ours(tmp_path: Path, endpoint: str):
    otlp = {"protocols": {"grpc": {"endpoint": endpoint}}}
    found = config(tmp_path, receivers={"otlp": otlp}, service={"insecure": True})

    assert named(doctor_network.check_ports(found), f"port {endpoint}").level == "fault"


def test_a_door_that_is_shut_needs_no_port(tmp_path: Path):
    found = config(tmp_path, receivers={"otlp": {"protocols": {"http": {"enabled": False}}}})

    assert len(doctor_network.check_ports(found)) == 5


def test_an_open_door_is_a_fault_of_the_configuration(tmp_path: Path, quick: None):
    path = tmp_path / "config.yaml"
    path.write_text("query: {endpoint: '0.0.0.0:8080'}\n")

    ill = named(doctor.examine(path), "configuration")

    assert ill.level == "fault"
    assert "query.endpoint is 0.0.0.0:8080 (anybody can read and change answers, in plain text)" in ill.words
    assert "service.insecure: true" in ill.words


def test_open_doors_that_are_meant_are_still_told():
    shut = one(doctor_network.check_doors(check({})))
    wide = {"query": {"endpoint": "0.0.0.0:8080"}, "service": {"insecure": True}}
    told = one(doctor_network.check_doors(check(wide)))

    assert (shut.level, told.level) == ("ok", "warn")
    assert "0.0.0.0:8080 (read and change answers, in plain text)" in told.words
    assert told.todo.startswith("set auth and tls")


# -- disk ----------------------------------------------------------------------------------


def disk(tmp_path: Path, **storage: Any) -> list[Line]:
    small = {"bytes_max": 2**20, "path": str(tmp_path / "data")}
    return doctor_machine.check_disk(
        config(tmp_path, storage=small | storage, journal={"bytes_max": 4 * 2**20, "segment_bytes": 2**20})
    )


def test_a_directory_that_is_not_there_yet(tmp_path: Path):
    lines = disk(tmp_path)

    assert [line.level for line in lines] == ["ok"] * 3
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(("mode", "level"), [(0o700, "ok"), (0o755, "warn"), (0o777, "warn")])
def test_a_directory_that_others_see(tmp_path: Path, mode: int, level: str):
    (tmp_path / "data").mkdir()
    (tmp_path / "data").chmod(mode)

    assert named(disk(tmp_path), "data directory").level == level
    assert list((tmp_path / "data").iterdir()) == []


def test_a_file_in_its_place(tmp_path: Path):
    (tmp_path / "data").write_text("")

    assert one(disk(tmp_path)).level == "fault"


@pytest.mark.parametrize(
    ("free", "level"), [(2**20, "fault"), (300 * 2**20, "warn"), (20 * 2**30, "ok")], ids=["none", "some", "enough"]
)
def test_room_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, level: str):
    """Against what the store and the journal may take together."""
    monkeypatch.setattr(doctor_machine.shutil, "disk_usage", lambda _: _Usage(free))

    assert named(disk(tmp_path, bytes_max=10 * 2**30), "disk space").level == level


class _Usage:
    def __init__(self, free: int) -> None:
        self.free = free


def test_what_is_there_already_is_not_asked_for_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A store that has its gigabytes needs only the rest."""
    (tmp_path / "data").mkdir(mode=0o700)
    (tmp_path / "data" / "hour").write_bytes(bytes(5 * 2**20))
    monkeypatch.setattr(doctor_machine.shutil, "disk_usage", lambda _: _Usage(300 * 2**20))

    assert named(disk(tmp_path, bytes_max=300 * 2**20), "disk space").level == "ok"


def test_a_disk_that_does_not_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(doctor_machine.os, "fdatasync", full)

    assert named(disk(tmp_path), "disk sync").level == "fault"


# -- clock, limits, memory, kernels ----------------------------------------------------------


@pytest.mark.parametrize(
    ("wall", "state", "level", "words"),
    [
        ([2e9, 2e9, 2e9], 0, "ok", "is kept right"),
        ([2e9, 2e9, 2e9], 5, "warn", "nobody keeps it right"),
        ([2e9, 2e9, 2e9], None, "ok", "is not known here"),
        ([2e9, 2e9 + 3, 2e9], 0, "warn", "was set by +3000 ms"),
        ([2e9, 2e9 - 1, 2e9], 0, "warn", "was set by -1000 ms"),
        ([0, 0, 0, 0], 0, "fault", "says 1970-01-01"),
    ],
)
def test_the_clock(wall: list[float], state: int | None, level: str, words: str):
    times = iter(wall)

    line = one(doctor_machine.check_clock(lambda: next(times), lambda: 7.0, lambda _: None, lambda: state))

    assert line.level == level
    assert words in line.words


@pytest.mark.parametrize(("limit", "level"), [(1024, "warn"), (5376, "ok"), (-1, "ok")])
def test_open_files(limit: int, level: str):
    assert one(doctor_machine.check_files_max(Config(), lambda: limit)).level == level


@pytest.mark.parametrize(
    ("told_gib", "gib", "level"), [(1, 1.4, "warn"), (1, 1.5, "ok"), (0, 1, "ok"), (0, 0.6, "warn")]
)
def test_memory(tmp_path: Path, told_gib: int, gib: float, level: str):
    """What open traces may take is told, or a share of what there is."""
    told = config(tmp_path, assembly={"memory_bytes_max": told_gib * 2**30 or None})

    lines = doctor_machine.check_memory(told, lambda: int(gib * 2**30))

    assert named(lines, "memory").level == level


def test_kernels_that_are_missing_are_told_and_not_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """An empty cache: the first kernel ends the look, before it is compiled."""
    cache = tmp_path / "cache"
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(cache))
    monkeypatch.delenv("NUMBA_DISABLE_JIT", raising=False)

    line = one(doctor_machine.check_kernels())

    assert line.level == "warn"
    assert "some are missing" in line.words
    assert list(cache.rglob("*.nbc")) == []


def test_kernels_that_others_may_have_written_are_not_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    tmp_path.chmod(0o777)
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))

    assert one(doctor_machine.check_kernels()).words == "not loaded: see kernel cache"


# -- exporter, peers, certificates -----------------------------------------------------------


@contextmanager
def listening(context: ssl.SSLContext | None = None) -> Iterator[int]:
    """Take one connection (over TLS with a context) and say nothing."""
    with socket.create_server((LOCAL, 0)) as server:

        def take() -> None:
            try:
                connection, _ = server.accept()
                with connection:
                    if context is not None:
                        context.wrap_socket(connection, server_side=True).close()
            except OSError:
                pass  # the test's client did not like us

        thread = threading.Thread(target=take)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            thread.join(10)


def exporter(tmp_path: Path, port: int, **tls: Any) -> Line:
    section = {"endpoint": f"{LOCAL}:{port}"} | tls
    return one(doctor_network.check_exporter(config(tmp_path, exporters={"otlp": section})))


def test_no_exporter_is_fine(tmp_path: Path):
    assert one(doctor_network.check_exporter(config(tmp_path))).level == "ok"


def test_an_exporter_in_plain_text(tmp_path: Path):
    with listening() as port:
        assert exporter(tmp_path, port).words == "takes connections, in plain text"


def test_an_exporter_that_is_not_there(tmp_path: Path):
    line = exporter(tmp_path, free_port())

    assert (line.level, line.words) == ("fault", "cannot be reached: Connection refused")


@pytest.mark.parametrize("trusted", [True, False])
def test_an_exporter_with_a_certificate(tmp_path: Path, trusted: bool):
    authority, other = Authority("ours"), Authority("other")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.issue("backend").write(tmp_path))
    ca_file = (authority if trusted else other).write(tmp_path)

    with listening(context) as port:
        line = exporter(tmp_path, port, insecure=False, ca_file=str(ca_file))

    assert line.level == ("ok" if trusted else "fault"), line
    assert ("TLSv1" if trusted else "its certificate is not trusted") in line.words


def test_peers(tmp_path: Path):
    """Names that resolve, and names that do not yet."""
    section = {"dns": "no-such-name.invalid", "endpoints": ["localhost:8080"]}

    lines = doctor_network.check_peers(config(tmp_path, query={"peers": section}))

    assert [(line.name, line.level) for line in lines] == [
        ("peer no-such-name.invalid", "warn"),
        ("peer localhost", "ok"),
    ]


@pytest.mark.parametrize(("days", "level"), [(90, "ok"), (5, "warn"), (-1, "fault")])
def test_certificates_that_end(tmp_path: Path, days: int, level: str):
    cert_file, key_file = Authority("servers").issue("server", days=days).write(tmp_path)
    tls = {"cert_file": str(cert_file), "key_file": str(key_file)}

    line = one(doctor_network.check_certificates(config(tmp_path, query={"tls": tls})))

    assert (line.name, line.level) == ("certificate query", level)
    assert str(cert_file) in line.words


def test_a_certificate_that_has_not_begun(tmp_path: Path):
    cert_file, key_file = Authority("servers").issue("server").write(tmp_path)
    tls = {"cert_file": str(cert_file), "key_file": str(key_file)}
    past = dt.datetime(2001, 1, 1, tzinfo=dt.UTC)

    line = one(doctor_network.check_certificates(config(tmp_path, query={"tls": tls}), lambda: past))

    assert (line.level, line.todo) == ("fault", "look at the clock")
