"""`firstfault analyze`: files in every form, what is normal learned from them, verdicts people can read."""

from __future__ import annotations

import gzip
import json
import re
import sys
from collections.abc import Callable, Iterable
from dataclasses import replace
from io import BytesIO, TextIOWrapper
from pathlib import Path

import pytest
from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from typer.testing import CliRunner, Result

from analyzer.findings import Answer
from collector.cli import app
from tests.support.drawing import Drawing, draw, healthy

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

FAILING = """
frontend POST /checkout 0..100 ERROR http.response.status_code=500
  frontend CLIENT POST 5..95 ERROR server.address=payment http.response.status_code=500
    payment POST /charge 10..90 ERROR http.response.status_code=500 !CardError: "terminal 7 does not answer"
"""
WHOLE = """
frontend POST /checkout 0..60 http.response.status_code=200
  frontend CLIENT POST 2..58 server.address=checkout http.response.status_code=200
    checkout POST /checkout 4..56 http.response.status_code=200
      checkout CLIENT POST 10..30 server.address=inventory http.response.status_code=200
        inventory POST /reserve 11..29 http.response.status_code=200
          inventory CLIENT UPDATE stock 12..28 db.system.name=postgresql server.address=shop-db
      checkout CLIENT POST 32..50 server.address=payment http.response.status_code=200
        payment POST /charge 34..48 http.response.status_code=200
"""
SLOW = """
frontend POST /checkout 0..960 http.response.status_code=200
  frontend CLIENT POST 2..958 server.address=checkout http.response.status_code=200
    checkout POST /checkout 4..956 http.response.status_code=200
      checkout CLIENT POST 10..930 server.address=inventory http.response.status_code=200
        inventory POST /reserve 11..929 http.response.status_code=200
          inventory CLIENT UPDATE stock 12..928 db.system.name=postgresql server.address=shop-db
      checkout CLIENT POST 932..950 server.address=payment http.response.status_code=200
        payment POST /charge 934..948 http.response.status_code=200
"""
SILENT = """
frontend POST /checkout 0..40 http.response.status_code=200
  frontend CLIENT POST 2..38 server.address=checkout http.response.status_code=200
    checkout POST /checkout 4..36 http.response.status_code=200
      checkout CLIENT POST 10..30 server.address=inventory http.response.status_code=200
        inventory POST /reserve 11..29 http.response.status_code=200
          inventory CLIENT UPDATE stock 12..28 db.system.name=postgresql server.address=shop-db
"""

Analyze = Callable[..., Result]


@pytest.fixture
def analyze() -> Analyze:
    def run(*arguments: str | Path, stdin: bytes | None = None) -> Result:
        return CliRunner().invoke(app, ["analyze", *map(str, arguments)], input=stdin, catch_exceptions=False)

    return run


def traces_of(drawing: Drawing) -> bytes:
    return drawing.requests()[0]


def as_json(payload: bytes, message: type = ExportTraceServiceRequest) -> str:
    """One request as OTLP/JSON: hex ids."""
    tree = MessageToDict(message.FromString(payload), use_integers_for_enums=True)

    def fix(node: object) -> object:
        if isinstance(node, dict):
            return {
                key: _hex(value) if key in ("traceId", "spanId", "parentSpanId") else fix(value)
                for key, value in node.items()
            }
        return [fix(item) for item in node] if isinstance(node, list) else node

    return json.dumps(fix(tree))


def _hex(text: str) -> str:
    import base64

    return base64.b64decode(text).hex()


def lines(drawings: Iterable[Drawing]) -> bytes:
    return "".join(as_json(traces_of(drawing)) + "\n" for drawing in drawings).encode()


def answers(result: Result) -> list[Answer]:
    """Every line of standard output must be an answer."""
    return [Answer.model_validate_json(line) for line in result.stdout.splitlines()]


def culprit(answer: Answer) -> str:
    return answer.root_causes[0].entity.service


FORMS: dict[str, Callable[[bytes], bytes]] = {
    "trace.json": lambda payload: as_json(payload).encode(),
    "trace.indented.json": lambda payload: json.dumps(json.loads(as_json(payload)), indent=2).encode(),
    "trace.jsonl": lambda payload: as_json(payload).encode() + b"\n",
    "trace.pb": lambda payload: payload,
    "trace.json.gz": lambda payload: gzip.compress(as_json(payload).encode()),
    "trace.pb.gz": gzip.compress,
    "trace.jsonl.zst": lambda payload: zstd.compress(as_json(payload).encode() + b"\n"),
    "trace.pb.zst": zstd.compress,
    "no_ending": lambda payload: payload,
}


@pytest.mark.parametrize("name", FORMS)
def test_a_failing_trace_is_found_in_a_file_of_any_form(analyze: Analyze, tmp_path: Path, name: str):
    """By content, not by name."""
    drawing = draw(FAILING)
    path = tmp_path / name
    path.write_bytes(FORMS[name](traces_of(drawing)))

    result = analyze("--json", path)

    [answer] = answers(result)
    assert (result.exit_code, result.stderr) == (0, "")
    assert (answer.trace_id, answer.status, culprit(answer)) == (drawing.trace_id.hex(), "finding", "payment")
    assert answer.root_causes[0].entity.name == "payment"


@pytest.mark.parametrize("name", FORMS)
def test_standard_input_is_a_file_too(analyze: Analyze, name: str):
    """`-`, in any form."""
    result = analyze("--json", "-", stdin=FORMS[name](traces_of(draw(FAILING))))

    assert (result.exit_code, [culprit(answer) for answer in answers(result)]) == (0, ["payment"])


def test_traces_and_logs_may_stand_in_one_file(analyze: Analyze, tmp_path: Path):
    """The exception of a log record belongs to the trace of the line before."""
    traces, logs = draw(FAILING.replace("!CardError", "log!CardError")).requests()
    path = tmp_path / "mixed.jsonl"
    path.write_text(as_json(traces) + "\n" + as_json(logs, ExportLogsServiceRequest) + "\n")

    result = analyze("--json", path)

    [answer] = answers(result)
    assert (result.exit_code, result.stderr) == (0, "")
    assert (answer.root_causes[0].error_type, answer.root_causes[0].error_message) == (
        "CardError",
        "terminal 7 does not answer",
    )


def test_a_trace_may_be_spread_over_files(analyze: Analyze, tmp_path: Path):
    """Each span in a file of its own is still one trace."""
    drawing = draw(FAILING)
    paths = []
    for number, span in enumerate(drawing.spans):
        paths.append(tmp_path / f"{number}.pb")
        paths[-1].write_bytes(traces_of(replace(drawing, spans=(span,))))

    result = analyze("--json", *paths)

    [answer] = answers(result)
    assert answer.completeness is not None
    assert (answer.completeness.span_count, answer.completeness.missing_parents) == (3, 0)


@pytest.mark.parametrize(
    ("bad", "verdict", "service"), [(SLOW, "latency", "inventory"), (SILENT, "structure", "checkout")]
)
def test_one_bad_trace_among_three_hundred(analyze: Analyze, tmp_path: Path, bad: str, verdict: str, service: str):
    """What is normal is learned from the very file; the bad one is found, the others stay silent."""
    odd = draw(bad, seed=5)
    crowd = healthy(draw(WHOLE), 300)
    crowd.insert(150, odd)
    path = tmp_path / "traces.jsonl"
    path.write_bytes(lines(crowd))

    result = analyze("--json", path)

    assert (result.exit_code, result.stderr) == (0, "")
    assert [answer.trace_id for answer in answers(result)] == [odd.trace_id.hex()]
    [answer] = answers(result)
    assert (answer.verdict, culprit(answer)) == (verdict, service)


def test_healthy_traces_have_nothing_to_say(analyze: Analyze, tmp_path: Path):
    """Nothing on standard output; how much was read on standard error."""
    path = tmp_path / "traces.jsonl"
    path.write_bytes(lines(healthy(draw(WHOLE), 300)))

    result = analyze(path)

    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == "300 traces, 2400 spans; nothing to report of any one of them\n"


def test_all_tells_of_every_trace(analyze: Analyze, tmp_path: Path):
    """Clean ones too, one line each, in the order of the file."""
    crowd = healthy(draw(WHOLE), 20)
    path = tmp_path / "traces.jsonl"
    path.write_bytes(lines(crowd))

    result = analyze("--json", "--all", path)

    assert [answer.trace_id for answer in answers(result)] == [drawing.trace_id.hex() for drawing in crowd]
    assert {answer.status for answer in answers(result)} == {"clean"}


@pytest.mark.parametrize(("bad", "verdict"), [(SLOW, "latency"), (SILENT, "structure")])
def test_what_is_normal_may_stand_in_a_file_of_its_own(analyze: Analyze, tmp_path: Path, bad: str, verdict: str):
    """Many bad traces and no good one: only against a baseline can they be told."""
    normal, odd = tmp_path / "normal.jsonl", tmp_path / "odd.jsonl"
    normal.write_bytes(lines(healthy(draw(WHOLE), 300)))
    odd.write_bytes(lines(healthy(draw(bad), 5, seed=8)))

    alone = analyze("--json", odd)
    against = analyze("--json", "--baseline", normal, odd)

    assert answers(alone) == []
    assert [answer.verdict for answer in answers(against)] == [verdict] * 5


def test_what_cannot_be_read_is_said_with_its_place_and_the_rest_is_answered(analyze: Analyze, tmp_path: Path):
    """A broken line does not take its neighbours with it."""
    path = tmp_path / "broken.jsonl"
    good = as_json(traces_of(draw(FAILING)))
    path.write_text('{"resourceSpans": [\n' + good + "\n" + '{"resourceSpans": 7}\n')

    result = analyze("--json", path)

    assert result.exit_code == 0
    assert [culprit(answer) for answer in answers(result)] == ["payment"]
    assert str(path) in result.stderr
    assert "line 1" in result.stderr
    assert "line 3" in result.stderr


def test_complaints_are_few(analyze: Analyze, tmp_path: Path):
    """A thousand broken lines: the first ones, and how many more."""
    path = tmp_path / "broken.jsonl"
    path.write_text('{"resourceSpans": 7}\n' * 1000 + as_json(traces_of(draw(FAILING))) + "\n")

    result = analyze("--json", path)

    assert [culprit(answer) for answer in answers(result)] == ["payment"]
    assert len(result.stderr.splitlines()) < 10
    assert "995 more" in result.stderr


@pytest.mark.parametrize(
    ("content", "status", "words"),
    [
        (b"", 1, "no spans"),
        (b"\x00\xff\x12 this is not telemetry" * 40, 1, "no spans"),
        (b"hello, world\n", 1, "no spans"),
        (b"[]", 1, "no spans"),
        (b"\x1f\x8b\x08\x00broken", 1, "no spans"),
        (b"\x28\xb5\x2f\xfdbroken", 1, "no spans"),
        (None, 2, "No such file"),
    ],
    ids=["empty", "binary", "text", "empty list", "broken gzip", "broken zstd", "not there"],
)
def test_a_file_without_telemetry(analyze: Analyze, tmp_path: Path, content: bytes | None, status: int, words: str):
    """1: nothing could be read; 2: the file cannot be opened. In words."""
    path = tmp_path / "file"
    if content is not None:
        path.write_bytes(content)

    result = analyze(path)

    assert (result.exit_code, result.stdout) == (status, "")
    assert words in result.stderr


def test_a_directory_is_not_a_file(analyze: Analyze, tmp_path: Path):
    result = analyze(tmp_path)

    assert (result.exit_code, result.stdout) == (2, "")
    assert "directory" in result.stderr


def test_a_file_that_cannot_be_read(analyze: Analyze):
    """It opens, and then every read fails, for root too."""
    result = analyze(Path("/proc/self/mem"))

    assert (result.exit_code, result.stdout) == (2, "")
    assert "cannot read" in result.stderr


def test_a_baseline_without_telemetry_is_said(analyze: Analyze, tmp_path: Path):
    """An empty baseline would make everything unknown, silently."""
    path, empty = tmp_path / "trace.pb", tmp_path / "empty"
    path.write_bytes(traces_of(draw(FAILING)))
    empty.write_bytes(b"")

    result = analyze("--baseline", empty, path)

    assert result.exit_code == 1
    assert "baseline" in result.stderr


HOSTILE = "\x1b[31mred\x1b[0m \x1b]0;title\x07 \u202egnp.exe\u202c [bold red]markup[/bold red] \r\n\x00 \u2028 {0} %s"


def test_hostile_text_does_not_reach_the_terminal(analyze: Analyze, tmp_path: Path):
    """No escape sequence, no change of direction, no line break, no markup that means anything."""
    drawing = draw(FAILING)
    spans = tuple(
        replace(
            span,
            service=f"{span.service}{HOSTILE}",
            operation=f"{span.operation}{HOSTILE}",
            status_message=HOSTILE,
            exceptions=((f"Card{HOSTILE}", HOSTILE),) if span.exceptions else (),
        )
        for span in drawing.spans
    )
    path = tmp_path / "hostile.pb"
    path.write_bytes(traces_of(replace(drawing, spans=spans)))

    result = analyze(path)

    assert result.exit_code == 0
    assert "[bold red]markup[/bold red]" in result.stdout
    shown = result.stdout + result.stderr
    assert re.findall(r"[^\n\x20-\x7e]", shown.encode("ascii", "replace").decode()) == []
    assert not set("\x1b\x07\x00\r\u202e\u202c\u2028") & set(shown)


def test_a_hostile_file_name_does_not_reach_the_terminal(analyze: Analyze, tmp_path: Path):
    path = tmp_path / "a\x1b[31m[red]b"
    path.write_text("{broken\n")

    result = analyze(path)

    assert result.exit_code == 1
    assert "\x1b" not in result.stderr
    assert "[red]b" in result.stderr


def test_the_printed_verdict(analyze: Analyze, tmp_path: Path):
    """What was decided first, then why; every line begins where the reader looks for it."""
    drawing = draw(FAILING)
    path = tmp_path / "trace.pb"
    path.write_bytes(traces_of(drawing))

    said = analyze(path).stdout.splitlines()

    assert said[0] == f"FINDING     {drawing.trace_id.hex()}  frontend POST /checkout"
    assert said[1].strip() == "payment failed in POST /charge (CardError: terminal 7 does not answer)."
    assert any(line.startswith("  1. service payment") and "[error.origin.local]" in line for line in said)
    assert any("began in payment POST /charge" in line for line in said)


def test_a_reader_that_leaves_is_no_accident(tmp_path: Path):
    """`analyze ... | head -1`: no traceback when the pipe closes."""
    import subprocess

    from tests.support.running import ROOT, environment

    path = tmp_path / "traces.jsonl"
    path.write_bytes(lines(healthy(draw(FAILING), 400)))
    command = f'"{sys.executable}" -m collector analyze --json "{path}" | head -1'

    done = subprocess.run(
        command, shell=True, capture_output=True, cwd=ROOT, env=environment(), timeout=100, check=False
    )

    assert len(done.stdout.splitlines()) == 1
    assert done.stderr == b""


def test_text_that_the_terminal_cannot_show_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A C locale must not end in an encoding error."""
    from collector.analyze_files import analyze_files

    path = tmp_path / "trace.pb"
    path.write_bytes(traces_of(draw(FAILING.replace("terminal 7", "Käse \u6f22"))))
    out = TextIOWrapper(BytesIO(), encoding="ascii", errors="strict")
    monkeypatch.setattr(sys, "stdout", out)

    status = analyze_files([str(path)], [], as_json=False, everything=False)
    out.flush()

    assert status == 0
    assert b"payment failed" in out.buffer.getvalue()
