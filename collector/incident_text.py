"""One incident as a few readable lines for a terminal. Text from telemetry is stripped of control characters."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta

from rich.text import Text

from analyzer.findings import Entity, EntityKind
from analyzer.incident_words import Incident, Suspect
from collector.json_text import steady_json
from collector.verdict_text import plain, standard_output

_STYLES = {"open": "bold red", "closed": "green"}
SUSPECTS_MAX = 3
EVIDENCE_MAX = 4
AFFECTED_MAX = 8


class IncidentPrinter:
    """Writes incidents to standard output: for people, or one JSON object a line."""

    def __init__(self, as_json: bool) -> None:
        self._as_json = as_json
        self._console = standard_output(as_json)

    def show(self, incidents: list[Incident], *, whole: bool) -> None:
        """Show incidents, all of each or a line."""
        for incident in incidents:
            if self._as_json:
                sys.stdout.write(steady_json(incident.model_dump_json()) + "\n")
            else:
                self._console.print(incident_text(incident) if whole else incident_line(incident), soft_wrap=True)
        if not incidents and not self._as_json:
            self._console.print("no incidents")


def incident_text(incident: Incident) -> Text:
    """Write what is broken first, then why, then whom it hits and what happened."""
    out = Text()
    out.append(f"{incident.status.upper():<7}", style=_STYLES.get(incident.status, ""))
    end_ns = incident.ended_ns
    lasted = f", {_lasted(end_ns - incident.onset_ns)}" if end_ns is not None else ""
    out.append(f" {plain(incident.incident_id)}  since {clock_text(incident.onset_ns)}{lasted}\n")
    out.append(plain(f"  {incident.summary}") + "\n")
    axes = (("severity", incident.severity), ("type", incident.type), ("observability", incident.observability))
    for name, axis in axes:
        if axis is not None:
            out.append(plain(f"  {name} {axis.value}: {axis.reason}") + "\n", style="dim")
    named = incident.verdict == "cause"
    for suspect in incident.suspects[:SUSPECTS_MAX]:
        _suspect(out, suspect, named and suspect.rank == 1)
    if named and len(incident.candidate_set) > 1:
        out.append(plain(f"  90 %: one of {', '.join(incident.candidate_set)}") + "\n", style="dim")
    if incident.affected:
        out.append("  affected:\n")
        for one in incident.affected[:AFFECTED_MAX]:
            words = [*(symptom.replace("_", " ") for symptom in one.symptoms)]
            words += [f"{one.failed_share:.0%} fail"] if one.failed_share else []
            words += [f"+{one.slowdown_ms:,.0f} ms"] if one.slowdown_ms else []
            out.append(plain(f"    {one.role:<7} {one.service}: {', '.join(words)}") + "\n")
        _more(out, len(incident.affected) - AFFECTED_MAX)
    radius = incident.blast_radius
    if radius is not None:
        numbers = f"{radius.failed_requests:,} failed, {radius.slow_requests:,} slow of {radius.requests:,} requests"
        out.append(f"  hit: {numbers}\n")
    for entry in incident.timeline:
        where = f"{entry.service}: " if entry.service else ""
        out.append(plain(f"    {clock_text(entry.at_ns)}  {where}{entry.what}") + "\n", style="dim")
    if incident.coverage < 1.0:
        out.append(f"  {incident.coverage:.0%} of the called services' spans were seen\n", style="dim")
    if incident.next_probe:
        out.append(plain(f"  look next: {incident.next_probe}") + "\n", style="cyan")
    for trace_id in incident.example_trace_ids:
        out.append(plain(f"  firstfault root-cause {trace_id}") + "\n", style="cyan")
    return out


def incident_line(incident: Incident) -> Text:
    """One line of a list."""
    out = Text()
    out.append(f"{incident.status.upper():<7}", style=_STYLES.get(incident.status, ""))
    out.append(f" {plain(incident.incident_id)}  {clock_text(incident.onset_ns)}  {plain(incident.summary)}")
    return out


def _suspect(out: Text, suspect: Suspect, named: bool) -> None:
    where = _entity(suspect.entity) + (f" ({_entity(suspect.finer)})" if suspect.finer is not None else "")
    style = "bold" if named else "dim"
    out.append(f"  {suspect.rank}. {where}  {suspect.probability:.0%}  [{plain(suspect.rule)}]\n", style=style)
    for evidence in suspect.evidence[:EVIDENCE_MAX]:
        out.append(plain(f"     - {evidence.claim}") + "\n", style="" if named else "dim")


def _entity(entity: Entity) -> str:
    kind: EntityKind = entity.kind
    return plain(f"{kind} {entity.name}")


def _more(out: Text, count: int) -> None:
    if count > 0:
        out.append(f"    and {count} more\n", style="dim")


def clock_text(time_ns: int) -> str:
    """UTC, to the second; the number when the calendar does not reach there."""
    try:
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=time_ns // 1000)
    except OverflowError:
        return str(time_ns)
    return f"{moment:%Y-%m-%d %H:%M:%S}Z"


def _lasted(duration_ns: int) -> str:
    seconds = duration_ns // 1_000_000_000
    return f"{seconds // 60} min {seconds % 60} s" if seconds >= 60 else f"{seconds} s"
