"""Text that people and programs wrote: stack traces, messages, log records, what is escaped, configuration.

The first byte says which reader, the second chooses inside of it; the rest is UTF-8 or nearly. Oracle: no exception but the
declared one, results in their bounds, nothing dangerous left after escaping.
"""

from __future__ import annotations

import html
import json
import random
import re
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path

from analyzer.errors.log_reader import read_log, redact, write_log
from analyzer.errors.stack_traces import PARSERS, parse_stack
from analyzer.errors.stack_traces.bounds import CHAIN_MAX, FRAMES_MAX
from analyzer.errors.templates import operation_template, similarity, template_of
from analyzer.errors.versions import is_older
from analyzer.reports.markdown import escaped, fenced
from analyzer.reports.svg import text_of
from analyzer.words import TEXT_SHOWN_MAX, shown
from collector.config import ConfigError, load_config
from collector.redaction import Redactor
from tests.fuzz.target import Target
from tests.support.damage import damaged_text

LANGUAGES = ["", *PARSERS]
STACKS = Path(__file__).parents[1] / "analyzer/errors/corpus"
WORDS = (
    *(b"\n", b"\n\tat ", b"(a.java:1)", b"Caused by: ", b'\n  File "', b", line ", b"Traceback (most recent call last):"),
    *(b"goroutine 1 [running]:", b"\n#0 ", b" ---> ", b":in `", b"** (", b"\x1b[1m", b"\r", b"\0", b"\xe2\x80\xa8"),
    *(b"\xed\xa0\x80", b"\xc2\xb2\xc2\xb2\xc2\xb2", b"\xe2\x80\xae", b"--5", b"9" * 5000, b"1e400", b"-", b"<", b"&#"),
    *(b"`", b"```", b"](javascript:", b"<script>", b"{{", b"${env:", b"}", b":-", b"$", b": ", b"[", b"{", b"&a ", b"*a"),
    *(b"!!python/object:os.system", b"!!binary ", b".inf", b".nan", b"0x_", b"2001-99-99", b"1:", b"? ", b"- ", b"|\n"),
    *(b"password=hunter2", b"Bearer ", b"'", b'"', b"1.2.3-rc", b"%", b"=", b"timestamp", b"trace_id", b"duration_ms"),
)  # fmt: skip
_MARKUP = re.compile(r"(?<!\\)(?:\\\\)*[<>`*_\[\]|&~]")
_ENVIRONMENT = {
    "PORT": "9",
    "LIST": "[1, 2",
    "DATE": "2001-99-99",
    "WORD": "word",
    "FIRSTFAULT__QUERY__WAIT_MAX_S": "3",
}
_REDACTOR = Redactor()


def stack(text: str, choice: int) -> None:
    found = parse_stack(text, LANGUAGES[choice % len(LANGUAGES)])
    if found is not None:
        frames = sum(len(thrown.frames) for thrown in found.chain)
        assert 0 < frames <= FRAMES_MAX
        assert 0 < len(found.chain) <= CHAIN_MAX
        assert found.origin is not None


def message(text: str, choice: int) -> None:
    template = template_of(text)
    assert 0.0 <= similarity(template, operation_template(text)) <= 1.0
    assert isinstance(_REDACTOR.text(text), str)
    assert not is_older(text, text)


def log(text: str, choice: int) -> None:
    """A record as a line of JSON; what we write of it we read again, with the same words."""
    try:
        record = json.loads(text)
    except (ValueError, RecursionError):
        return
    if not isinstance(record, dict):
        return
    found = read_log(record)
    hidden = redact(found, user=("keep", "hash", "drop")[choice % 3], ip=("keep", "cut", "drop")[choice // 3 % 3])
    again = read_log(write_log(hidden))
    assert (again.trace_id, again.span_id, again.status_code) == (hidden.trace_id, hidden.span_id, hidden.status_code)


def escape(text: str, choice: int) -> None:
    """HTML, Markdown, a sentence: nothing opens a tag, ends a line or drives a terminal."""
    written = text_of(text)
    assert not set(written) & set("<>\"'")
    assert "<" not in html.unescape(written) or "<" in text
    words = escaped(text)
    assert "\n" not in words
    assert not _MARKUP.search(words)
    block = fenced(text)
    fence = block[: len(block) - len(block.lstrip("`"))]
    assert fence not in block[len(fence) : -len(fence)]
    assert shown(text).isprintable()
    assert len(shown(text)) <= TEXT_SHOWN_MAX


def configuration(text: str, choice: int) -> None:
    path = _file()
    path.write_text(text, "utf-8", "surrogatepass")
    with suppress(ConfigError):
        load_config(path, _ENVIRONMENT)


@cache
def _file() -> Path:
    return Path(tempfile.mkdtemp(prefix="fuzz-")) / "config.yaml"


READERS = (stack, message, log, escape, configuration)


def check(data: bytes) -> None:
    head = data[:2].ljust(2, b"\0")
    READERS[head[0] % len(READERS)](data[2:].decode("utf-8", "surrogateescape"), head[1])


def seeds() -> list[bytes]:
    stacks = [path.read_bytes()[:3000] for path in sorted(STACKS.glob("*/*.txt"))]
    records = (
        {"timestamp": "2026-11-27T10:00:00Z", "level": "error", "trace_id": "a" * 32, "message": "boom", "status": "503"},
        {"timeUnixNano": "1780000000000000000", "severityNumber": 17, "attributes": [{"key": "n", "value": {"intValue": "5"}}]},
        {"dd.trace_id": "123456789", "dd.span_id": "7", "status": "error", "duration": 5, "usr.id": "u", "network.client.ip": "10.1.2.3"},
        {"request": {"path": "/x", "duration_ms": 1.5, "status_code": 500}, "error": {"type": "E", "stack_trace": "at a.b(c.js:1:1)"}},
    )  # fmt: skip
    configs = (
        "assembly: {idle_s: 3, trace_spans_max: '${env:PORT:-9}'}\nquery: {endpoint: '127.0.0.1:${PORT}'}\n",
        "receivers:\n  otlp:\n    protocols:\n      grpc: {endpoint: '0.0.0.0:4317'}\n      http: {cors: {allowed_origins: ['*']}}\nservice: {insecure: true}\n",
        "errors: {rules: [{name: a, match: {type: E}}]}\nredaction: {rules: [{name: mine, pattern: 'a+b', keys: ['x.*']}]}\n",
        "auth: {bearer: [{name: a, roles: [read], token: abcdefghijklmnopq}]}\nstorage: {path: '${file:missing}'}\n",
        "exporters: {otlp: {endpoint: 'a:1', headers: {authorization: '${env:WORD}'}}}\nservice: {processes: ${env:LIST}}\n",
    )
    messages = (
        "user 4711 not found in 'eu-1' after 30.5ms",
        "GET /a/0f3c99aa/b?x=1 HTTP 503",
        "Bearer abc password=x",
        "v1.2.3",
    )
    return [
        *(b"\0" + bytes([n % len(LANGUAGES)]) + text for n, text in enumerate(stacks)),
        *(b"\1\0" + text.encode() for text in messages),
        *(b"\2" + bytes([n]) + json.dumps(record).encode() for n, record in enumerate(records)),
        *(
            b"\3\0" + text.encode()
            for text in (*messages, "a `b` **c** <i>d</i> [e](f) | g\n# h\n1. i https://j", "```\nx\n````")
        ),
        *(b"\4\0" + text.encode() for text in configs),
    ]


def change(data: bytes, others: Sequence[bytes], rng: random.Random) -> bytes:
    """Readers keep to their language, mostly."""
    alike = [other[2:] for other in others if other[:1] == data[:1]] or [b""]
    head = bytes([rng.randrange(5), rng.randrange(256)]) if rng.random() < 0.1 else data[:2]
    return head + damaged_text(data[2:], alike, WORDS, rng)


FOUND = {
    "a cause without frames around frames of libraries has an origin": b"\0\3at  (node::9:4\nCaused by: ",
    "a superscript is no level": '\2\0{"level": "²"}'.encode(),
    "a superscript is no status": '\2\0{"status": "²²²", "http.status_code": "²²²"}'.encode(),
    "a superscript is no trace id": '\2\0{"dd.trace_id": "²"}'.encode(),
    "five thousand digits are no trace id": b'\2\0{"dd.trace_id": "' + b"9" * 5000 + b'"}',
    "two signs are no integer": b'\2\0{"attributes": [{"key": "n", "value": {"intValue": "--5"}}]}',
    "a number beyond all doubles is no duration": b'\2\0{"duration_ms": 1' + b"0" * 400 + b"}",
    "day 99 is no YAML": b"\4\0assembly: {idle_s: 2001-99-99}",
    "a number without digits is no YAML": b"\4\0a: 0x_",
    "half a list from the environment is text": b"\4\0storage: {path: '${env:LIST}'}",
    "day 99 from the environment is text": b"\4\0storage: {path: '${env:DATE}'}",
    "eight hundred brackets are too deep for YAML": b"\4\0" + b"[" * 800 + b"]" * 800,
    "a path with a zero byte is no file": b'\4\0storage: {path: "${file:a\\0b}"}',
}
TARGET = Target("text", check, seeds, change, WORDS, FOUND)
