"""`firstfault analyze FILE...`: the engine of the server, over files.

What is normal is learned from the input itself, robustly (one bad trace among hundreds does not become
normal), or from `--baseline` files. Answers go to standard output, progress and complaints to standard error.
Exit status: 0 answered, 1 nothing could be read, 2 a file could not be opened.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence

import numpy as np
from rich.console import Console
from rich.progress import Progress

from analyzer.engine import Analyzer
from analyzer.findings import Answer
from collector.errors import BadRequestError
from collector.offline import FILE_LIMITS, TraceReader
from collector.receivers.files import FileComplaint, Request, read_requests
from collector.verdict_text import verdict_text
from collector.wire.otlp_json import translate_json

COMPLAINTS_SHOWN = 5


def analyze_files(files: Sequence[str], baseline: Sequence[str], *, as_json: bool, everything: bool) -> int:
    """Read, learn, judge, print."""
    errors = Console(stderr=True)
    words: TraceReader | None = None
    try:
        reader, complaints = _read(files, errors, words)
        normal, more = _read(baseline, errors, TraceReader(reader.vocabulary)) if baseline else (None, [])
    except OSError as error:
        errors.print(f"cannot read: {error}", style="red", markup=False)
        return 2
    _complain(errors, complaints + more)
    traces = reader.batch()
    if not traces.trace_count:
        errors.print("no spans were read; expected OTLP traces as JSON, JSON lines or protobuf", markup=False)
        return 1
    analyzer = Analyzer()
    included = None
    if normal is not None:
        analyzer.learn_file(normal.batch(), 0)
    else:
        included = analyzer.learn_file(traces, 0)
    verdicts = analyzer.analyse(traces, included)
    wanted = np.arange(traces.trace_count) if everything else np.flatnonzero(verdicts.suspicious)
    told = 0
    with Progress(console=errors, transient=True, disable=not errors.is_terminal) as progress:
        for index in progress.track(wanted, description="explaining"):
            answer = analyzer.explain(verdicts, int(index))
            if everything or answer.status not in ("clean", "partial"):
                _print(answer, as_json)
                told += 1
    if not as_json:
        spans = len(verdicts.analysis.forest.row)
        errors.print(f"{traces.trace_count} traces, {spans} spans; {told} told", markup=False)
    return 0


def _read(files: Sequence[str], errors: Console, reader: TraceReader | None) -> tuple[TraceReader, list[str]]:
    reader = reader or TraceReader()
    complaints: list[str] = []
    with Progress(console=errors, transient=True, disable=not errors.is_terminal) as progress:
        for name in progress.track(files, description="reading"):
            for found in _requests(name):
                if isinstance(found, FileComplaint):
                    complaints.append(str(found))
                    continue
                try:
                    reader.add(*found)
                except BadRequestError as error:
                    complaints.append(f"{name}: {error}")
    return reader, complaints


def _requests(name: str) -> Iterator[Request | FileComplaint]:
    return read_requests(name, lambda payload, signal: translate_json(payload, signal, FILE_LIMITS))


def _complain(errors: Console, complaints: Sequence[str]) -> None:
    for complaint in complaints[:COMPLAINTS_SHOWN]:
        errors.print(complaint, style="yellow", markup=False, highlight=False)
    if len(complaints) > COMPLAINTS_SHOWN:
        errors.print(f"... and {len(complaints) - COMPLAINTS_SHOWN} more that could not be read", markup=False)


def _print(answer: Answer, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(answer.model_dump_json() + "\n")
    else:
        Console(highlight=False).print(verdict_text(answer), soft_wrap=True)
