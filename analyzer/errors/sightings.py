"""Where an exception can be written down, and what is read of it there.

In: the details of one span or log record. Out: `Sighting`s. One exception may be seen several times: as an event, as a
log record, as attributes. Who puts them together is `analyzer.errors.exceptions`. Old and new semantic conventions,
and the structured log schemas in use (`error.type`, `error.stack_trace`, nested `error: {...}`) are read alike.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TypeAlias

from analyzer.errors.frame_variables import variables_of
from analyzer.errors.impact import KINDS
from analyzer.errors.model import FrameVariables, StackTrace
from analyzer.spans import VARIABLES_KEYS, AttributeValue, SpanDetail

# Text of a stack, the language if it is known -> what it says; None: it is no stack.
Parse: TypeAlias = Callable[[str, str], StackTrace | None]

STACK_MAX = 64 * 1024  # characters; deeper stacks are cut, their innermost frames stand first or last
MESSAGE_MAX = 4096
ATTRIBUTES_MAX = 32  # of one exception; those that steer grouping or count users stand first
VALUE_MAX = 256
TYPE_KEYS = ("exception.type", "error.type", "error.kind", "error.class")
MESSAGE_KEYS = ("exception.message", "error.message")
STACK_KEYS = ("exception.stacktrace", "exception.stack_trace", "error.stack_trace", "error.stack", "stack_trace")
FINGERPRINT_KEYS = ("error.fingerprint", "exception.fingerprint", "sentry.fingerprint", "dd.fingerprint")
USER_KEYS = ("user.id", "enduser.id", "user.hash", "session.id", "user.session_id")
CORRELATION_KEYS = (
    "correlation_id",
    "correlation.id",
    "correlationId",
    "x-correlation-id",
    "http.request.header.x-correlation-id",
    "http.request.header.x_correlation_id",
    "http.request.header.x-request-id",
    "request_id",
    "request.id",
)
_CORRELATING = frozenset(CORRELATION_KEYS)
# Whom it hit is read off the attributes too (`analyzer.errors.impact_sheet`): users, sessions, tenants.
_STEERING = tuple(
    dict.fromkeys((*FINGERPRINT_KEYS, *USER_KEYS, *(key for keys in KINDS.values() for key in keys), "http.route"))
)
_STEERS = frozenset(_STEERING)


@dataclass(frozen=True, slots=True)
class Sighting:
    """One place where an exception was written down.

    source : "event", "log", "attributes"
    """

    source: str
    time_ns: int
    type: str
    message: str
    stack_text: str = ""
    stack: StackTrace | None = None
    escaped: bool | None = None
    attributes: tuple[tuple[str, str], ...] = ()
    variables: tuple[FrameVariables, ...] = ()


def text_of(value: AttributeValue) -> str:
    """An attribute as text; of an array (a header, say) its first value."""
    if isinstance(value, list):
        return text_of(value[0]) if value else ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None or isinstance(value, dict | bytes):
        return ""
    return str(value)


def of_span(detail: SpanDetail, end_ns: int, language: str, parse: Parse) -> Iterator[Sighting]:
    """Yield what a span says of exceptions: events, then its own attributes."""
    own = steering(detail)
    for event in detail.events:
        if event.name == "exception" or event.name.endswith(".exception"):
            found = _read(event.attributes, "event", event.time_ns, "", language, parse)
            if found is not None:
                yield _with(found, own)
    if any(key in detail.attributes for key in (*TYPE_KEYS[:1], *MESSAGE_KEYS[:1], *STACK_KEYS[:2])):
        found = _read(detail.attributes, "attributes", end_ns, "", language, parse)
        if found is not None:
            yield _with(found, own)


def of_log(detail: SpanDetail, time_ns: int, language: str, parse: Parse) -> Sighting | None:
    """Read a log record: named fields first, then a stack in its body; None when it names no exception."""
    fields = _flat(detail.attributes)
    if isinstance(detail.body, dict):
        fields = {**_flat(detail.body), **fields}
    body = detail.body if isinstance(detail.body, str) else text_of(fields.get("message"))
    named = any(key in fields for key in (*TYPE_KEYS, *STACK_KEYS))
    if named:
        return _read(fields, "log", time_ns, body, language, parse)
    stack = parse(body[:STACK_MAX], language) if "\n" in body else None
    if stack is None or not any(thrown.frames for thrown in stack.chain):
        return None
    return Sighting("log", time_ns, "", "", body[:STACK_MAX], stack, None, _rest(fields))


def correlation_of(detail: SpanDetail) -> str:
    """The correlation id a span or log record carries: any text, not only hex; empty when it has none."""
    if not _CORRELATING.isdisjoint(detail.attributes):  # nearly always it is
        for key in CORRELATION_KEYS:
            text = text_of(detail.attributes.get(key))
            if text:
                return text[:VALUE_MAX]
    if isinstance(detail.body, dict):
        return text_of(detail.body.get("correlation_id"))[:VALUE_MAX]
    return ""


def log_text(detail: SpanDetail) -> str:
    """What a log record says, for people."""
    if isinstance(detail.body, dict):
        return text_of(detail.body.get("message") or detail.body.get("msg"))
    return text_of(detail.body) or text_of(detail.attributes.get("message"))


def _read(
    place: Mapping[str, AttributeValue], source: str, time_ns: int, otherwise: str, language: str, parse: Parse
) -> Sighting | None:
    kind, message, stack_text = (_first(place, keys) for keys in (TYPE_KEYS, MESSAGE_KEYS, STACK_KEYS))
    stack = parse(stack_text[:STACK_MAX], language) if stack_text else None
    if not (kind or message or stack_text):
        return None
    escaped = place.get("exception.escaped")
    return Sighting(
        source=source,
        time_ns=time_ns,
        type=kind[:VALUE_MAX],
        message=(message or otherwise)[:MESSAGE_MAX],
        stack_text=stack_text[:STACK_MAX],
        stack=stack,
        escaped=escaped if isinstance(escaped, bool) else {"true": True, "false": False}.get(text_of(escaped).lower()),
        attributes=_rest(place) if source != "attributes" else (),
        variables=variables_of(place),
    )


def _first(place: Mapping[str, AttributeValue], keys: tuple[str, ...]) -> str:
    return next((text for key in keys if (text := text_of(place.get(key)))), "")


def _flat(place: Mapping[str, AttributeValue]) -> dict[str, AttributeValue]:
    """Fields of a structured record; nested ones (`error: {type: ...}`) under dotted names, one level deep."""
    found: dict[str, AttributeValue] = {}
    for key, value in place.items():
        if isinstance(value, dict):
            found |= {f"{key}.{inner}": deeper for inner, deeper in value.items()}
        else:
            found[key] = value
    return found


def _rest(place: Mapping[str, AttributeValue]) -> tuple[tuple[str, str], ...]:
    """Attributes that are not the exception itself; those that steer grouping first, the others as they stood."""
    skipped = {*TYPE_KEYS, *MESSAGE_KEYS, *STACK_KEYS, *VARIABLES_KEYS, "exception.escaped", "message"}
    keys = [key for key in _STEERING if key in place]
    keys += [key for key in place if key not in skipped and key not in keys]
    pairs = ((key[:VALUE_MAX], text_of(place[key])[:VALUE_MAX]) for key in keys[:ATTRIBUTES_MAX])
    return tuple(pair for pair in pairs if pair[1])


def steering(detail: SpanDetail) -> tuple[tuple[str, str], ...]:
    """Attributes of a span that steer grouping or name its user."""
    if _STEERS.isdisjoint(detail.attributes):
        return ()
    found = ((key, text_of(detail.attributes.get(key))[:VALUE_MAX]) for key in _STEERING)
    return tuple(pair for pair in found if pair[1])


def _with(found: Sighting, more: tuple[tuple[str, str], ...]) -> Sighting:
    return replace(found, attributes=joined(found.attributes, more)) if more else found


def joined(ours: tuple[tuple[str, str], ...], more: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    """Both, each key once: the first value of it stays."""
    known = {key for key, _ in ours}
    return (ours + tuple(pair for pair in more if pair[0] not in known))[:ATTRIBUTES_MAX]
