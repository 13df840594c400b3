"""Groups of errors as a few readable lines for a terminal. Text from telemetry is stripped of control characters."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict

from rich.text import Text

from analyzer.errors.group_words import ErrorGroup, Lately, SeenAs, Trend
from analyzer.errors.note_words import FrameNote, noted_frames
from analyzer.errors.rules import Replay
from analyzer.reports.frame_notes import note_head
from collector.incident_text import clock_text
from collector.json_text import steady_json
from collector.verdict_text import plain, standard_output

_STYLES = {"new": "bold red", "regressed": "bold red", "ongoing": "yellow", "resolved": "green", "ignored": "dim"}
SEEN_MAX = 6
MESSAGE_MAX = 120


class GroupPrinter:
    """Writes groups to standard output: for people, or one JSON object a line."""

    def __init__(self, as_json: bool) -> None:
        self._as_json = as_json
        self._console = standard_output(as_json)

    def show(self, groups: list[ErrorGroup]) -> None:
        """Show a line of each."""
        for group in groups:
            if self._as_json:
                sys.stdout.write(steady_json(group.model_dump_json()) + "\n")
            else:
                self._console.print(group_line(group), soft_wrap=True)
        if not groups and not self._as_json:
            self._console.print("no errors")

    def show_one(
        self, group: ErrorGroup, why: str, trend: Trend, lately: Lately, notes: Sequence[FrameNote] | None = ()
    ) -> None:
        """Show all of one."""
        if self._as_json:
            sys.stdout.write(steady_json(group.model_dump_json()) + "\n")
        else:
            self._console.print(group_text(group, why, trend, lately, notes), soft_wrap=True)


def group_line(group: ErrorGroup) -> Text:
    """One line of a list."""
    out = Text()
    out.append(f"{group.status:<10}", style=_STYLES.get(group.status, ""))
    users = f"  {group.users:,} users" if group.users else ""
    out.append(f"{plain(group.group_id)}  {clock_text(group.last_seen_ns)}  {group.count:,} times{users}  ")
    out.append(f"{plain(group.service)}: {_title(group)}")
    if group.logged_count == group.count > 0:
        out.append("  logged only", style="dim")
    if group.synthetic_count == group.count > 0:
        out.append("  synthetic only", style="dim")
    if group.spike is not None:
        spike = group.spike
        out.append(f"  SPIKE {spike.now:,} in {spike.window_s // 60} min, {spike.usual:.3g} usual", style="bold red")
    elif group.novel and group.status == "new":
        out.append("  NOVEL", style="bold red")
    return out


def group_text(
    group: ErrorGroup, why: str, trend: Trend, lately: Lately, notes: Sequence[FrameNote] | None = ()
) -> Text:
    """Write what it is, whether it is getting worse, whom and what it hits, and why it is one group."""
    out = Text()
    out.append(f"{group.status.upper():<10}", style=_STYLES.get(group.status, ""))
    out.append(f"{plain(group.group_id)}  {plain(group.service)} {plain(group.operation)}\n")
    out.append(f"  {_title(group)}\n")
    if group.location:
        out.append(plain(f"  look at {group.location}") + "\n", style="cyan")
    out.append(plain(f"  {group.status_reason}, {clock_text(group.status_ns)}") + "\n", style="dim")
    seen = f"first {clock_text(group.first_seen_ns)}, last {clock_text(group.last_seen_ns)}"
    users = f", {group.users:,} users" if group.users else ""
    logged = f", {group.logged_count:,} of them only logged, outside of any trace" if group.logged_count else ""
    checks = f", {group.synthetic_count:,} from synthetic checks or bots" if group.synthetic_count else ""
    out.append(f"  {group.count:,} times{users}{logged}{checks}; {seen}\n")
    if group.spike is not None:
        since = clock_text(group.spike.since_ns)
        out.append(plain(f"  spike since {since}: {group.spike.sentence}") + "\n", style="bold red")
    if group.novel:
        out.append(plain(f"  novel: {group.novel_reason}") + "\n")
    out.append(plain(f"  {trend.direction.replace('_', ' ')}: {trend.reason}") + "\n")
    if lately.state in ("drop", "no_data"):
        out.append(plain(f"  {lately.state.replace('_', ' ')}: {lately.sentence}") + "\n", style="green")
    for name, judgement in (("severity", group.severity), ("type", group.kind), ("observability", group.observability)):
        if judgement is not None:
            out.append(plain(f"  {name} {judgement.value}: {judgement.reason}") + "\n")
    for name, found in (("services", group.services), ("versions", group.versions), ("hosts", group.hosts)):
        if found:
            out.append(f"  {name}: {_seen(found)}\n")
    out.append(plain(f"  one group because: {why}") + "\n", style="dim")
    if notes is None:
        out.append("  notes at frames cannot be read now\n", style="dim")
    for frame in noted_frames(group, notes) if notes else ():
        out.append(plain(f"  at {frame.frame}") + "\n")
        for note in frame.notes:
            out.append(plain(f"    {note_head(note)}") + "\n", style="dim")
            for line in note.text.split("\n"):
                out.append(plain(f"      {line}") + "\n")
    for other in group.merge_with:
        out.append(plain(f"  like group {other}: same heart, like message") + "\n", style="dim")
    for trace_id in group.example_trace_ids[-3:]:
        out.append(plain(f"  firstfault root-cause {trace_id}") + "\n", style="cyan")
    return out


def replay_text(found: Replay, rules: list[str]) -> str:
    """Say what rules would change, for people."""
    lines = [f"{found.facts:,} errors, {found.moved_facts:,} would be in another group"]
    lines += [f"merge  {group}: {', '.join(parts)}" for group, parts in found.merged.items()]
    lines += [f"split  {group}: {', '.join(parts)}" for group, parts in found.split.items()]
    lines += [f"ignore {group}: {count:,} errors" for group, count in found.ignored.items()]
    if found.left_out:
        lines.append(f"... and {found.left_out:,} more changes")
    lines += [f"rule {name}: {found.used.get(name, 0):,} errors" for name in rules]
    return "".join(plain(line) + "\n" for line in lines)


def replay_json(found: Replay) -> str:
    """The same as one line of JSON."""
    return json.dumps(asdict(found)) + "\n"


def _title(group: ErrorGroup) -> str:
    words = ": ".join(word for word in (group.type, group.message) if word) or group.operation or "failed"
    shown = plain(words[: MESSAGE_MAX + 1])
    return shown if len(shown) <= MESSAGE_MAX else shown[: MESSAGE_MAX - 3] + "..."


def _seen(found: list[SeenAs]) -> str:
    words = [f"{plain(one.name)} ({one.count:,})" for one in found[:SEEN_MAX]]
    more = [f"and {len(found) - SEEN_MAX} more"] if len(found) > SEEN_MAX else []
    return ", ".join(words + more)
