"""`firstfault evaluate DIR --origins`: where did it begin, trace by trace, against the truth of simulated cases.

Learns from the baseline of each case, explains every trace that the fault touched (`truth.json` knows them) and
scores what is named. The truth is read after the answer is made; nothing of it reaches the analyzer. Exit status:
0 done, 2 wrong use.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from analyzer.engine import Analyzer
from analyzer.evaluation.origins import OriginResult, TraceTruth, judge, summarise_origins
from analyzer.findings import Answer
from analyzer.strings import new_vocabulary
from collector.evaluate import STDOUT, WrongUse, case_folders, say, with_progress, write_report
from collector.evaluate_cases import CaseError, read_label, read_traces

TRUTH_FILE = "truth.json"
COLUMNS = ("", "touched", "findings", "abstained", "silent", "service", "span", "span seen", "lost", "background")


def evaluate_origins(directory: Path, *, json_out: str = "") -> int:
    """Explain, score, print."""
    try:
        results: list[OriginResult] = []
        broken: list[dict[str, str]] = []
        folders = case_folders(directory)
        for folder in with_progress(folders):
            try:
                results += judge_case(folder)
            except CaseError as error:
                broken.append({"case": folder.name, "reason": str(error)})
                say(f"{folder.name}: {error}")
        if len(broken) == len(folders):
            raise WrongUse(f"none of the {len(broken)} cases in {directory} could be used")
        found = summarise_origins(results) | {"case_count": len(folders) - len(broken), "broken": broken}
        if json_out:
            write_report(json_out, orjson.dumps(found, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
        if json_out != STDOUT:
            _table(found)
    except WrongUse as error:
        say(str(error))
        return 2
    except OSError as error:
        say(f"cannot write {error.filename}: {error.strerror or error}")
        return 2
    return 0


def judge_case(folder: Path) -> list[OriginResult]:
    """Score every answer about a trace that the fault of one case touched.

    Raises
    ------
    CaseError
        The case cannot be used, or has no truth about its traces.
    """
    label = read_label(folder)
    truths = _truths(folder)
    archetype = str(label.get("fault_type", ""))
    return [
        judge(answer, truths[answer.trace_id], archetype, label.get("case_id", folder.name))
        for answer in _answers(folder, truths)
    ]


def _answers(folder: Path, wanted: dict[str, TraceTruth]) -> Iterator[Answer]:
    """Explain the wanted traces (only their ids are looked at) against what the baseline taught."""
    vocabulary, notes = new_vocabulary(), list[str]()
    baseline = read_traces(folder, "baseline", vocabulary, notes).batch()
    fault = read_traces(folder, "fault", vocabulary, notes).batch()
    analyzer = Analyzer()
    analyzer.learn_file(baseline, 0)
    verdicts = analyzer.analyse(fault)
    for trace in range(fault.trace_count):
        if verdicts.trace_id(trace).hex() in wanted:
            yield analyzer.explain(verdicts, trace)


def _truths(folder: Path) -> dict[str, TraceTruth]:
    """Truth of the touched traces by id, from `truth.json`."""
    try:
        tree = orjson.loads((folder / TRUTH_FILE).read_bytes())
        known, background = tree["traces"], tree["background"]
        return {
            trace_id: _truth(known.get(trace_id, {}), background.get(trace_id, {}))
            for trace_id in tree["touched_trace_ids"]
        }
    except OSError as error:
        raise CaseError(
            f"cannot read {TRUTH_FILE}: {error.strerror or error}; only simulated cases have one"
        ) from error
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
        raise CaseError(f"{TRUTH_FILE} is not one of `firstfault simulate`; draw the cases again") from error


def _truth(known: dict[str, list[str]], background: dict[str, list[str]]) -> TraceTruth:
    return TraceTruth(
        spans=frozenset(known.get("origin_span_ids", ())),
        services=frozenset([*known.get("origin_services", ()), *known.get("way_services", ())]),
        background_spans=frozenset(background.get("span_ids", ())),
        background_services=frozenset(background.get("services", ())),
    )


def _table(found: dict[str, Any]) -> None:
    """Print one line for all, for each family of rules, for each archetype."""
    rows = [COLUMNS, _row("all", found["overall"])]
    for title, part in (("rule", "by_family"), ("fault", "by_archetype")):
        rows += [_row(f"{title} {name}", tally) for name, tally in found[part].items()]
    widths = [max(len(row[i]) for row in rows) for i in range(len(COLUMNS))]
    sys.stdout.write(f"{found['case_count']} cases; shares are over findings\n")
    for row in rows:
        cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        sys.stdout.write("  ".join(cells).rstrip() + "\n")


def _row(name: str, tally: dict[str, Any]) -> tuple[str, ...]:
    counts = (str(tally[key]) for key in ("touched", "findings", "abstained", "silent"))
    shares = ("-" if tally[key] is None else f"{tally[key]:.3f}" for key in ("service", "span", "span_seen"))
    return (name, *counts, *shares, str(tally["lost"]), str(tally["background"]))
