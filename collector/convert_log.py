"""`firstfault convert-log FILE...`: logs of any dialect as lines of the log schema, naming nobody.

In: JSON lines (ECS, OpenTelemetry, Datadog, plain). Out: one record of the schema a line (docs/logs.md), users and
addresses redacted as asked. Lines that are no JSON object are counted. Exit status: 0 written, 1 no record was read,
2 a file could not be opened.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, Literal

import orjson

from analyzer.errors.log_reader import read_log, redact, write_log
from collector.json_text import steady_json
from collector.verdict_text import plain

LINE_BYTES_MAX = 1_048_576  # a longer one is no record; it is skipped and counted


def convert_logs(
    files: Sequence[str], user: Literal["keep", "hash", "drop"], ip: Literal["keep", "cut", "drop"]
) -> int:
    """Read, redact, write; the exit status."""
    written = skipped = 0
    try:
        for name in files:
            for line in _lines(name):
                record = _record(line)
                if record is None:
                    skipped += bool(line.strip())
                    continue
                out = orjson.dumps(write_log(redact(read_log(record), user=user, ip=ip)))
                sys.stdout.write(steady_json(out.decode()) + "\n")
                written += 1
    except OSError as error:
        sys.stderr.write(plain(f"cannot read {error.filename}: {error.strerror}") + "\n")
        return 2
    if skipped:
        lines = "1 line is" if skipped == 1 else f"{skipped:,} lines are"
        sys.stderr.write(f"{lines} no JSON object of at most {LINE_BYTES_MAX:,} bytes and left out\n")
    return 0 if written else 1


def _lines(name: str) -> Iterator[bytes]:
    if name == "-":
        yield from _bounded(sys.stdin.buffer)
        return
    with Path(name).open("rb") as file:
        yield from _bounded(file)


def _bounded(file: BinaryIO) -> Iterator[bytes]:
    """Lines; of one that is longer than `LINE_BYTES_MAX` one byte more than that, and the rest is passed over."""
    while line := file.readline(LINE_BYTES_MAX + 1):
        whole = line
        while len(line) > LINE_BYTES_MAX and not line.endswith(b"\n"):
            line = file.readline(LINE_BYTES_MAX + 1)
        yield whole


def _record(line: bytes) -> dict[str, object] | None:
    if len(line) > LINE_BYTES_MAX:
        return None
    try:
        found = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    return found if isinstance(found, dict) else None
