"""The report of an incident: what is breaking the system, for whom, since when, and what to do.

In: an `Incident`, and the report of one of its example traces when there is one. Out: `Report`. The incident says who
and since when; patterns, location and fixture come from the example.
"""

from __future__ import annotations

from collections.abc import Sequence

from analyzer.findings import Entity
from analyzer.incident_words import Incident, Suspect
from analyzer.reports import advice
from analyzer.reports.clock_text import day, lasted, utc
from analyzer.reports.evidence import Evidences
from analyzer.reports.five_whys import Changed
from analyzer.reports.messages import Notice, messages_of
from analyzer.reports.model import (
    Cause,
    Claim,
    FiveWhys,
    Mitigation,
    Moment,
    Monitor,
    Report,
    Runbook,
    Summary,
    TestingStrategy,
    Timeline,
    Why,
)
from analyzer.reports.review import Known, review_of
from analyzer.reports.runbook import Case, runbook_of
from analyzer.version import __version__
from analyzer.words import shown

AFFECTED_MAX = 20
MOMENTS_MAX = 60
_LIKELIEST = "likeliest cause: "


def report_of_incident(
    incident: Incident,
    example: Report | None = None,
    *,
    changes: Sequence[Changed] = (),
    mitigations: Sequence[Mitigation] | None = None,
) -> Report:
    """Write the report of an incident.

    Parameters
    ----------
    incident : as it is now
    example : report of one of its example traces; None when none is kept
    changes : what was changed lately
    mitigations : what was done against it, judged; None when nobody counted calls
    """
    top = incident.suspects[0] if incident.suspects and incident.verdict == "cause" else None
    evidences = Evidences()
    mine = _evidence(evidences, incident, top)
    if example is not None:
        for item in example.evidence:
            evidences.add(
                item.source,
                item.claim,
                trace_id=item.trace_id,
                span_ids=item.span_ids,
                log_ids=item.log_ids,
                numbers=item.numbers,
                text=item.text,
            )
    title = f"{_name(top.entity)} is breaking the system" if top else "The system is failing; no cause stands out"
    if incident.status == "closed":
        title = f"{_name(top.entity)} broke the system" if top else "The system failed; no cause stood out"
    culprit = _culprit(top)
    matched = example.immediate_fix if example is not None else advice.fixes(None, [])
    fixture = example.testing.fixture if example is not None else None
    timeline = _timeline(incident, changes)
    return Report(
        subject="incident",
        subject_id=incident.incident_id,
        title=title,
        revision=incident.revision,
        engine_version=incident.engine_version or __version__,
        correlation_id=example.correlation_id if example is not None else "",
        group_id=example.group_id if example is not None else "",
        available=["the incident", *(example.available if example is not None else [])],
        missing=[] if example is not None else ["an example trace: none is kept, so no pattern, location or fixture"],
        summary=_summary(incident, mine),
        root_cause=_cause(incident, top, example, mine),
        evidence=evidences.items,
        sources=example.sources if example is not None else [],
        variables=example.variables if example is not None else [],
        frames=example.frames if example is not None else [],
        immediate_fix=matched,
        testing=TestingStrategy(
            steps=example.testing.steps if example is not None else advice.test_steps([], None),
            reproduce=example.testing.reproduce if example is not None else ["Replay the traffic of that time."],
            fixture=fixture,
            fixture_missing="" if fixture else "no example trace of the incident is kept",
        ),
        prevention=example.prevention if example is not None else advice.prevention([]),
        monitoring=_monitoring(culprit, example),
        runbook=_runbook(incident, top, culprit, title, example),
        five_whys=_whys(incident, top, example, changes),
        timeline=timeline,
        messages=messages_of(_notice(incident, top, title, example, mitigations or ())),
        review=review_of(
            Known(
                first=_first_hypothesis(incident) or "(not known: no cause was named before the last one)",
                final=top.sentence if top else "(not known: no cause was named)",
                contributing=[
                    Claim(text=suspect.sentence, level="inferred", evidence=mine, numbers={"p": suspect.probability})
                    for suspect in incident.suspects[1:3]
                ],
                time_to_detect_ns=incident.detected_ns - incident.onset_ns,
                time_to_recover_ns=incident.ended_ns - incident.onset_ns if incident.ended_ns is not None else None,
            ),
            [],
        ).model_copy(update={"actions": example.review.actions} if example is not None else {}),
        mitigations=list(mitigations or ()),
        mitigation_missing="" if mitigations else _not_judged(incident, top, mitigations),
    )


def _not_judged(incident: Incident, top: Suspect | None, mitigations: Sequence[Mitigation] | None) -> str:
    if mitigations is None:
        return "calls were not counted here"
    if top is None:
        return "nobody is blamed, so nobody's calls can show it"
    return "none was told since the onset (POST /api/v1/changes, kind rollback or mitigation), and the alarms go on"


def _culprit(top: Suspect | None) -> str:
    return (top.entity.callee or top.entity.service or top.entity.name) if top is not None else ""


def _monitoring(culprit: str, example: Report | None) -> list[Monitor]:
    """What watches the culprit of the incident; the example's expressions only where it blames the same service."""
    if example is None:
        return advice.monitors("", culprit, "error", [])
    if not culprit or example.root_cause.service == culprit:
        return example.monitoring
    said = [one for one in example.monitoring if not one.expression]
    return [*advice.monitors("", culprit, "mixed", []), *said]


def _name(entity: Entity) -> str:
    return shown(f"{entity.kind} {entity.name}")


def _evidence(evidences: Evidences, incident: Incident, top: Suspect | None) -> list[str]:
    ids: list[str] = []
    for one in top.evidence if top is not None else []:
        ids += evidences.add("incident", one.claim, span_ids=one.span_ids, numbers=one.numbers)
    radius = incident.blast_radius
    if radius is not None:
        text = (
            f"{radius.failed_requests:,} failed and {radius.slow_requests:,} slow of {radius.requests:,} requests, "
            f"{radius.services} services"
        )
        numbers = {
            "requests": radius.requests,
            "failed_requests": radius.failed_requests,
            "slow_requests": radius.slow_requests,
            "services": radius.services,
        }
        ids += evidences.add("incident", text, numbers={key: float(value) for key, value in numbers.items()})
    for trace_id in incident.example_trace_ids:
        ids += evidences.add("incident", "an ordinary bad trace of the incident", trace_id=trace_id)
    return ids


def _summary(incident: Incident, evidence: list[str]) -> Summary:
    scope = [
        Claim(
            text=f"{shown(one.service)} ({one.role}): {', '.join(word.replace('_', ' ') for word in one.symptoms)}"
            + (f", {one.failed_share:.0%} fail" if one.failed_share else "")
            + (f", {one.slowdown_ms:,.0f} ms slower" if one.slowdown_ms else ""),
            numbers={"failed_share": one.failed_share, "slowdown_ms": one.slowdown_ms},
        )
        for one in incident.affected[:AFFECTED_MAX]
    ]
    radius = incident.blast_radius
    if radius is not None and radius.entry_operations:
        scope.insert(0, Claim(text=f"entries hit: {', '.join(shown(name) for name in radius.entry_operations[:10])}"))
    when = f"since {utc(incident.onset_ns)}"
    if incident.ended_ns is not None:
        when = f"{utc(incident.onset_ns)} to {utc(incident.ended_ns)}, {lasted(incident.ended_ns - incident.onset_ns)}"
    return Summary(
        what=Claim(text=incident.summary, evidence=evidence, trace_ids=incident.example_trace_ids),
        started_ns=incident.onset_ns,
        ended_ns=incident.ended_ns,
        when=when,
        scope=scope,
        severity=_severity(incident),
    )


def _severity(incident: Incident) -> str:
    """By the share of requests that fail: nearly all critical, a twentieth high, any medium, none low."""
    radius = incident.blast_radius
    if radius is None or not radius.requests:
        return ""
    share = radius.failed_requests / radius.requests
    if share >= 0.95:
        return "critical"
    if share >= 0.05:
        return "high"
    return "medium" if radius.failed_requests or radius.slow_requests else "low"


def _cause(incident: Incident, top: Suspect | None, example: Report | None, evidence: list[str]) -> Cause:
    if top is None:
        text = incident.next_probe or "No cause stands out; look at the services that are hit first."
        return Cause(claim=Claim(text=text, level="needs people", evidence=evidence))
    inner = example.root_cause if example is not None else None
    return Cause(
        claim=Claim(text=top.sentence, evidence=evidence, numbers={"probability": top.probability}),
        entity=top.entity,
        service=_culprit(top),
        rule=top.rule,
        probability=top.probability,
        location=inner.location if inner else "",
        patterns=inner.patterns if inner else [],
        mechanism=inner.mechanism if inner else "",
        next_probe=incident.next_probe or "",
        alternatives=[
            Claim(text=other.sentence, level="inferred", numbers={"probability": other.probability})
            for other in incident.suspects[1:5]
        ],
    )


def _timeline(incident: Incident, changes: Sequence[Changed]) -> Timeline:
    moments = [
        Moment(at_ns=entry.at_ns, at=utc(entry.at_ns), what=shown(entry.what), service=shown(entry.service))
        for entry in incident.timeline
    ]
    moments += [
        Moment(at_ns=one.at_ns, at=utc(one.at_ns), what=f"change: {shown(one.what)}", service=shown(one.service))
        for one in changes
    ]
    moments.sort(key=lambda one: one.at_ns)
    return Timeline(moments=moments[:MOMENTS_MAX], left_out=max(0, len(moments) - MOMENTS_MAX))


def _runbook(incident: Incident, top: Suspect | None, culprit: str, title: str, example: Report | None) -> Runbook:
    location = example.root_cause.location if example is not None else ""
    own = runbook_of(
        Case(
            title=title,
            rule=top.rule if top else "",
            service=culprit,
            entry="",
            trace_id=incident.example_trace_ids[0].partition("@")[0] if incident.example_trace_ids else "",
            location=location,
            incident_id=incident.incident_id,
        ),
        [],
    )
    if example is None:
        return own
    asked = [step for step in own.steps if step.title == "Confirm"]
    rest = [step for step in example.runbook.steps if step.title != "Confirm"]
    steps = [step.model_copy(update={"number": number}) for number, step in enumerate([*asked, *rest], 1)]
    return example.runbook.model_copy(update={"steps": steps, "title": own.title})


def _whys(incident: Incident, top: Suspect | None, example: Report | None, changes: Sequence[Changed]) -> FiveWhys:
    if top is None:
        return FiveWhys(whys=[], ended="needs people: no cause stands out")
    radius = incident.blast_radius
    numbers = {"failed_requests": float(radius.failed_requests), "requests": float(radius.requests)} if radius else {}
    first = Why(question="Why do requests fail or take long?", because=top.sentence, level="measured", numbers=numbers)
    whys = [first]
    inner = example.five_whys if example is not None else None
    if inner is not None:
        whys += inner.whys[1:]
    known = [one for one in changes if one.at_ns <= incident.onset_ns and one.service == top.entity.service]
    if known:
        last = max(known, key=lambda one: one.at_ns)
        before = incident.onset_ns - last.at_ns
        whys.insert(
            1,
            Why(
                question="Why since then?",
                because=f"{shown(last.what)} at {utc(last.at_ns)}, {lasted(before)} before the onset; the order of "
                "time alone does not prove it",
                level="inferred",
                numbers={"at_ns": last.at_ns, "before_ns": before},
            ),
        )
    ended = inner.ended if inner is not None else "needs people: no example trace is kept to look into"
    return FiveWhys(whys=whys, ended=ended)


def _notice(
    incident: Incident,
    top: Suspect | None,
    title: str,
    example: Report | None,
    mitigations: Sequence[Mitigation],
) -> Notice:
    radius = incident.blast_radius
    share = f"{radius.failed_requests / radius.requests:.1%}" if radius is not None and radius.requests else ""
    closed = incident.ended_ns is not None
    symptoms = [incident.summary]
    if radius is not None:
        symptoms.append(f"{radius.failed_requests:,} failed and {radius.slow_requests:,} slow of {radius.requests:,}")
    last = mitigations[-1] if mitigations else None
    now = last.after_share if last is not None else None
    usual = last.before_share if last is not None else None
    gone = "alarms have been gone since the end of the incident" if closed else ""
    errors = [item.claim for item in (example.evidence if example is not None else []) if item.source == "exception"]
    return Notice(
        title=title,
        severity=_severity(incident),
        started=utc(incident.onset_ns),
        day=day(incident.onset_ns),
        about=(top.entity.service or top.entity.name) if top else "system",
        symptoms=symptoms,
        error=errors[0] if errors else "",
        cause=top.sentence if top else "",
        next_steps=[incident.next_probe] if incident.next_probe else [],
        looked_at=[f"firstfault ranks the suspects of incident {incident.incident_id}"],
        duration=lasted(incident.ended_ns - incident.onset_ns) if incident.ended_ns is not None else "",
        status_after="Mitigated" if closed else "Investigating",
        error_share=share,
        error_share_now=f"{now:.2%} of the calls of {_culprit(top)}" if now is not None else gone,
        error_share_usual=f"{usual:.2%} of the calls of {_culprit(top)}" if usual is not None else "",
        mitigation=" ".join(one.claim.text for one in mitigations),
    )


def _first_hypothesis(incident: Incident) -> str:
    return next(
        (
            shown(entry.what.removeprefix(_LIKELIEST))
            for entry in incident.timeline
            if entry.what.startswith(_LIKELIEST)
        ),
        "",
    )
