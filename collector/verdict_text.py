"""One answer as a few readable lines for a terminal. Text from telemetry is stripped of control characters."""

from __future__ import annotations

import io
import sys

from rich.console import Console
from rich.text import Text

from analyzer.findings import Answer, RootCause
from analyzer.words import who_saw
from collector.json_text import steady_json

_STYLES = {"finding": "bold red", "clean": "green", "partial": "yellow", "unknown": "yellow", "in_progress": "cyan"}
EVIDENCE_MAX = 5
REFUTED_MAX = 3
EXCESS_MAX = 3


def standard_output(as_json: bool) -> Console:
    """Standard output for answers: JSON is UTF-8, whatever the locale; text survives letters the terminal lacks."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        if as_json:
            sys.stdout.reconfigure(encoding="utf-8")
        else:
            sys.stdout.reconfigure(errors="replace")
    return Console(highlight=False)


class Printer:
    """Writes answers to standard output: lines for people, or one JSON object a line."""

    def __init__(self, as_json: bool) -> None:
        self.count = 0
        self._as_json = as_json
        self._console = standard_output(as_json)

    def show(self, answer: Answer) -> None:
        self.count += 1
        if self._as_json:
            sys.stdout.write(steady_json(answer.model_dump_json()) + "\n")
        else:
            self._console.print(verdict_text(answer), soft_wrap=True)


def plain(text: str) -> str:
    """Drop control and direction-changing characters: telemetry must not drive the reader's terminal."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


def verdict_text(answer: Answer) -> Text:
    """Write the verdict first, then why, then what to do."""
    out = Text()
    out.append(f"{answer.status.upper():<11}", style=_STYLES.get(answer.status, ""))
    out.append(plain(f" {answer.name}  {answer.root_service} {answer.root_operation}".rstrip()) + "\n")
    out.append(plain(f"  {answer.summary}") + "\n")
    named = (("severity", answer.severity), ("type", answer.type), ("observability", answer.observability))
    words = [f"{name} {axis.value}" for name, axis in named if axis is not None]
    if answer.status == "finding":
        words.append(who_saw(answer))
    if words:
        out.append(plain(f"  {answer.verdict}: {', '.join(words)}") + "\n", style="dim")
    if answer.group is not None:
        out.append(f"  group {plain(answer.group.id)} (by its {plain(answer.group.tier)})\n", style="dim")
    for cause in answer.root_causes:
        _cause(out, cause)
    if answer.latency is not None and answer.latency.excess:
        latency = answer.latency
        out.append(f"  {_ms(latency.excess_ns)} more than usual ({_ms(latency.duration_ns)} in all):\n")
        for excess in latency.excess[:EXCESS_MAX]:
            where = plain(f"{excess.span.service} {excess.span.operation}")
            out.append(f"    +{_ms(excess.excess_ns)} {where} (usually {_ms(excess.expected_ns)})\n", style="dim")
    if answer.completeness is not None:
        for warning in answer.completeness.warnings:
            times = f" ({warning.count} times)" if warning.count > 1 else ""
            out.append(plain(f"  note: {warning.message}{times}") + "\n", style="dim")
    if answer.answered_by:
        out.append(plain(f"  {_provenance(answer)}") + "\n", style="dim")
    if answer.next_probe:
        out.append(plain(f"  look next: {answer.next_probe}") + "\n", style="cyan")
    return out


def _provenance(answer: Answer) -> str:
    words = f"answered by {answer.answered_by}"
    if answer.merged_from:
        words += f", with the spans of {', '.join(answer.merged_from)}"
    silent = [f"{one.peer} ({one.reason})" for one in answer.asked_peers if one.state == "failed"]
    return f"{words}; no word of {', '.join(silent)}" if silent else words


def _cause(out: Text, cause: RootCause) -> None:
    where = plain(f"{cause.entity.kind} {cause.entity.name}")
    out.append(f"  {cause.rank}. {where}  {cause.probability:.0%}  [{plain(cause.rule)}]\n", style="bold")
    for span in cause.origin_spans[:1]:
        out.append(plain(f"     began in {span.service} {span.operation} (span {span.span_id})") + "\n")
    for evidence in cause.evidence[:EVIDENCE_MAX]:
        out.append(plain(f"     - {evidence.claim}") + "\n")
    reasons = dict.fromkeys(plain(f"     not {refuted.entity.name}: {refuted.reason}") for refuted in cause.refuted)
    for reason in list(reasons)[:REFUTED_MAX]:
        out.append(reason + "\n", style="dim")


def _ms(duration_ns: int) -> str:
    return f"{duration_ns / 1e6:,.1f} ms"
