"""`firstfault analyze FILE...`: the engine of the server, over files.

What is normal is learned from the input itself, robustly (one bad trace among hundreds does not become
normal), or from `--baseline` files. A log of JSON lines or a stack trace is told from OTLP by its first bytes.
Answers go to standard output, progress and complaints to standard error.
`firstfault regroup FILE...` says of the same files what rules of grouping would change.
Exit status: 0 answered, 1 nothing could be read, 2 a file could not be opened.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.progress import Progress

from analyzer.engine import Analyzer, Verdicts
from analyzer.errors.overview import look_over
from analyzer.errors.rules import Rule, replay
from analyzer.incidents import TraceFacts, gather_facts
from analyzer.spans import TraceBatch
from collector.against_baseline import compare
from collector.errors import BadRequestError
from collector.group_text import replay_json, replay_text
from collector.json_text import steady_json
from collector.offline import FILE_LIMITS, TraceReader, masked_reader, new_analyzer
from collector.receivers.files import FileComplaint, read_requests
from collector.redaction import Redactor
from collector.text_analysis import HEAD_BYTES, analyze_text, is_text_evidence, text_lines
from collector.verdict_text import Printer, plain
from collector.wire.otlp_json import translate_json

COMPLAINTS_SHOWN = 5
TEXT_BYTES_MAX = 256 * 2**20  # of one log file; 100,000 records of it are looked at
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Judged:
    """Every trace of some files; and the baseline, when there was one, with what `learn_file` said of it."""

    analyzer: Analyzer
    verdicts: Verdicts
    baseline: TraceBatch | None = None
    included: npt.NDArray[np.float32] | None = None

    def changes(self, facts: TraceFacts) -> list[str]:
        """What all traces together (their `facts`) say against the baseline, which is analysed only for this."""
        if self.baseline is None:
            return []
        usual = self.analyzer.analyse(self.baseline, self.included)
        reference = gather_facts(usual.analysis, self.analyzer.propagation)
        return compare(reference, facts, self.baseline.vocabulary)


def analyze_files(files: Sequence[str], baseline: Sequence[str], *, as_json: bool, everything: bool) -> int:
    """Read, learn, judge, print."""
    try:
        texts = [name for name in files if is_text_evidence(_head(name))]
        if texts:
            return _analyze_texts(texts, [name for name in files if name not in texts], baseline, as_json, everything)
    except OSError as error:
        return _cannot_read(error)
    judged = judge_files(files, baseline)
    if isinstance(judged, int):
        return judged
    analyzer, verdicts = judged.analyzer, judged.verdicts
    traces = verdicts.analysis.traces
    wanted = np.arange(traces.trace_count) if everything else np.flatnonzero(verdicts.suspicious)
    printer = Printer(as_json)
    for index in _with_progress(wanted.tolist(), "explaining"):
        answer = analyzer.explain(verdicts, index)
        if everything or answer.status not in ("clean", "partial"):
            printer.show(answer)
    if not as_json:
        facts = gather_facts(verdicts.analysis, analyzer.propagation)
        for sentence in judged.changes(facts) + look_over(facts, traces.vocabulary).sentences:
            sys.stdout.write(f"TOGETHER   {plain(sentence)}\n")
        spans = len(verdicts.analysis.forest.row)
        found = f"{printer.count} with something to say" if printer.count else "nothing to report of any one of them"
        _say(f"{_count(traces.trace_count, 'trace')}, {_count(spans, 'span')}; {found}")
        if not baseline and traces.trace_count < analyzer.config.baseline_count_min:
            _say(
                f"what is slow or missing can be told from {analyzer.config.baseline_count_min} traces on: "
                "give healthy ones with --baseline"
            )
    return 0


def judge_files(files: Sequence[str], baseline: Sequence[str]) -> Judged | int:
    """Read files and judge every trace in them; the exit status when there is nothing to judge (it was said why)."""
    complaints = _Complaints()
    try:
        reader = _read(files, "reading", masked_reader(Redactor()), complaints)
        normal = _read(baseline, "reading the baseline", TraceReader(reader.vocabulary), complaints)
    except OSError as error:
        return _cannot_read(error)
    complaints.tell()
    traces, healthy = reader.batch(), normal.batch()
    if not traces.trace_count:
        _say("no spans were read; expected OTLP traces as JSON, JSON lines or protobuf")
        return 1
    if baseline and not healthy.trace_count:
        _say("no spans were read from the baseline; expected healthy OTLP traces, or no --baseline at all")
        return 1
    analyzer = new_analyzer()
    if not baseline:
        return Judged(analyzer, analyzer.analyse(traces, analyzer.learn_file(traces, 0)))
    included = analyzer.learn_file(healthy, 0)
    return Judged(analyzer, analyzer.analyse(traces), healthy, included)


def regroup_files(files: Sequence[str], rules: Sequence[Rule], before: Sequence[Rule], *, as_json: bool) -> int:
    """Say what rules of grouping would change in some traces; nothing is applied."""
    complaints = _Complaints()
    try:
        traces = _read(files, "reading", masked_reader(Redactor()), complaints).batch()
    except OSError as error:
        return _cannot_read(error)
    complaints.tell()
    if not traces.trace_count:
        _say("no spans were read; expected OTLP traces as JSON, JSON lines or protobuf")
        return 1
    analyzer = new_analyzer()
    verdicts = analyzer.analyse(traces, analyzer.learn_file(traces, 0))
    failed = np.flatnonzero(verdicts.failed).tolist()
    facts = [
        one.fact
        for index in _with_progress(failed, "grouping")
        for one in analyzer.explain_errors(verdicts, index).groups
    ]
    found = replay(rules, facts, before)
    sys.stdout.write(replay_json(found) if as_json else replay_text(found, [rule.name for rule in rules]))
    return 0


def analyze_words(text: str, *, as_json: bool) -> int:
    """Say what can be said of a message or a stack trace that was given on the command line."""
    _print_text(text, as_json)
    return 0


def _analyze_texts(
    texts: Sequence[str], others: Sequence[str], baseline: Sequence[str], as_json: bool, everything: bool
) -> int:
    """Logs and stack traces each for itself, then the traces in the other files."""
    for name in texts:
        raw = sys.stdin.buffer.read(TEXT_BYTES_MAX + 1) if name == "-" else _read_bytes(name)
        if len(raw) > TEXT_BYTES_MAX:
            _say(f"{name} has more than {TEXT_BYTES_MAX} bytes; only its beginning was read")
        _print_text(raw[:TEXT_BYTES_MAX].decode("utf-8", "replace"), as_json)
    return analyze_files(others, baseline, as_json=as_json, everything=everything) if others else 0


def _print_text(text: str, as_json: bool) -> None:
    answer = analyze_text(text)
    lines = [steady_json(answer.model_dump_json())] if as_json else text_lines(answer)
    if as_json and isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8")
    sys.stdout.write("\n".join(lines) + "\n")


def _read_bytes(name: str) -> bytes:
    with open(name, "rb") as file:
        return file.read(TEXT_BYTES_MAX + 1)


def _head(name: str) -> bytes:
    """First bytes of a file; of standard input without taking them. Empty when there is nothing to tell by."""
    if name == "-":
        buffer = sys.stdin.buffer
        return buffer.peek(HEAD_BYTES) if isinstance(buffer, io.BufferedReader) else b""
    if not Path(name).is_file():
        return b""  # the reader of traces says what is the matter with it
    with open(name, "rb") as file:
        return file.read(HEAD_BYTES)


def _cannot_read(error: OSError) -> int:
    _say(f"cannot read {error.filename or 'standard input'}: {error.strerror or error}")
    return 2


@dataclass(slots=True)
class _Complaints:
    """Parts that could not be read: the first in words, the rest as a number."""

    shown: list[str] = field(default_factory=list)
    left_out: int = 0

    def add(self, text: str, count: int = 1) -> None:
        if len(self.shown) < COMPLAINTS_SHOWN:
            self.shown.append(text)
        else:
            self.left_out += count

    def tell(self) -> None:
        for text in self.shown:
            _say(text)
        if self.left_out:
            _say(f"... and {self.left_out} more that could not be read")


def _read(files: Sequence[str], doing: str, reader: TraceReader, complaints: _Complaints) -> TraceReader:
    for name in _with_progress(files, doing):
        for found in read_requests(name, lambda payload, signal: translate_json(payload, signal, FILE_LIMITS)):
            if isinstance(found, FileComplaint):
                complaints.add(str(found), found.count)
                continue
            try:
                reader.add(*found)
            except BadRequestError as error:
                complaints.add(f"{name}: {error}")
    return reader


def _with_progress(items: Sequence[T], doing: str) -> Iterator[T]:
    """Yield the items; a bar on standard error while somebody is looking."""
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        yield from progress.track(items, description=doing)


def _count(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def _say(text: str) -> None:
    sys.stderr.write(plain(text) + "\n")
