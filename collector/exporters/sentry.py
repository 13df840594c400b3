"""A failing trace as a Sentry event. Pure: an explained trace in, one message out.

In: `Explained` (answer, exceptions, group), settings. Out: at most one `OutboxItem` that holds an envelope with one
event: the exception where the trouble *began*, not the last one that was thrown because of it, grouped by our
fingerprint. Error trackers that watch each service by itself report one failure five times; this is the one report. The
id of an event is made of the trace alone, so a revision or a try again is no second report: Sentry takes an id once.

Format: Sentry's envelopes and event payloads (develop.sentry.dev). Text was masked before it came here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from analyzer.errors.model import ExceptionFact, Frame, Thrown
from analyzer.errors.sightings import USER_KEYS
from analyzer.errors.trace_groups import Explained
from analyzer.finding_ids import digest
from analyzer.findings import Answer, RootCause
from collector.contracts import OutboxItem, Signal
from collector.exporters.attributes import SENTENCE_MAX, text

DESTINATION = "sentry"
FRAMES_MAX = 100  # of one exception; Sentry keeps about as many
CHAIN_MAX = 16
BREADCRUMBS_MAX = 30
TAG_MAX = 200  # Sentry refuses longer tag values
MESSAGE_MAX = 8192
_PLATFORMS = {
    "java": "java", "python": "python", "javascript": "javascript", "go": "go", "dotnet": "csharp", "ruby": "ruby",
    "php": "php", "rust": "rust", "c": "c", "elixir": "elixir",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class SentrySettings:
    """What is told.

    environment, release : empty: those of the resource where the trouble began
    sample_rate : share of failing traces that are told, by trace id: instances agree
    tags : on every event, beside ours
    """

    environment: str = ""
    release: str = ""
    sample_rate: float = 1.0
    send_user_ids: bool = False
    tags: Mapping[str, str] = field(default_factory=dict)


def sentry_events(explained: Explained, settings: SentrySettings) -> list[OutboxItem]:
    """Write the event of one failing trace; nothing when nothing failed, or nobody is named.

    Returns
    -------
    list of OutboxItem
        The same trace gives the same key and the same event id, whatever the revision.
    """
    answer = explained.answer
    if answer.status != "finding" or answer.verdict not in ("error", "mixed") or not answer.root_causes:
        return []
    if int(answer.trace_id[-8:], 16) >= settings.sample_rate * 2**32:
        return []
    event_id = digest(16, "sentry", answer.name).hex()
    event = json.dumps(_event(explained, settings, event_id), ensure_ascii=False, separators=(",", ":")).encode(
        "utf-8", "replace"
    )
    head = json.dumps({"event_id": event_id}).encode()
    item = json.dumps({"type": "event", "length": len(event), "content_type": "application/json"}).encode()
    payload = b"\n".join((head, item, event, b""))
    return [OutboxItem(digest(16, "sentry", answer.name), DESTINATION, Signal.LOGS, payload)]


def _event(explained: Explained, settings: SentrySettings, event_id: str) -> dict[str, Any]:
    answer = explained.answer
    cause = answer.root_causes[0]
    fact = explained.groups[0].fact if explained.groups and answer.group is not None else None
    stack = fact.stack if fact is not None else None
    event: dict[str, Any] = {
        "event_id": event_id,
        "timestamp": (fact.time_ns if fact is not None and fact.time_ns else answer.end_ns) / 1e9,
        "platform": _PLATFORMS.get(stack.language, "other") if stack is not None else "other",
        "level": _level(answer),
        "logger": "firstfault",
        "transaction": text(answer.root_operation, TAG_MAX),
        "server_name": text(cause.entity.host or (fact.host if fact else ""), TAG_MAX),
        "release": text(settings.release or cause.entity.version or (fact.version if fact else ""), TAG_MAX),
        "environment": text(settings.environment or (fact.environment if fact else ""), 64),
        "fingerprint": _fingerprint(explained, cause),
        "tags": _tags(explained, cause, settings),
        "contexts": _contexts(explained, cause),
        "exception": {"values": _exceptions(cause, fact)},
    }
    if fact is not None and fact.breadcrumbs:
        event["breadcrumbs"] = {
            "values": [
                {
                    "timestamp": crumb.time_ns / 1e9,
                    "category": text(f"{crumb.service} {crumb.kind}"),
                    "message": text(crumb.text, SENTENCE_MAX),
                }
                for crumb in fact.breadcrumbs[-BREADCRUMBS_MAX:]
            ]
        }
    if settings.send_user_ids and fact is not None and (user := _user(fact)):
        event["user"] = {"id": text(user)}
    return {key: value for key, value in event.items() if value not in ("", None)}


def _level(answer: Answer) -> str:
    severity = answer.severity.value if answer.severity else ""
    if severity == "low" and not answer.user_visible:
        return "warning"
    return "fatal" if severity == "critical" else "error"


def _fingerprint(explained: Explained, cause: RootCause) -> list[str]:
    if explained.answer.group is not None:
        return ["firstfault", explained.answer.group.fine]
    return ["firstfault", text(cause.entity.name), text(cause.entity.operation), cause.rule]


def _tags(explained: Explained, cause: RootCause, settings: SentrySettings) -> dict[str, str]:
    answer = explained.answer
    ours = {
        "origin_service": cause.entity.service or cause.entity.name,
        "origin_operation": cause.entity.operation,
        "origin_kind": cause.entity.kind,
        "instance_id": cause.entity.instance,
        "entry_service": answer.root_service,
        "rule": cause.rule,
        "user_visible": "yes" if answer.user_visible else "no",
        "asked_by": answer.asked_by,
        "error_kind": answer.type.value if answer.type else "",
        "observability": answer.observability.value if answer.observability else "",
    }
    return {key: text(value, TAG_MAX) for key, value in {**ours, **settings.tags}.items() if value}


def _contexts(explained: Explained, cause: RootCause) -> dict[str, Any]:
    answer = explained.answer
    origin = cause.origin_spans[0] if cause.origin_spans else None
    trace = {"trace_id": answer.trace_id, "type": "trace"}
    if origin is not None:
        trace |= {"span_id": origin.span_id, "op": text(origin.operation)}
    return {
        "trace": trace,
        "firstfault": {
            "summary": text(answer.summary, SENTENCE_MAX),
            "probability": cause.probability,
            "evidence": [text(one.claim, SENTENCE_MAX) for one in cause.evidence[:8]],
            "chain": [text(step.sentence, SENTENCE_MAX) for step in answer.causal_chain[:16]],
            "group": answer.group.id if answer.group is not None else "",
            "next_probe": text(answer.next_probe or "", SENTENCE_MAX),
        },
    }


def _exceptions(cause: RootCause, fact: ExceptionFact | None) -> list[dict[str, Any]]:
    """The chain, the innermost cause first, as Sentry has it; the frames of each the other way round than ours."""
    handled = fact is None or fact.escaped is not True
    if fact is None or fact.stack is None:
        kind = (fact.type if fact else "") or cause.error_type or "Error"
        said = (fact.message if fact else "") or cause.error_message or cause.sentence
        return [{"type": text(kind, TAG_MAX), "value": text(said, MESSAGE_MAX), "mechanism": _mechanism(0, handled)}]
    chain = [thrown for thrown in fact.stack.chain if thrown.relation in ("thrown", "cause", "context")][:CHAIN_MAX]
    return [_exception(thrown, number, handled) for number, thrown in reversed(list(enumerate(chain)))]


def _exception(thrown: Thrown, number: int, handled: bool) -> dict[str, Any]:
    module, _, kind = thrown.type.rpartition(".")
    found: dict[str, Any] = {
        "type": text(kind or "Error", TAG_MAX),
        "value": text(thrown.message, MESSAGE_MAX),
        "mechanism": _mechanism(number, handled),
    }
    if module:
        found["module"] = text(module, TAG_MAX)
    if thrown.frames:
        found["stacktrace"] = {"frames": [_frame(frame) for frame in reversed(thrown.frames[:FRAMES_MAX])]}
    return found


def _mechanism(number: int, handled: bool) -> dict[str, Any]:
    found: dict[str, Any] = {"type": "generic", "handled": handled, "exception_id": number}
    return found | ({"parent_id": number - 1} if number else {})


def _frame(frame: Frame) -> dict[str, Any]:
    found = {
        "function": text(frame.function),
        "module": text(frame.module),
        "filename": text(frame.file),
        "lineno": frame.line or None,
        "colno": frame.column or None,
        "in_app": frame.in_app,
    }
    return {key: value for key, value in found.items() if value not in ("", None)}


def _user(fact: ExceptionFact) -> str:
    named = dict(fact.attributes)
    return next((named[key] for key in USER_KEYS if named.get(key)), "")
