"""Case folders -> facts and a label, one case at a time.

A case is a folder with `case.json` (the label, the window), `baseline.*` (fault-free telemetry) and `fault.*`; both
in any form that `firstfault analyze` reads. A case that cannot be used says why (`CaseError`); it stops no other.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import orjson

from analyzer.engine import Analyzer
from analyzer.evaluation import Label
from analyzer.incidents import TraceFacts, gather_facts
from analyzer.incidents.onset import find_onset
from analyzer.spans import Vocabulary
from analyzer.strings import new_vocabulary
from collector.errors import BadRequestError
from collector.offline import FILE_LIMITS, TraceReader
from collector.receivers.files import FileComplaint, read_requests
from collector.wire.otlp_json import translate_json

WindowKind: TypeAlias = Literal["oracle", "detected"]
LABEL_FILE = "case.json"
LABEL_BYTES_MAX = 1 << 20
COMPLAINTS_SHOWN = 2


class CaseError(Exception):
    """A case that cannot be used: what was found, what was expected."""


@dataclass(frozen=True, slots=True)
class Case:
    """One case, read. Only `reference`, `window` and `vocabulary` are for methods."""

    label: Label
    reference: TraceFacts
    window: TraceFacts
    vocabulary: Vocabulary
    notes: tuple[str, ...]


def find_cases(directory: Path) -> list[Path]:
    """Return the folders that are or claim to be cases, by name: `directory` itself, or those below it.

    Raises
    ------
    OSError
        The directory cannot be listed.
    """
    if (directory / LABEL_FILE).exists():
        return [directory]
    return sorted(
        folder
        for folder in directory.iterdir()
        if folder.is_dir() and ((folder / LABEL_FILE).exists() or _named(folder, "fault"))
    )


def read_case(folder: Path, window: WindowKind) -> Case:
    """Read one case.

    Raises
    ------
    CaseError
        It cannot be used.
    """
    tree = read_label(folder)
    label = Label(
        case_id=_text(tree, "case_id") or folder.name,
        fault_type=_text(tree, "fault_type"),
        roots=_roots(tree),
        system=_text(tree, "system"),
    )
    notes: list[str] = []
    vocabulary = new_vocabulary()
    baseline = read_traces(folder, "baseline", vocabulary, notes).batch()
    fault = read_traces(folder, "fault", vocabulary, notes).batch()
    analyzer = Analyzer()
    included = analyzer.learn_file(baseline, 0)
    reference = gather_facts(analyzer.analyse(baseline, included).analysis, analyzer.propagation)
    stream = gather_facts(analyzer.analyse(fault).analysis, analyzer.propagation)
    for stem, facts in (("baseline", reference), ("fault", stream)):
        if not len(facts):
            raise CaseError(f"the {stem} file holds no spans, only logs; expected OTLP traces")
    chosen = _oracle(tree, stream, notes) if window == "oracle" else _detected(reference, stream, notes)
    return Case(label, reference, chosen, vocabulary, tuple(notes))


def _oracle(tree: dict[str, Any], stream: TraceFacts, notes: list[str]) -> TraceFacts:
    """Traces that start in the window of the label; all of them when none does."""
    start, end = tree.get("window_start_ns"), tree.get("window_end_ns")
    if not isinstance(start, int) or not isinstance(end, int):
        notes.append(f"{LABEL_FILE} has no window_start_ns and window_end_ns; every trace of the fault file is taken")
        return stream
    began = stream.trace_start_ns
    inside = (began >= start) & (began <= end)
    if not inside.any():
        notes.append("no trace of the fault file starts in the window of the label; every one is taken")
        return stream
    return stream.select(inside)


def _detected(reference: TraceFacts, stream: TraceFacts, notes: list[str]) -> TraceFacts:
    """Traces from the onset on, as found from the telemetry alone."""
    ordered = stream.select(np.argsort(stream.trace_start_ns, kind="stable"))
    onset = find_onset(reference, ordered)
    if onset is None:
        notes.append("no onset was found; every trace of the fault file is taken")
        return ordered
    return ordered.select(np.arange(onset.index, ordered.trace_count))


def read_traces(folder: Path, stem: str, vocabulary: Vocabulary, notes: list[str]) -> TraceReader:
    """Read `stem.*` of a case, one request after the other.

    Raises
    ------
    CaseError
        There is none, or no span can be read from it.
    """
    files = _named(folder, stem)
    if len(files) != 1:
        found = " and ".join(path.name for path in files) if files else "none"
        raise CaseError(f"found {found} where one {stem}.jsonl or {stem}.jsonl.gz was expected")
    reader = TraceReader(vocabulary)
    complaints: list[str] = []
    rows = 0
    try:
        for found_request in _requests(files[0]):
            if isinstance(found_request, FileComplaint):
                complaints.append(f"{found_request.place}: {found_request.message}".lstrip(": "))
                continue
            try:
                rows += reader.add(*found_request)
            except BadRequestError as error:
                complaints.append(str(error))
    except OSError as error:
        raise CaseError(f"cannot read {files[0].name}: {error.strerror or error}") from error
    told = "; ".join(complaints[:COMPLAINTS_SHOWN])
    if not rows:
        raise CaseError(
            f"no spans were read from {files[0].name}; expected OTLP traces" + (f" ({told})" if told else "")
        )
    if complaints:
        notes.append(f"{len(complaints)} parts of {files[0].name} could not be read: {told}")
    return reader


def _requests(path: Path) -> Iterator[Any]:
    return read_requests(str(path), lambda payload, signal: translate_json(payload, signal, FILE_LIMITS))


def _named(folder: Path, stem: str) -> list[Path]:
    """Return the files `stem` or `stem.*` of a folder."""
    return sorted(path for path in folder.iterdir() if path.is_file() and path.name.split(".")[0] == stem)


def read_label(folder: Path) -> dict[str, Any]:
    """Read `case.json`.

    Raises
    ------
    CaseError
        It is not there or not what was expected.
    """
    path = folder / LABEL_FILE
    try:
        with path.open("rb") as file:
            tree = orjson.loads(file.read(LABEL_BYTES_MAX))
    except OSError as error:
        raise CaseError(f"cannot read {LABEL_FILE}: {error.strerror or error}") from error
    except orjson.JSONDecodeError as error:
        raise CaseError(f"{LABEL_FILE} is not JSON: {error}") from error
    if not isinstance(tree, dict):
        raise CaseError(f"{LABEL_FILE} holds {type(tree).__name__}; expected an object")
    return tree


def _roots(tree: dict[str, Any]) -> tuple[str, ...]:
    roots = tree.get("root_cause_services", "nothing")
    if not isinstance(roots, list) or not all(isinstance(root, str) and root for root in roots):
        raise CaseError(
            f"root_cause_services is {str(roots)[:80]!r}; expected a list of service names, "
            "empty when nothing was broken"
        )
    return tuple(dict.fromkeys(roots))


def _text(tree: dict[str, Any], key: str) -> str:
    value = tree.get(key, "")
    return value if isinstance(value, str) else str(value)
