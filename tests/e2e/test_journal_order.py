"""No acknowledgement leaves before the sync that covers it: the order of the system calls says so."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import TraceServiceStub

from tests.support.drawing import draw
from tests.support.running import Server, serving

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(not shutil.which("strace") and not os.environ.get("CI"), reason="strace is not installed"),
]

REQUESTS = 40
_BUFFER = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')
_JOURNAL = "".join(f"\\x{byte:02x}" for byte in b".journal")  # strace is asked for hexadecimal throughout
_TCP = "".join(f"\\x{byte:02x}" for byte in b"TCP")
_DATA, _HEADERS = 0, 1  # the frames an answer is made of; pings and windows come at any time


@contextmanager
def traced(pid: int, path: Path) -> Iterator[None]:
    """Write down the calls of a process that write, send or sync, with the names of its files."""
    calls = "trace=write,writev,sendmsg,sendto,fdatasync,fsync"
    tracer = subprocess.Popen(
        ["strace", "-f", "-yy", "-xx", "-s", "400", "-e", calls, "-o", str(path), "-p", str(pid)],
        stderr=subprocess.PIPE,
        text=True,
    )
    assert tracer.stderr is not None
    assert "attached" in tracer.stderr.readline()
    try:
        yield
    finally:
        tracer.send_signal(signal.SIGINT)
        tracer.communicate(timeout=20)


def events(path: Path) -> list[str]:
    """`write`, `synced` and `sent`, as they happened: a sync counts when it returned, the others when they began."""
    found = []
    writer = ""
    for line in path.read_text(errors="replace").splitlines():
        is_journal = _JOURNAL in line
        if is_journal and re.search(r"\b(writev|write)\(", line):
            writer = line.split()[0]
            found.append("write")
        elif "fdatasync" in line and (
            (is_journal and "unfinished" not in line) or ("resumed" in line and line.split()[0] == writer)
        ):
            found.append("synced")
        elif (
            re.search(r"\b(sendmsg|sendto|write|writev)\(", line)
            and (_TCP in line or "TCP" in line)
            and answers(sent_bytes(line))
        ):
            found.append("sent")
    return found


def sent_bytes(line: str) -> bytes:
    """What a call sends: its buffers, one after the other."""
    return b"".join(bytes.fromhex(text.replace("\\x", "")) for text in _BUFFER.findall(line))


def answers(data: bytes) -> bool:
    """Whether the bytes hold a part of an answer: an HTTP/1 status line, or HTTP/2 frames of headers or data."""
    if data.startswith(b"HTTP/1"):
        return True
    while len(data) >= 9:
        if data[3] in (_DATA, _HEADERS):
            return True
        data = data[9 + int.from_bytes(data[:3], "big") :]
    return False


def check(found: list[str]) -> int:
    """Between a write and its sync nothing is sent; how many syncs there were."""
    is_open = False
    syncs = 0
    for event in found:
        if event == "write":
            is_open = True
        elif event == "synced":
            is_open = False
            syncs += 1
        else:
            assert not is_open, f"sent before the sync: {found}"
    return syncs


@pytest.mark.parametrize(
    ("protocol", "seconds"),
    [
        pytest.param("http", 0, marks=pytest.mark.deep),
        ("grpc", 0),
        pytest.param("grpc", 60, marks=[pytest.mark.deep, pytest.mark.timeout(400)]),
    ],
)
def test_no_acknowledgement_before_its_sync(tmp_path: Path, protocol: str, seconds: int):
    """One client, one request after the other: all that is sent while one is written would be its answer."""
    with serving(tmp_path, processes=1) as server, sending(server, protocol) as send:
        send(0)
        with traced(server.process.pid, tmp_path / "calls"):
            seed, ends = 0, time.monotonic() + seconds
            while seed < REQUESTS or time.monotonic() < ends:
                seed += 1
                send(seed)
        found = events(tmp_path / "calls")

    syncs, sent = check(found), found.count("sent")
    print({"requests": seed, "syncs": syncs, "sent": sent})
    assert syncs >= seed
    assert sent >= seed


@contextmanager
def sending(server: Server, protocol: str) -> Iterator[Callable[[int], None]]:
    """One connection; each request is answered before the next is sent."""

    def request(seed: int) -> bytes:
        return draw("gateway  GET /  0..10", seed=seed).requests()[0]

    if protocol == "grpc":
        with grpc.insecure_channel(server.otlp_grpc) as channel:
            stub = TraceServiceStub(channel)
            yield lambda seed: stub.Export(ExportTraceServiceRequest.FromString(request(seed)), timeout=20)
        return
    with httpx.Client(base_url=server.otlp_http, trust_env=False, verify=False) as client:
        headers = {"content-type": "application/x-protobuf"}

        def post(seed: int) -> None:
            assert client.post("/v1/traces", content=request(seed), headers=headers).status_code == 200

        yield post
