"""A report as one HTML page: self-contained, no script, nothing fetched; light and dark; prints well.

In: `Report` and drawings made by `waterfall_svg` and `graph_svg`. Out: text, verdict first. Everything that is not ours
is escaped. The one style element is named by its hash in `CONTENT_SECURITY_POLICY`; there is no inline style.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterable

from analyzer.graph_text import visible_lines
from analyzer.reports.advice import lasted_or_unknown
from analyzer.reports.excerpt_text import changed_by, numbered
from analyzer.reports.frame_notes import note_head, shown_frames
from analyzer.reports.hand_words import by_hand_words, newer_words
from analyzer.reports.html_style import STYLE
from analyzer.reports.model import Claim, FrameAt, Report, RunbookStep
from analyzer.reports.svg import text_of as text

_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
CONTENT_SECURITY_POLICY = f"default-src 'none'; style-src 'sha256-{_HASH}'; base-uri 'none'; form-action 'none'"
SPANS_SHOWN = 4
_TICKED = re.compile(r"`([^`<>]{1,200})`")


def to_html(report: Report, *, waterfall: str = "", graph: str = "") -> str:
    """Write a report.

    Parameters
    ----------
    waterfall, graph : SVG of our own drawings; taken as they are
    """
    parts = [_verdict(report), _whys(report)]
    example = "" if report.subject == "trace" else " of an example trace"
    if waterfall:
        parts.append(_section(f"Waterfall{example}", f'<div class="wide">{waterfall}</div>'))
    if graph:
        parts.append(_section(f"Services{example}", f'<div class="wide">{graph}</div>'))
    parts += [
        _evidence(report),
        _sources(report),
        _variables(report),
        _notes(report),
        _fix(report),
        _testing(report),
        _section("Prevention", _list(report.prevention)),
        _monitoring(report),
        _runbook(report),
        _timeline(report),
        _mitigations(report),
        _section(
            "Messages",
            f"<p>Channel: {_code(report.messages.channel)}</p><h3>First message</h3>{_pre(report.messages.initial)}"
            f"<h3>Mitigation</h3>{_pre(report.messages.mitigation)}",
        ),
        _review(report),
        _section(
            "What was there to look at",
            _list([f"there: {one}" for one in report.available] + [f"missing: {one}" for one in report.missing]),
        ),
    ]
    title = text(report.title)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{text(CONTENT_SECURITY_POLICY)}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="referrer" content="no-referrer">\n<meta name="color-scheme" content="light dark">\n'
        f"<title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n{''.join(parts)}\n"
        f"<footer>firstfault {text(report.engine_version)}, {report.subject} {text(report.subject_id)}, "
        f"revision {report.revision}</footer>\n</main>\n</body>\n</html>\n"
    )


def text_lines(lines: str) -> str:
    """Text of several lines, each escaped."""
    return "\n".join(text(line) for line in visible_lines(lines).split("\n"))


def _section(title: str, inner: str) -> str:
    return f"<section>\n<h2>{text(title)}</h2>\n{inner}\n</section>\n"


def _list(lines: Iterable[str]) -> str:
    """Lines of advice; what stands between ticks is code."""
    return _list_of(_TICKED.sub(r"<code>\1</code>", text(line)) for line in lines)


def _list_of(items: Iterable[str]) -> str:
    return "<ul>" + "".join(f"<li>{item}</li>" for item in items) + "</ul>"


def _claim(claim: Claim) -> str:
    told = "".join(f' <a href="#{text(one)}">{text(one)}</a>' for one in claim.evidence)
    return text(claim.text) + _level(claim.level) + (f'<span class="refs">{told}</span>' if told else "")


def _level(level: str) -> str:
    return "" if level == "measured" else f' <span class="tag {level.replace(" ", "-")}">{text(level)}</span>'


def _code(words: str) -> str:
    return f"<code>{text(words)}</code>"


def _pre(lines: str) -> str:
    return f"<pre>{text_lines(lines)}</pre>"


def _verdict(report: Report) -> str:
    summary, cause = report.summary, report.root_cause
    marks = [("severity", summary.severity), ("type", summary.type), ("seen", summary.observability)]
    tags = "".join(
        f'<span class="tag {name} {text(value)}">{name} {text(value.replace("_", " "))}</span>'
        for name, value in marks
        if value
    )
    rows = []
    if cause.entity is not None:
        rows.append(("Culprit", f"{text(cause.entity.kind)} <strong>{text(cause.entity.name)}</strong>"))
    if cause.probability is not None:
        rows.append(("Probability", f"{cause.probability:.0%}"))
    if cause.rule:
        rows.append(("Rule", _code(cause.rule)))
    if cause.location:
        rows.append(("Look at", _code(cause.location)))
    rows.append(("When", text(summary.when)))
    rows += [("Scope", _claim(one)) for one in summary.scope[:1]]
    table = "".join(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in rows)
    more = _list_of(_claim(one) for one in summary.scope[1:])
    first = next(iter(report.immediate_fix), None)
    now = f'<p class="now"><strong>Do now:</strong> {text(first.action)}</p>' if first is not None else ""
    mechanism = f"<p>{text(cause.mechanism)}</p>" if cause.mechanism else ""
    if cause.next_probe:
        mechanism += f"<p><strong>Look next:</strong> {text(cause.next_probe)}</p>"
    other = ""
    if cause.alternatives:
        other += f"<h3>Also possible</h3>{_list_of(_claim(one) for one in cause.alternatives)}"
    if cause.refuted:
        other += f"<h3>Considered, and not it</h3>{_list_of(_claim(one) for one in cause.refuted)}"
    details = f"<details><summary>Other suspects</summary>{other}</details>" if other else ""
    said = "" if cause.claim.text == summary.what.text else f"<p>{_claim(cause.claim)}</p>"
    return (
        f'<header><p class="kind">{report.subject} {_code(report.subject_id)}</p><h1>{text(report.title)}</h1>'
        f'<p class="tags">{tags}</p></header>\n<section class="verdict">\n<h2>Summary and root cause</h2>'
        f'<p class="lead">{_claim(summary.what)}</p>{said}<dl>{table}</dl>{more if summary.scope[1:] else ""}'
        f"{mechanism}{now}{details}\n</section>\n"
    )


def _whys(report: Report) -> str:
    items = "".join(
        f'<li><p class="ask">{text(why.question)}</p><p>{text(why.because)}'
        f'<span class="tag {why.level.replace(" ", "-")}">{why.level}</span></p></li>'
        for why in report.five_whys.whys
    )
    last = report.five_whys.whys[-1].because if report.five_whys.whys else ""
    ended = "" if report.five_whys.ended == last else f'<p class="dim">{text(report.five_whys.ended)}.</p>'
    return _section("Five whys", f'<ol class="whys">{items}</ol>{ended}')


def _evidence(report: Report) -> str:
    rows = []
    for item in report.evidence:
        ids = [_code(item.trace_id)] if item.trace_id and item.trace_id != report.subject_id else []
        ids += [_code(span_id) for span_id in item.span_ids[:SPANS_SHOWN]]
        more = len(item.span_ids) - SPANS_SHOWN
        where = " ".join(ids) + (f" and {more} more" if more > 0 else "")
        stack = f"<details><summary>as it came</summary>{_pre(item.text)}</details>" if item.text else ""
        rows.append(
            f'<tr id="{text(item.id)}"><th>{text(item.id)}</th><td>{text(item.source)}</td>'
            f"<td>{text(item.claim)}{stack}</td><td>{where}</td></tr>"
        )
    if not rows:
        return _section("Evidence", "<p>None was recorded.</p>")
    head = "<thead><tr><th>id</th><th>from</th><th>claim</th><th>spans</th></tr></thead>"
    return _section("Evidence", f'<div class="wide"><table>{head}<tbody>{"".join(rows)}</tbody></table></div>')


def _sources(report: Report) -> str:
    parts = []
    for one in report.sources:
        place = _code(f"{one.path}:{one.line}" if one.lines else one.location)
        function = f" in {_code(one.function)}" if one.function else ""
        why = f": {text(one.missing)}" if one.missing else ""
        lines = _pre(numbered(one)) + _list(changed_by(one)) if one.lines else ""
        parts.append(f"<p>{place}{function}{why}</p>{lines}")
    return _section("Source", "".join(parts)) if parts else ""


def _variables(report: Report) -> str:
    parts = []
    for one in report.variables:
        function = f" in {_code(one.function)}" if one.function else ""
        more = f"; {one.left_out:,} more were left out" if one.left_out else ""
        lines = "\n".join(f"{pair.name} = {pair.value}" for pair in one.variables)
        parts.append(f"<p>{_code(one.location)}{function}{more}</p>{_pre(lines)}")
    return _section("Local variables", "".join(parts)) if parts else ""


def _notes(report: Report) -> str:
    frames = shown_frames(report)
    return _section("Notes at frames", f'<ol class="frames">{"".join(map(_frame, frames))}</ol>') if frames else ""


def _frame(one: FrameAt) -> str:
    where = "not in this stack" if one.absent else one.location
    place = f' <span class="dim">{text(where)}</span>' if where else ""
    notes = "".join(
        f'<div class="note"><p class="dim">{text(note_head(note))}</p>'
        f"<p>{'<br>'.join(text(line) for line in note.text.split(chr(10)))}</p></div>"
        for note in one.notes
    )
    return f"<li>{_code(one.frame)}{place}{notes}</li>"


def _fix(report: Report) -> str:
    items = []
    for fix in report.immediate_fix:
        at = f" at {_code(fix.location)}" if fix.location else ""
        words = f"confidence {fix.confidence:.0%}, effect {fix.effect}, effort {fix.effort}"
        pattern = f", pattern {_code(fix.pattern)}" if fix.pattern else ""
        patch = _pre(fix.patch) if fix.patch else ""
        items.append(f'{text(fix.action)}{at}<br><span class="dim">{words}{pattern}</span>{patch}')
    return _section("Immediate fix", _list_of(items))


def _testing(report: Report) -> str:
    testing = report.testing
    inner = _list(testing.steps) + "<h3>Reproduce</h3>" + _list(testing.reproduce)
    fixture = testing.fixture
    if fixture is None:
        return _section("Testing strategy", inner + f"<p>No regression fixture: {text(testing.fixture_missing)}.</p>")
    expects = fixture.expects
    body = json.dumps(fixture.otlp, ensure_ascii=True, separators=(",", ":"))
    inner += (
        f"<h3>Regression fixture</h3><p>{fixture.span_count} spans; expected: status {text(expects.status)}, verdict "
        f"{text(expects.verdict)}, rule {_code(expects.rule or 'none')}, origin {_code(expects.origin_span_id)}.</p>"
        f"{_list(fixture.dropped)}<details><summary>fixture.json</summary>{_pre(body)}</details>"
    )
    return _section("Testing strategy", inner)


def _monitoring(report: Report) -> str:
    return _section(
        "Monitoring",
        _list_of(
            f"<strong>{text(one.name)}</strong>: {text(one.why)}" + (_pre(one.expression) if one.expression else "")
            for one in report.monitoring
        ),
    )


def _runbook(report: Report) -> str:
    runbook = report.runbook
    steps = "".join(
        f"<li><strong>{text(step.title)}.</strong>{_hand(step)} "
        + "<br>".join(text(line) for line in step.text.split("\n"))
        + "".join(_pre(command) for command in step.commands)
        + _newer(step)
        + "</li>"
        for step in runbook.steps
    )
    about = f'<p class="dim">{_code(runbook.runbook_id)}, version {_code(runbook.version)}</p>'
    return _section("Runbook", f'{about}<ol class="steps">{steps}</ol>')


def _hand(step: RunbookStep) -> str:
    return f' <span class="tag">{text(by_hand_words(step.by_hand))}</span>' if step.by_hand is not None else ""


def _newer(step: RunbookStep) -> str:
    """What is generated now beside an edit that stood in the place of something else."""
    if step.by_hand is None or not step.by_hand.newer:
        return ""
    commands = "".join(_pre(command) for command in step.by_hand.commands)
    inner = f"<p>{text(step.by_hand.text)}</p>{commands}" if step.by_hand.text else ""
    return f"<details><summary>{text(newer_words(step.by_hand))}</summary>{inner}</details>"


def _timeline(report: Report) -> str:
    rows = "".join(
        f"<tr><td>{text(one.at)}</td><td>{text(one.service)}</td><td>{text(one.what)}"
        + (f' <span class="dim">(clock moved by {one.corrected_ns / 1e6:+.3g} ms)</span>' if one.corrected_ns else "")
        + "</td></tr>"
        for one in report.timeline.moments
    )
    notes = _list(report.timeline.warnings) if report.timeline.warnings else ""
    left = f"<p>{report.timeline.left_out} later moments are left out.</p>" if report.timeline.left_out else ""
    return _section(
        "Timeline", f'<div class="wide"><table class="times"><tbody>{rows}</tbody></table></div>{notes}{left}'
    )


def _mitigations(report: Report) -> str:
    if report.subject != "incident":
        return ""
    told = [f"<strong>{text(one.verdict)}</strong>: {_claim(one.claim)}" for one in report.mitigations]
    return _section("Did the mitigation work?", _list_of(told or [f"Not known: {text(report.mitigation_missing)}."]))


def _review(report: Report) -> str:
    review, actions = report.review, report.review.actions
    known = [
        ("First hypothesis", text(review.first_hypothesis)),
        ("Final hypothesis", text(review.final_hypothesis)),
        ("Time to detect", text(_known(review.time_to_detect_ns))),
        ("Time to recover", text(_known(review.time_to_recover_ns))),
    ]
    inner = "<dl>" + "".join(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in known) + "</dl>"
    if review.contributing:
        inner += "<h3>Contributing factors</h3>" + _list_of(_claim(one) for one in review.contributing)
    heads = (
        ("Prevent", actions.prevent),
        ("Detect", actions.detect),
        ("Mitigate", actions.mitigate),
        ("Communicate", actions.communicate),
        ("To ask", review.questions),
    )
    inner += "".join(f"<h3>{name}</h3>{_list(items)}" for name, items in heads)
    return _section(f"Review draft ({review.due})", inner)


def _known(duration_ns: int | None) -> str:
    return lasted_or_unknown(duration_ns) if duration_ns is not None else "(not known)"
