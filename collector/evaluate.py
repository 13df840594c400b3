"""`firstfault evaluate DIR`: methods side by side over folders of known faults.

Cases are read one at a time and let go; only rankings are kept. The table goes to standard output, progress and
complaints to standard error. A method that breaks on a case has no answer there, is told and counted
(`FIRSTFAULT_TRACEBACK=1` shows where). Exit status: 0 done, 2 wrong use.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import orjson
from rich.console import Console
from rich.progress import Progress

from analyzer.evaluation import CaseResult, Method, Ranked
from analyzer.evaluation.methods import OURS, all_methods
from analyzer.evaluation.methods.columns import name_of
from analyzer.evaluation.methods.max_z import rank as rank_by_z
from analyzer.evaluation.metrics import strict_rank
from analyzer.evaluation.report import report
from collector.evaluate_cases import Case, CaseError, WindowKind, find_cases, read_case
from collector.verdict_text import plain

ALL = "all"
STDOUT = "-"
NOTES_SHOWN = 5
COLUMNS = (
    *("method", "AC@1", "95 %", "AC@3", "AC@5", "Avg@5", "MRR", "all@n"),
    *("not loudest", "false blame", "false alarms", "ms/case"),
)


class WrongUse(Exception):
    """What was asked cannot be done: what was found, what was expected."""


@dataclass(slots=True)
class _Run:
    """What is kept of the cases: rankings, and what was wrong."""

    results: dict[str, list[CaseResult]]
    broken: list[dict[str, str]] = field(default_factory=list)
    notes: Counter[str] = field(default_factory=Counter)
    reading_s: float = 0.0
    case_count: int = 0


def evaluate(
    directory: Path, names: Sequence[str], *, json_out: str, window: WindowKind, plot: Path | None, seed: int
) -> int:
    """Read, rank, score, print."""
    try:
        methods = choose(names)
        draw = _plotter() if plot else None
        run = _run(case_folders(directory), methods, window)
        if not run.case_count:
            raise WrongUse(f"none of the {len(run.broken)} cases in {directory} could be used")
        summary = {
            "methods": report(run.results, methods, seed),
            "window": window,
            "seed": seed,
            "case_count": run.case_count,
            "broken": run.broken,
            "reading_seconds_per_case": run.reading_s / run.case_count,
        }
        if json_out:
            write_report(json_out, orjson.dumps(summary, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
        if json_out != STDOUT:
            _table(summary)
        if draw and plot:
            draw(summary, plot)
    except WrongUse as error:
        say(str(error))
        return 2
    except OSError as error:
        say(f"cannot write {error.filename}: {error.strerror or error}")
        return 2
    return 0


def choose(names: Sequence[str]) -> dict[str, Method]:
    """Return the methods asked for; none named: ours.

    Raises
    ------
    WrongUse
        A name is not known.
    """
    known = all_methods()
    if ALL in names:
        return known
    wanted = list(dict.fromkeys(names)) or [OURS]
    unknown = [name for name in wanted if name not in known]
    if unknown:
        raise WrongUse(f"there is no method {', '.join(unknown)}; expected {', '.join([ALL, *known])}")
    return {name: known[name] for name in wanted}


def case_folders(directory: Path) -> list[Path]:
    """Return the cases of a directory.

    Raises
    ------
    WrongUse
        There are none, or the directory cannot be read.
    """
    try:
        found = find_cases(directory)
    except OSError as error:
        raise WrongUse(f"cannot read {directory}: {error.strerror or error}; expected a directory of cases") from error
    if not found:
        raise WrongUse(f"no case in {directory}; expected folders with case.json, baseline.jsonl.gz and fault.jsonl.gz")
    return found


def _run(folders: Sequence[Path], methods: dict[str, Method], window: WindowKind) -> _Run:
    run = _Run({name: [] for name in methods})
    for folder in with_progress(folders):
        began = perf_counter()
        try:
            case = read_case(folder, window)
        except CaseError as error:
            run.broken.append({"case": folder.name, "reason": str(error)})
            say(f"{folder.name}: {error}")
            continue
        run.reading_s += perf_counter() - began
        run.case_count += 1
        run.notes.update(case.notes)
        for name, result in _judge(case, methods).items():
            run.results[name].append(result)
    if run.broken:
        say(f"{len(run.broken)} of {len(folders)} cases could not be used")
    for note, count in run.notes.most_common(NOTES_SHOWN):
        say(f"{count} of {run.case_count} cases: {note}")
    return run


def _judge(case: Case, methods: dict[str, Method]) -> dict[str, CaseResult]:
    loudest = strict_rank(rank_by_z(case.reference, case.window, case.vocabulary), case.label.roots) == 1
    seen = _services(case)
    found = {}
    for name, method in methods.items():
        began = perf_counter()
        failure = ""
        try:
            ranked = method.judge(case.reference, case.window, case.vocabulary)
        except Exception as error:  # a method that breaks on a case has no answer for it; the others have
            if os.environ.get("FIRSTFAULT_TRACEBACK"):
                raise
            ranked, failure = Ranked([]), f"{type(error).__name__}: {error}"
            say(f"{case.label.case_id}: {name} failed: {failure}")
        found[name] = CaseResult(
            label=case.label,
            ranked=ranked,
            seconds=perf_counter() - began,
            span_count=len(case.reference) + len(case.window),
            root_loudest=loudest,
            root_seen=not case.label.roots or not seen.isdisjoint(case.label.roots),
            notes=case.notes,
            failure=failure,
        )
    return found


def _services(case: Case) -> set[str]:
    """Names of all services that have spans in the case."""
    ids = np.union1d(case.reference.service, case.window.service)
    return {name_of(int(service), case.vocabulary) for service in ids}


def _table(summary: dict[str, Any]) -> None:
    """Print the comparison, best first."""
    first = next(iter(summary["methods"].values()))
    healthy = first["true_negatives"]["case_count"]
    rows = [COLUMNS]
    for name, found in sorted(summary["methods"].items(), key=lambda one: _order(one[1]), reverse=True):
        interval = found["interval"]["ac@1"]
        rows.append(
            (
                name,
                _share(found["ac@1"]),
                f"{interval[0]:.2f}-{interval[1]:.2f}" if interval else "-",
                *(_share(found[key]) for key in ("ac@3", "ac@5", "avg@5", "mrr", "all@n")),
                _share(found["root_not_loudest"]["ac@1"]),
                _share(found["false_blame"]),
                f"{found['true_negatives']['false_alarms']} of {healthy}" if healthy and found["can_abstain"] else "-",
                f"{1e3 * found['seconds_per_case']:.1f}",
            )
        )
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    harder = first["root_not_loudest"]["case_count"]
    sys.stdout.write(
        f"{first['case_count']} cases with a root (of {harder} it is not the loudest: AC@1 there is `not loudest`), "
        f"{healthy} without; {summary['window']} window\n"
    )
    for row in rows:
        cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        sys.stdout.write("  ".join(cells) + "\n")


def _order(found: dict[str, Any]) -> tuple[float, float]:
    return found["ac@1"] or 0.0, found["avg@5"] or 0.0


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def write_report(target: str, payload: bytes) -> None:
    """Write a report to a file, or to standard output for `-`."""
    if target == STDOUT:
        sys.stdout.write(payload.decode())
    else:
        Path(target).write_bytes(payload)


def _plotter() -> Any:
    try:
        from collector.evaluate_plot import draw_comparison
    except ModuleNotFoundError as error:
        raise WrongUse(f"the plot needs {error.name}; install firstfault[evaluate]") from error
    return draw_comparison


def with_progress(items: Sequence[Path]) -> Iterator[Path]:
    """Yield the items; a bar on standard error while somebody is looking."""
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        yield from progress.track(items, description="evaluating")


def say(text: str) -> None:
    """Tell whoever looks on, on standard error."""
    sys.stderr.write(plain(text) + "\n")
