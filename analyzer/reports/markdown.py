"""A report as Markdown. All text is escaped: telemetry makes no link, heading, image or HTML, and calls nobody.

In: `Report`. Out: text, verdict first. Stack traces and commands stand in fences longer than any in them.
"""

from __future__ import annotations

import json
import re

from analyzer.graph_text import visible, visible_lines
from analyzer.reports.advice import lasted_or_unknown
from analyzer.reports.chat_text import calls_nobody
from analyzer.reports.excerpt_text import changed_by, numbered
from analyzer.reports.frame_notes import note_head, shown_frames
from analyzer.reports.hand_words import by_hand_words, newer_words
from analyzer.reports.model import Claim, Report, RunbookStep
from analyzer.words import shown

# What Markdown (CommonMark, GitHub) reads as markup anywhere in a line, and HTML.
_MARKUP = re.compile(r"([\\`*_{}\[\]<>()#+!|~&@:])")
_NOT_ESCAPED = {"(", ")", ":", "+", "#", "!", "@", "{", "}"}
_TICKS = re.compile(r"`+")
_SCHEME = re.compile(r"\b(https?|ftp|www)(:|\.)", re.IGNORECASE)


def escaped(text: str) -> str:
    """Text that shows as itself: on one line, no markup, no link made of an address, nobody called, nothing unseen."""
    plain = calls_nobody(visible(" ".join(text.split())))
    plain = _MARKUP.sub(lambda found: found[1] if found[1] in _NOT_ESCAPED else f"\\{found[1]}", plain)
    plain = _SCHEME.sub(lambda found: f"{found[1]}\\{found[2]}", plain)
    return re.sub(r"^([-+#=]|\d+[.)])", lambda found: f"\\{found[1]}", plain)


def fenced(text: str, language: str = "text") -> str:
    """A block of code; its fence is longer than any run of ticks in it."""
    longest = max((len(run) for run in _TICKS.findall(text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{visible_lines(text).rstrip()}\n{fence}"


def to_markdown(report: Report, *, with_fixture: bool = True) -> str:
    """Write a report."""
    parts = [f"# {escaped(report.title)}", _head(report)]
    parts += _verdict(report)
    parts += _evidence(report)
    parts += _sources(report)
    parts += _variables(report)
    parts += _notes(report)
    parts += _advice(report, with_fixture)
    parts += _runbook(report)
    parts += _whys(report)
    parts += _timeline(report)
    parts += _mitigations(report)
    parts += [
        "## Messages",
        f"Channel: `{report.messages.channel}`",
        "### First message",
        fenced(report.messages.initial),
    ]
    parts += ["### Mitigation", fenced(report.messages.mitigation)]
    parts += _review(report)
    parts += ["## What was there to look at", _bullets([f"there: {one}" for one in report.available])]
    parts += [_bullets([f"missing: {one}" for one in report.missing])] if report.missing else []
    return "\n\n".join(part for part in parts if part) + "\n"


def _head(report: Report) -> str:
    summary = report.summary
    words = [f"{report.subject} `{report.subject_id}`", f"revision {report.revision}"]
    axes = (("severity", summary.severity), ("type", summary.type), ("seen", summary.observability))
    words += [f"{name} **{escaped(value)}**" for name, value in axes if value]
    return ", ".join(words)


def _verdict(report: Report) -> list[str]:
    summary, cause = report.summary, report.root_cause
    parts = ["## Summary", _claim(summary.what), f"When: {escaped(summary.when)}"]
    parts.append(_bullets_raw([_claim(one) for one in summary.scope]))
    parts += ["## Root cause", _claim(cause.claim)]
    facts = []
    if cause.entity is not None:
        facts.append(f"culprit: {cause.entity.kind} **{escaped(cause.entity.name)}**")
    if cause.rule:
        facts.append(f"rule `{cause.rule}`")
    if cause.probability is not None:
        facts.append(f"probability {cause.probability:.0%}")
    if cause.location:
        facts.append(f"look at `{_code(cause.location)}`")
    parts.append(_bullets_raw(facts))
    if cause.mechanism:
        parts.append(f"What it usually is: {escaped(cause.mechanism)}")
    if cause.next_probe:
        parts.append(f"Look next: {escaped(cause.next_probe)}")
    if cause.alternatives:
        parts += ["Also possible:", _bullets_raw([_claim(one) for one in cause.alternatives])]
    if cause.refuted:
        parts += ["Considered, and not it:", _bullets_raw([_claim(one) for one in cause.refuted])]
    return parts


def _evidence(report: Report) -> list[str]:
    parts = ["## Evidence"]
    if not report.evidence:
        return [*parts, "None was recorded."]
    for item in report.evidence:
        ids = [f"trace `{item.trace_id}`"] if item.trace_id else []
        ids += [f"span `{span_id}`" for span_id in item.span_ids[:5]]
        more = f" and {len(item.span_ids) - 5} more" if len(item.span_ids) > 5 else ""
        parts.append(f"- **{item.id}** ({item.source}) {escaped(item.claim)} {', '.join(ids)}{more}".rstrip())
        if item.text:
            parts.append(fenced(item.text))
    return parts


def _sources(report: Report) -> list[str]:
    parts = ["## Source"] if report.sources else []
    for one in report.sources:
        function = f" in `{_code(one.function)}`" if one.function else ""
        place = f"{one.path}:{one.line}" if one.lines else one.location
        parts.append(f"- `{_code(place)}`{function}" + (f": {escaped(one.missing)}" if one.missing else ""))
        if one.lines:
            parts += [fenced(numbered(one)), _bullets(changed_by(one))]
    return parts


def _variables(report: Report) -> list[str]:
    parts = ["## Local variables"] if report.variables else []
    for one in report.variables:
        function = f" in `{_code(one.function)}`" if one.function else ""
        more = f"; {one.left_out:,} more were left out" if one.left_out else ""
        parts.append(f"- `{_code(one.location)}`{function}{more}")
        parts.append(fenced("\n".join(f"{shown(pair.name)} = {shown(pair.value)}" for pair in one.variables)))
    return parts


def _notes(report: Report) -> list[str]:
    lines = []
    for one in shown_frames(report):
        place = f" at `{_code(one.location)}`" if one.location else ""
        lines.append(f"- `{_code(one.frame)}`{place}" + ("; not in this stack" if one.absent else ""))
        for note in one.notes:
            said = "  \n    ".join(escaped(line) for line in note.text.split("\n") if line.strip())
            lines.append(f"  - *{escaped(note_head(note))}*: {said}")
    return ["## Notes at frames", "\n".join(lines)] if lines else []


def _advice(report: Report, with_fixture: bool) -> list[str]:
    parts = ["## Immediate fix"]
    for fix in report.immediate_fix:
        at = f" at `{_code(fix.location)}`" if fix.location else ""
        pattern = f" (pattern `{fix.pattern}`)" if fix.pattern else ""
        parts.append(f"- {escaped(fix.action)}{at}{pattern} Confidence {fix.confidence:.0%}, effect {fix.effect}, ")
        parts[-1] += f"effort {fix.effort}."
        if fix.patch:
            parts.append(fenced(fix.patch, "diff"))
    testing = report.testing
    parts += ["## Testing strategy", _bullets(testing.steps), "Reproduce:", _bullets(testing.reproduce)]
    if testing.fixture is None:
        parts.append(f"No regression fixture: {escaped(testing.fixture_missing)}.")
    else:
        expects = testing.fixture.expects
        parts.append(
            f"Regression fixture ({testing.fixture.span_count} spans): expected status {expects.status}, verdict "
            f"{expects.verdict}, rule `{expects.rule or 'none'}`, origin span `{expects.origin_span_id or 'none'}`."
        )
        parts.append(_bullets(testing.fixture.dropped))
        if with_fixture:
            body = fenced(json.dumps(testing.fixture.otlp, ensure_ascii=True, separators=(",", ":")), "json")
            parts.append(f"<details><summary>fixture.json</summary>\n\n{body}\n\n</details>")
    parts += ["## Prevention", _bullets(report.prevention), "## Monitoring"]
    for monitor in report.monitoring:
        parts.append(f"- **{escaped(monitor.name)}**: {escaped(monitor.why)}")
        if monitor.expression:
            parts.append(fenced(monitor.expression, "promql"))
    return parts


def _runbook(report: Report) -> list[str]:
    runbook = report.runbook
    parts = [f"## {escaped(runbook.title)}", f"Id `{runbook.runbook_id}`, version `{runbook.version}`"]
    for step in runbook.steps:
        lines = [escaped(line) for line in step.text.split("\n") if line.strip()]
        parts.append(f"{step.number}. **{escaped(step.title)}**{_hand(step)}: " + "  \n   ".join(lines))
        if step.commands:
            parts.append(fenced("\n".join(step.commands), "sh"))
        if step.by_hand is not None and step.by_hand.newer:
            parts.append(
                f"> {newer_words(step.by_hand)}" + (f" {escaped(step.by_hand.text)}" * bool(step.by_hand.text))
            )
    return parts


def _hand(step: RunbookStep) -> str:
    return f" *({by_hand_words(step.by_hand)})*" if step.by_hand is not None else ""


def _whys(report: Report) -> list[str]:
    parts = ["## Five whys"]
    for number, why in enumerate(report.five_whys.whys, 1):
        ids = ", ".join(f"`{span_id}`" for span_id in why.span_ids[:3])
        parts.append(
            f"{number}. {escaped(why.question)}  \n   {escaped(why.because)} *[{why.level}]*"
            + (f" {ids}" if ids else "")
        )
    return [*parts, f"Ended: {escaped(report.five_whys.ended)}."]


def _timeline(report: Report) -> list[str]:
    rows = ["| time | service | what |", "|---|---|---|"]
    for moment in report.timeline.moments:
        moved = f" (clock moved by {moment.corrected_ns / 1e6:+.3g} ms)" if moment.corrected_ns else ""
        what = escaped(moment.what).replace("|", "\\|")
        rows.append(f"| {moment.at} | {escaped(moment.service)} | {what}{moved} |")
    parts = ["## Timeline", "\n".join(rows) if report.timeline.moments else "Nothing with a time is known."]
    parts += [_bullets([f"note: {one}" for one in report.timeline.warnings])] if report.timeline.warnings else []
    if report.timeline.left_out:
        parts.append(f"{report.timeline.left_out} later moments are left out.")
    return parts


def _mitigations(report: Report) -> list[str]:
    if report.subject != "incident":
        return []
    told = [f"**{one.verdict}**: {_claim(one.claim)}" for one in report.mitigations]
    told = told or [f"Not known: {escaped(report.mitigation_missing)}."]
    return ["## Did the mitigation work?", _bullets_raw(told)]


def _review(report: Report) -> list[str]:
    review, actions = report.review, report.review.actions
    parts = [
        f"## Review draft ({review.due})",
        _bullets(
            [
                f"first hypothesis: {review.first_hypothesis}",
                f"final hypothesis: {review.final_hypothesis}",
                f"time to detect: {_known(review.time_to_detect_ns)}",
                f"time to recover: {_known(review.time_to_recover_ns)}",
            ]
        ),
    ]
    if review.contributing:
        parts += ["Contributing factors:", _bullets_raw([_claim(one) for one in review.contributing])]
    for name, items in (
        ("Prevent", actions.prevent),
        ("Detect", actions.detect),
        ("Mitigate", actions.mitigate),
        ("Communicate", actions.communicate),
    ):
        parts += [f"### {name}", _bullets(items)]
    return [*parts, "### To ask", _bullets(review.questions)]


def _known(duration_ns: int | None) -> str:
    return lasted_or_unknown(duration_ns) if duration_ns is not None else "(not known)"


def _claim(claim: Claim) -> str:
    told = f" [{', '.join(claim.evidence)}]" if claim.evidence else ""
    mark = "" if claim.level == "measured" else f" *({claim.level})*"
    return f"{escaped(claim.text)}{mark}{told}"


def _code(text: str) -> str:
    return shown(text).replace("`", "'")


def _bullets(lines: list[str]) -> str:
    return _bullets_raw([escaped(line) for line in lines])


def _bullets_raw(lines: list[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)
