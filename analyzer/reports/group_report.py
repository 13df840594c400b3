"""The report of a group of errors: the same error over all traces, with an example to look into.

In: an `ErrorGroup`, and the report of one of its example traces when one is kept. Out: `Report`. Counts, times and
releases come from the group; pattern, location and fixture from the example, or, without one, from type and message.
"""

from __future__ import annotations

from analyzer.errors.group_words import ErrorGroup, Lately
from analyzer.errors.model import ExceptionFact
from analyzer.errors.note_words import frames_of
from analyzer.findings import Answer
from analyzer.reports import advice
from analyzer.reports.clock_text import utc
from analyzer.reports.model import Claim, FrameAt, Report
from analyzer.reports.report import report_of_trace
from analyzer.words import named, shown

NAMES_MAX = 10  # services and versions that are named


def report_of_group(group: ErrorGroup, example: Report | None = None, lately: Lately | None = None) -> Report:
    """Write the report of a group of like errors.

    Parameters
    ----------
    lately : its last minutes against its own past; None: nobody looked
    """
    if example is None:
        example = _from_words(group)
    scope = [
        Claim(
            text=f"seen in {group.count - group.logged_count:,} traces; of those explained, the request failed in "
            f"{group.visible_count:,}",
            numbers={"count": group.count, "visible_count": group.visible_count},
        )
    ]
    if group.synthetic_count:
        explained = group.count - group.inferred_count - group.logged_count
        text = (
            f"{group.synthetic_count:,} of {explained:,} explained ones came from synthetic checks or bots, not users"
        )
        scope.append(Claim(text=text, numbers={"synthetic_count": group.synthetic_count, "explained": explained}))
    if group.logged_count:
        text = f"{group.logged_count:,} of {group.count:,} were only logged, outside of any trace"
        scope.append(Claim(text=text, numbers={"logged_count": group.logged_count, "count": group.count}))
    for word, seen in (("services", group.services), ("versions", group.versions)):
        if seen:
            names = ", ".join(f"{shown(one.name)} ({one.count:,})" for one in seen[:NAMES_MAX])
            scope.append(
                Claim(text=f"{word}: {names}", numbers={shown(one.name): one.count for one in seen[:NAMES_MAX]})
            )
    if group.users:
        scope.append(
            Claim(text=f"{group.users:,} users, estimated", level="inferred", numbers={"users": float(group.users)})
        )
    told = lately.state if lately is not None else "too_little_traffic"
    if lately is not None and told != "too_little_traffic" and not (told == "spike" and group.spike is not None):
        words = lately.state.replace("_", " ")
        numbers = {"now": float(lately.now), "usual": lately.usual, "calls": float(lately.calls), "p": lately.p}
        scope.append(Claim(text=f"lately {words}: {lately.sentence}", numbers=numbers))
    if group.spike is not None:
        text = f"a spike since {utc(group.spike.since_ns)}: {group.spike.sentence}"
        numbers = {"now": float(group.spike.now), "usual": group.spike.usual, "p": group.spike.p}
        scope.append(Claim(text=text, numbers=numbers))
    what = f"{shown(group.type) or 'an error'} in {named(group.service, group.operation)}"
    said = f"{what}: {shown(group.message)}" if group.message else what
    summary = example.summary.model_copy(
        update={
            "what": Claim(text=said, trace_ids=group.example_trace_ids),
            "scope": scope,
            "when": f"first {utc(group.first_seen_ns)}, last {utc(group.last_seen_ns)}",
            "started_ns": group.first_seen_ns,
            "ended_ns": group.last_seen_ns,
            "severity": group.severity.value if group.severity is not None else "",
            "type": group.kind.value if group.kind is not None else "",
            "observability": group.observability.value if group.observability is not None else "",
        }
    )
    cause = example.root_cause
    if group.location and not cause.location:
        cause = cause.model_copy(update={"location": shown(group.location)})
    monitoring = example.monitoring
    if not cause.service and group.service:  # nobody was named: what is seen is watched where it is seen
        cause = cause.model_copy(update={"service": shown(group.service)})
        monitoring = [*advice.monitors("", group.service, "error", []), *monitoring]
    return example.model_copy(
        update={
            "subject": "group",
            "subject_id": group.group_id,
            "group_id": group.group_id,
            "frames": example.frames or [FrameAt(frame=frame, grouped=True) for frame in frames_of(group)],
            "title": f"{what}: {group.status}",
            "revision": group.revision,
            "summary": summary,
            "root_cause": cause,
            "monitoring": monitoring,
            "runbook": example.runbook.model_copy(update={"runbook_id": group.group_id}),
            "available": ["the group", *example.available],
        }
    )


def _from_words(group: ErrorGroup) -> Report:
    """Without an example trace: what type and message alone tell."""
    answer = Answer(
        trace_id=group.example_trace_ids[0].partition("@")[0] if group.example_trace_ids else "",
        status="unknown",
        status_reason="no example trace of the group is kept",
        verdict="error",
        summary="no example trace of the group is kept",
        root_service=group.service,
        root_operation=group.operation,
        start_ns=group.last_seen_ns,
        end_ns=group.last_seen_ns,
    )
    fact = ExceptionFact(
        trace_id=answer.trace_id,
        span_id="",
        service=group.service,
        operation=group.operation,
        time_ns=group.last_seen_ns,
        type=group.type,
        message=group.message,
        error_class=group.error_class,
    )
    return report_of_trace(answer, [fact])
