"""`firstfault canary` against a running server: right while it is well, loud when it is not."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest

from collector.canary_faults import FAULTS
from tests.support.certificates import Authority
from tests.support.running import LOCAL, ROOT, Server, environment, firstfault, free_port, serving

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]
QUICK = [fault.name for fault in FAULTS if not fault.learned]
ONLY_QUICK = [word for name in QUICK for word in ("--fault", name)]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("canary")) as server:
        yield server


class Running:
    """A canary that runs, and its metrics."""

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self.process, self._url = process, f"http://{LOCAL}:{port}/metrics"

    def metrics(self) -> dict[str, float]:
        lines = httpx.get(self._url, timeout=5, trust_env=False).text.splitlines()
        return {key: float(value) for key, _, value in (line.rpartition(" ") for line in lines if line[0] != "#")}

    def until(self, name: str, least: float) -> dict[str, float]:
        """Look until a metric is as large; all of them."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            assert self.process.poll() is None, self.process.stderr and self.process.stderr.read()
            with suppress(httpx.TransportError):
                if (found := self.metrics()).get(name, -1.0) >= least:
                    return found
            time.sleep(0.1)
        raise AssertionError(f"waited 60 s for {name} to be {least}")


@contextmanager
def singing(server: Server, *more: str) -> Iterator[Running]:
    port = free_port()
    where = ["--otlp", server.otlp_grpc, "--query", server.url, "--metrics", f"{LOCAL}:{port}", "--every", "1"]
    words = [sys.executable, "-m", "collector", "canary", *where, *more]
    with subprocess.Popen(words, cwd=ROOT, env=environment(), stderr=subprocess.PIPE) as process:
        try:
            yield Running(process, port)
        finally:
            process.kill()


def sample(name: str, fault: str, **more: str) -> str:
    labels = ",".join(f'{key}="{value}"' for key, value in {"fault": fault, **more}.items())
    return f"firstfault_canary_{name}{{{labels}}}"


def test_once_against_a_server_that_is_well(server: Server):
    """A line for each fault, the slow one too; exit status 0; and twice, as in two runs of a pipeline."""
    for _ in range(2):
        done = firstfault("canary", "--once", "--otlp", server.otlp_grpc, "--query", server.url, timeout=120)

        lines = done.stdout.decode().splitlines()
        assert [line for line in lines[:-1] if not line.startswith("right")] == []
        assert {line.split()[1] for line in lines[:-1]} == {fault.name for fault in FAULTS}
        assert (lines[-1], done.returncode, done.stderr) == ("6 of 6 right", 0, b"")


def test_it_goes_on_and_tells_prometheus(server: Server):
    """Rounds, older traces asked again, whole histograms; SIGTERM: exit status 0."""
    with singing(server, *ONLY_QUICK) as canary:
        canary.until(sample("planted_total", "deep_error"), 2)
        deadline = time.monotonic() + 60
        while sum(value for key, value in canary.metrics().items() if "reread_total" in key) < 1:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        found = canary.until(sample("right_total", "clean"), 2)
        canary.process.send_signal(signal.SIGTERM)
        status = canary.process.wait(20)

    assert status == 0
    assert found["firstfault_canary_last_round_timestamp_seconds"] > 0
    for name in QUICK:
        assert found[sample("wrong_total", name)] == found[sample("missing_total", name)] == 0
        assert found[sample("answer_seconds_count", name)] == found[sample("right_total", name)] >= 1


def test_a_server_that_is_gone_is_told(tmp_path: Path):
    """Refused while nobody listens; the canary lives on."""
    with serving(tmp_path) as server, singing(server, "--fault", "clean", "--timeout", "2") as canary:
        canary.until(sample("right_total", "clean"), 1)
        server.stop()
        gone = canary.until(sample("refused_total", "clean"), 1)
        assert canary.process.poll() is None

    assert gone[sample("wrong_total", "clean")] == 0


def test_a_server_that_knows_nothing_is_not_right(server: Server, tmp_path: Path):
    """Traces go to one server, questions to another that never saw them: every answer is missing, exit status 1."""
    with serving(tmp_path) as other:
        done = firstfault(
            "canary", "--once", "--otlp", server.otlp_grpc, "--query", other.url, "--timeout", "2", *ONLY_QUICK
        )

    lines = done.stdout.decode().splitlines()
    assert done.returncode == 1
    assert {line.split()[0] for line in lines[:-1]} == {"missing"}
    assert lines[-1] == "0 of 5 right"


def test_it_comes_in_by_locked_doors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """TLS on both, and a token of the environment; without the token nothing is taken."""
    authority = Authority("servers")
    cert_file, key_file = authority.issue("server").write(tmp_path)
    tls = {"cert_file": str(cert_file), "key_file": str(key_file)}
    monkeypatch.setenv("FIRSTFAULT_CA_FILE", str(authority.write(tmp_path)))
    changes = {
        "receivers": {"otlp": {"protocols": {"grpc": {"tls": tls}}}},
        "query": {"tls": tls},
        "auth": {"bearer": [{"name": "canary", "token": "a-token-of-tests-0123456789", "roles": ["ingest", "read"]}]},
    }
    with serving(tmp_path, changes=changes) as server:
        where = ["--otlp", f"https://{server.otlp_grpc}", "--query", server.url.replace("http:", "https:")]
        words = ["canary", "--once", *where, "--timeout", "20", *ONLY_QUICK]
        nobody = firstfault(*words)
        monkeypatch.setenv("FIRSTFAULT_TOKEN", "a-token-of-tests-0123456789")
        somebody = firstfault(*words, env=environment())

    assert nobody.returncode == 1
    assert b"UNAUTHENTICATED" in nobody.stdout
    assert somebody.returncode == 0, somebody.stdout + somebody.stderr


@pytest.mark.parametrize(
    "wrong",
    [
        ("--otlp", "http://"),
        ("--fault", "flood"),
        ("--metrics", "here"),
        ("--every", "0"),
        ("--cert-file", "cert.pem"),
    ],
    ids=" ".join,
)
def test_wrong_use(wrong: tuple[str, ...]):
    """Exit status 2 before anything is sent."""
    done = firstfault("canary", *wrong)

    assert (done.returncode, done.stdout) == (2, b"")
    assert b"Traceback" not in done.stderr


def test_a_port_that_somebody_has(server: Server):
    done = firstfault("canary", "--metrics", f"{LOCAL}:{server.ports['metrics']}")

    assert done.returncode == 1
    assert b"cannot start" in done.stderr
    assert b"Traceback" not in done.stderr
