"""The command line around the answers: version, configuration, a server that is not there."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner, Result

from analyzer.version import __version__
from collector.cli import app
from tests.support.running import free_port

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"

Run = Callable[..., Result]


@pytest.fixture
def run() -> Run:
    return lambda *arguments: CliRunner().invoke(app, list(map(str, arguments)), catch_exceptions=False)


def test_version(run: Run):
    result = run("version")

    assert (result.exit_code, result.stdout) == (0, f"{__version__}\n")


def test_a_good_configuration(run: Run, tmp_path: Path):
    path = tmp_path / "config.yaml"
    path.write_text("service: {processes: 1}\n")

    result = run("config", "check", "--config", path)

    assert (result.exit_code, result.stdout) == (0, "the configuration is good\n")


def test_all_faults_are_named_at_once(run: Run, tmp_path: Path):
    path = tmp_path / "config.yaml"
    path.write_text("service: {processes: 99, typo: 1}\nquery: {endpoint: nowhere}\n")

    result = run("config", "check", "--config", path)

    assert (result.exit_code, result.stdout) == (2, "")
    for words in ("3 fault(s)", "service.processes", "service.typo", "query.endpoint", "nowhere"):
        assert words in result.stderr


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: [1", "not YAML"),
        ("- 1\n", "mapping"),
        (None, "cannot read"),
    ],
    ids=["not YAML", "a list", "not there"],
)
def test_a_file_that_is_no_configuration(run: Run, tmp_path: Path, text: str | None, words: str):
    path = tmp_path / "config.yaml"
    if text is not None:
        path.write_text(text)

    for command in (["config", "check"], ["config", "print"], ["serve"]):
        result = run(*command, "--config", path)

        assert (result.exit_code, result.stdout) == (2, "")
        assert words in result.stderr


def test_the_whole_configuration_is_printed_without_secrets(run: Run, tmp_path: Path):
    """What is printed is a configuration again."""
    path = tmp_path / "config.yaml"
    path.write_text("exporters: {otlp: {endpoint: 'localhost:4317', headers: {authorization: hunter2}}}\n")

    result = run("config", "print", "--config", path)

    printed = yaml.safe_load(result.stdout)
    assert result.exit_code == 0
    assert "hunter2" not in result.stdout
    assert printed["exporters"]["otlp"]["endpoint"] == "localhost:4317"
    assert printed["query"]["endpoint"] == "127.0.0.1:8080"
    path.write_text(result.stdout)
    assert run("config", "check", "--config", path).exit_code == 0


def test_the_schema_of_the_configuration(run: Run):
    schema = json.loads(run("config", "schema").stdout)

    assert {"receivers", "assembly", "analysis", "storage", "exporters", "query", "service"} <= set(
        schema["properties"]
    )


def test_a_server_that_is_not_there(run: Run):
    server = f"http://127.0.0.1:{free_port()}"

    result = run("root-cause", TRACE_ID, "--server", server, "--wait", "0")

    assert (result.exit_code, result.stdout) == (1, "")
    assert server in result.stderr
    assert "is `firstfault serve` running there?" in result.stderr


@pytest.mark.parametrize(
    "server", ["http://", "ftp://here", "http://127.0.0.1:notaport", "http://127.0.0.1:99999", "http://[::1", ""]
)
def test_a_server_that_is_no_address(run: Run, server: str):
    result = run("root-cause", TRACE_ID, "--server", server)

    assert (result.exit_code, result.stdout) == (2, "")
    assert "expected for example http://127.0.0.1:8080" in result.stderr


@pytest.mark.parametrize(
    "trace_id", ["", "xyz", "0" * 31, "0" * 33, "g" * 32, "../../etc/passwd", "\x1b[31m" + "0" * 27]
)
def test_a_trace_id_that_is_none(run: Run, trace_id: str):
    """Said before anybody is asked."""
    result = run("root-cause", trace_id, "--server", "http://127.0.0.1:1")

    assert (result.exit_code, result.stdout) == (2, "")
    assert "32 hex digits" in result.stderr
    assert "\x1b" not in result.stderr


@pytest.mark.parametrize("wait", ["-1", "nan", "inf"])
def test_a_wait_that_is_none(run: Run, wait: str):
    result = run("root-cause", TRACE_ID, "--server", "http://127.0.0.1:1", "--wait", wait)

    assert (result.exit_code, result.stdout) == (2, "")


@pytest.fixture
def stranger() -> Iterator[Callable[[int, bytes], str]]:
    """Another program at the address: answers everything with one status and one body."""
    servers: list[tuple[HTTPServer, threading.Thread]] = []

    def listen(status: int, body: bytes) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(status)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing."""

        server = HTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        servers.append((server, thread))
        return f"http://127.0.0.1:{server.server_address[1]}"

    yield listen
    for server, thread in servers:
        server.shutdown()
        server.server_close()
        thread.join(5)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, b"<html>hello</html>"),
        (200, b'{"status": "fine"}'),
        (404, b"<html>\x1b[31mnot found</html>"),
        (404, b"[1, 2]"),
        (404, b'{"title": "\\u001b[31m\\u202enot here", "detail": 7}'),
        (500, b""),
        (302, b""),
    ],
)
def test_another_program_at_the_address(run: Run, stranger: Callable[[int, bytes], str], status: int, body: bytes):
    """Words and exit status 1, whatever it says."""
    result = run("root-cause", TRACE_ID, "--server", stranger(status, body), "--wait", "0")

    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.strip()
    assert "\x1b" not in result.stderr


def test_help_names_every_command(run: Run):
    said = run("--help").stdout

    for command in ("serve", "root-cause", "analyze", "selftest", "demo", "config", "version"):
        assert command in said


def test_an_accident_of_ours_is_told_in_words(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """A bug of ours: one line and where to report it, not a page of source code."""
    from collector import cli

    def broken() -> None:
        raise ZeroDivisionError("\x1b[31mboom")

    monkeypatch.setattr(cli, "app", broken)
    with pytest.raises(SystemExit) as ended:
        cli.main()

    said = capsys.readouterr().err
    assert ended.value.code == 1
    assert "ZeroDivisionError" in said
    assert "Traceback" not in said
    assert "\x1b" not in said
