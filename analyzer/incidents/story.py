"""An incident in words: what is breaking, since when, for whom, why we think so.

In: a `Case` and the traces around it. Out: `Incident`. Names come from telemetry and are made safe to show here.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from analyzer.errors.change_requests import judge_deployments
from analyzer.errors.change_words import Change
from analyzer.incident_config import IncidentConfig
from analyzer.incident_words import Affected, Incident, Symptom, TimelineEntry
from analyzer.incidents.case import Case
from analyzer.incidents.entries import EntryCounts
from analyzer.incidents.examples import example_traces
from analyzer.incidents.facts import join_facts
from analyzer.incidents.impact import blast_radius, service_changes
from analyzer.incidents.recent import Sample
from analyzer.incidents.taxonomy import judged
from analyzer.spans import MISSING_SERVICE, Vocabulary
from analyzer.version import __version__
from analyzer.words import shown

SUSPECTS_MAX = 10
AFFECTED_MAX = 64
TIMELINE_MAX = 64
VERSIONS_MAX = 8
NAMED_MAX = 3  # services or operations in the summary
SECOND_NS = 1_000_000_000
_SAID: dict[str, str] = {
    "errors": "errors",
    "latency": "slow answers",
    "traffic_up": "more traffic than usual",
    "traffic_down": "less traffic than usual",
    "silence": "no answers at all",
    "structure": "calls out of the usual",
}


def look_around(
    case: Case,
    reference: Sample,
    window: Sample,
    entries: EntryCounts,
    vocabulary: Vocabulary,
    config: IncidentConfig,
    now_ns: int,
    told: Sequence[Change] = (),
) -> None:
    """Note into the case who suffers, what happened in the spans, and which traces show it.

    `told` are changes that somebody told of, around the time of the incident.
    """
    causes = cause_services(case)
    changes = service_changes(reference, window, vocabulary) if reference.facts.trace_count else {}
    symptoms: dict[str, list[Symptom]] = {}
    for trouble in case.troubles:
        symptoms.setdefault(shown(trouble.service) or MISSING_SERVICE, []).append(trouble.symptom)
    for change in changes.values():
        symptoms.setdefault(change.service, []).extend(change.symptoms)
    affected = [
        Affected(
            service=service,
            symptoms=sorted(set(found)),
            role="cause" if service in causes else "victim",
            failed_share=changes[service].failed_share if service in changes else 0.0,
            slowdown_ms=changes[service].slowdown_ms if service in changes else 0.0,
        )
        for service, found in symptoms.items()
    ]
    affected.sort(key=lambda one: (one.role != "cause", -one.failed_share, -one.slowdown_ms, one.service))
    case.affected = affected[:AFFECTED_MAX]
    ends_ns = case.onset_ns - int(config.reference_gap_s * SECOND_NS)
    before = entries.between(ends_ns - config.reference_minutes * 60 * SECOND_NS, ends_ns)
    case.blast_radius = blast_radius(before, entries.between(case.onset_ns, now_ns), len(affected), vocabulary)
    ids = {index for index in np.unique(window.facts.service).tolist() if vocabulary.strings.text(index) in causes}
    case.example_trace_ids = example_traces(window, ids, vocabulary.resources) or case.example_trace_ids
    case.happened = [
        *_first_errors(window, vocabulary, causes),
        *_new_versions(reference, window, vocabulary),
        *_told(told),
        *_effects_of_changes(reference, window, vocabulary, told),
    ]


def cause_services(case: Case) -> set[str]:
    """Services of the named causes; empty while none is named."""
    if case.why_not:
        return set()
    named = set(case.roots) or {case.cause}
    found = set()
    for suspect in case.suspects:
        if suspect.rank == 1 or suspect.entity.name in named:
            entity = suspect.entity
            found |= {entity.callee or entity.service or entity.name}
    return found


def tell(case: Case, now_ns: int) -> Incident:
    """Write an incident."""
    named = bool(case.cause) and not case.why_not
    incident = Incident(
        incident_id=case.incident_id,
        status=case.status,
        verdict="cause" if named else "insufficient_evidence",
        summary=_summary(case, named),
        onset_ns=case.onset_ns,
        detected_ns=case.detected_ns,
        ended_ns=case.ended_ns,
        updated_ns=now_ns,
        suspects=case.suspects[:SUSPECTS_MAX],
        candidate_set=case.candidate_set,
        roots=case.roots if named else [],
        affected=case.affected or _by_alarms(case),
        blast_radius=case.blast_radius,
        timeline=_timeline(case),
        example_trace_ids=case.example_trace_ids,
        coverage=case.coverage,
        next_probe=case.next_probe or (None if named else _probe(case)),
        revision=case.revision,
        engine_version=__version__,
    )
    return judged(incident)


def _by_alarms(case: Case) -> list[Affected]:
    """Who suffers, before the spans were looked at."""
    symptoms: dict[str, set[Symptom]] = {}
    for trouble in case.troubles:
        symptoms.setdefault(shown(trouble.service) or MISSING_SERVICE, set()).add(trouble.symptom)
    services = sorted(symptoms.items())[:AFFECTED_MAX]
    return [Affected(service=one, symptoms=sorted(found), role="victim") for one, found in services]


def _summary(case: Case, named: bool) -> str:
    if case.merged_into:
        return f"It has the cause of incident {case.merged_into} and goes on there."
    if named and len(case.roots) > 1:
        what = f"{len(case.roots)} independent causes: {_listed([shown(root) for root in case.roots])}. "
        what += case.suspects[0].sentence
    elif named:
        what = case.suspects[0].sentence or f"{shown(case.cause)} is the likeliest cause."
    else:
        seen = sorted({shown(trouble.service) or MISSING_SERVICE for trouble in case.troubles})
        kinds = sorted({_SAID[trouble.symptom] for trouble in case.troubles})
        why = case.why_not or "it was not looked into yet"
        what = f"{_listed(seen)}: {_listed(kinds)}. The cause cannot be told: {why}."
    radius = case.blast_radius
    if radius is not None:
        bad = [f"{radius.failed_requests} failed"] if radius.failed_requests else []
        bad += [f"{radius.slow_requests} were slow"] if radius.slow_requests else []
        hit = _listed(radius.entry_operations)
        what += f" Of {radius.requests} requests to {hit} {' and '.join(bad)}."
    return what


def _listed(names: list[str]) -> str:
    more = len(names) - NAMED_MAX
    return ", ".join(names[:NAMED_MAX]) + (f" and {more} more" if more > 0 else "")


def _probe(case: Case) -> str:
    services = sorted({shown(trouble.service) or MISSING_SERVICE for trouble in case.troubles})
    return f"look at {_listed(services)} directly: logs, recent changes, and whether their spans still come in"


def _timeline(case: Case) -> list[TimelineEntry]:
    """What happened, in order of time: nothing here is an explanation."""
    begun: dict[str, tuple[int, str]] = {}
    for trouble in case.troubles:
        service = shown(trouble.service) or MISSING_SERVICE
        where = f" on calls to {shown(trouble.callee)}" if trouble.callee else ""
        entry = trouble.onset_ns, f"{_SAID[trouble.symptom]}{where} began"
        begun[service] = min(begun.get(service, entry), entry)
    found = [TimelineEntry(at_ns=at, what=what, service=service) for service, (at, what) in begun.items()]
    found += case.happened
    found.append(TimelineEntry(at_ns=case.detected_ns, what="the incident was detected"))
    for place, turn in enumerate(case.turns):
        if turn.cause:
            word = "the likeliest cause is now" if any(one.cause for one in case.turns[:place]) else "likeliest cause:"
            found.append(TimelineEntry(at_ns=turn.at_ns, what=f"{word} {shown(turn.cause)}"))
        else:
            found.append(TimelineEntry(at_ns=turn.at_ns, what="no cause stands out any more"))
    if case.ended_ns is not None:
        what = "it was merged into an older incident" if case.merged_into else "the last symptom was gone"
        found.append(TimelineEntry(at_ns=case.ended_ns, what=what))
    if len(found) > TIMELINE_MAX:  # services leave, turns and ends stay
        found = found[len(found) - TIMELINE_MAX :]
    return sorted(found, key=lambda entry: entry.at_ns)


def _first_errors(window: Sample, vocabulary: Vocabulary, causes: set[str]) -> list[TimelineEntry]:
    """The first failing span of each cause in the window."""
    facts = window.facts
    found = []
    for service in np.unique(facts.service[facts.failed]).tolist():
        name = vocabulary.strings.text(service)
        if name in causes:
            mine = facts.failed & (facts.service == service)
            at_ns = int(facts.start_ns[mine].min())
            found.append(TimelineEntry(at_ns=at_ns, what="first error", service=shown(name)))
    return found


def _new_versions(reference: Sample, window: Sample, vocabulary: Vocabulary) -> list[TimelineEntry]:
    """Versions of known services that were not there before."""
    known: dict[str, set[str]] = {}
    for index in np.unique(reference.facts.resource).tolist():
        resource = vocabulary.resources.resource(index)
        known.setdefault(resource.service, set()).add(resource.version)
    found = []
    for index in np.unique(window.facts.resource).tolist():
        resource = vocabulary.resources.resource(index)
        versions = known.get(resource.service)
        if resource.version and versions is not None and resource.version not in versions:
            versions.add(resource.version)  # its other instances are no news
            at_ns = int(window.facts.start_ns[window.facts.resource == index].min())
            what = f"version {shown(resource.version)} was seen first"
            found.append(TimelineEntry(at_ns=at_ns, what=what, service=shown(resource.service)))
    return sorted(found, key=lambda entry: entry.at_ns)[:VERSIONS_MAX]


def _told(changes: Sequence[Change]) -> list[TimelineEntry]:
    return [
        TimelineEntry(
            at_ns=one.time_ns,
            what=f"{one.kind.replace('_', ' ')} {shown(one.version or one.description)}".strip() + ", as was told",
            service=shown(one.service),
        )
        for one in changes[:VERSIONS_MAX]
    ]


def _effects_of_changes(
    reference: Sample, window: Sample, vocabulary: Vocabulary, told: Sequence[Change]
) -> list[TimelineEntry]:
    """What new versions and told changes did, where there is more to say than that nothing got worse."""
    if not reference.facts.trace_count or window.bad_rate != window.good_rate:
        return []  # drawn at two rates, the shares in the sentences would not be those of the traffic
    judged = judge_deployments(join_facts([reference.facts, window.facts]), vocabulary, told)
    return [
        TimelineEntry(at_ns=change.time_ns, what=effect.sentence, service=shown(change.service))
        for change, effect in judged
        if effect.verdict != "no_harm" and effect.test != "none"
    ][:VERSIONS_MAX]
