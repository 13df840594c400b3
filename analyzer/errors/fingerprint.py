"""Which group an error belongs to, and why.

In: an exception fact. Out: a `Fingerprint` whose `parts`, hashed in their order, are the answer to "why was this
grouped". Pure text work; nothing is remembered, so the same fact has the same fingerprint on every machine and in every
year, until `VERSION` changes.

The first tier that has something to say wins:

custom    an attribute of the program says so (`error.fingerprint`), or a rule of the user
stack     type of the root cause, application frames from the inside out
message   type, class, codes, template of the message, operation
status    class, codes, operation

`fine` tells ways into the same failure apart; `coarse` rests on its heart alone (type and first application frame, or
type and message) within its service.

Notes
-----
Types of the exceptions around the root cause are shown, not hashed: the same failure is wrapped on one way and not on
another. Hashing them, tried on generated mutations, split one error in two wherever a wrapper came or went
(python -m tests.support.grouping_quality prints both).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import blake2b

from analyzer.errors.frames import application_frames, clean_type, member_types
from analyzer.errors.model import ExceptionFact, Fingerprint, StackTrace
from analyzer.errors.sightings import FINGERPRINT_KEYS
from analyzer.errors.templates import operation_template, template_of
from analyzer.findings import Answer

VERSION = "v1"
PART_MAX = 600  # characters of a part
Parts = Sequence[tuple[str, str]]


def fingerprint_of(fact: ExceptionFact) -> Fingerprint:
    """Tell the group of a fact."""
    said = custom_of(fact)
    if said:
        return custom(said)
    if fact.stack is not None:
        frames = application_frames(fact.stack)
        if frames:
            return _of_stack(fact, fact.stack, frames)
    template = template_of(fact.message)
    if template:
        return _of_message(fact, template)
    return _of_status(fact)


def custom_of(fact: ExceptionFact) -> str:
    """What the program itself says the group is; empty when it does not."""
    attributes = dict(fact.attributes)
    return next((attributes[key] for key in FINGERPRINT_KEYS if attributes.get(key)), "")


def custom(name: str) -> Fingerprint:
    """Make the fingerprint of a group that has a name, whatever service it is seen in."""
    parts = (("custom", name[:PART_MAX]),)
    return Fingerprint(VERSION, _hash("fine", parts), _hash("coarse", parts), "custom", parts)


def extended(found: Fingerprint, more: Parts) -> Fingerprint:
    """Split a group further: the same heart, more parts. The coarse fingerprint stays."""
    parts = (*found.parts, *((name, value[:PART_MAX]) for name, value in more))
    return Fingerprint(found.version, _hash("fine", parts), found.coarse, found.tier, parts)


def _of_stack(fact: ExceptionFact, stack: StackTrace, frames: tuple[str, ...]) -> Fingerprint:
    kind = clean_type(stack.root.type or fact.type)
    heart = [("service", fact.service), ("type", kind), *(("member", one) for one in member_types(stack))]
    fine = (*heart, *(("frame", name) for name in frames))
    return _made("stack", fine, (*heart, ("frame", frames[0])))


def _of_message(fact: ExceptionFact, template: str) -> Fingerprint:
    heart = [("service", fact.service), *_kinds(fact), ("message", template)]
    return _made("message", (*heart, ("operation", operation_template(fact.operation))), heart)


def _of_status(fact: ExceptionFact) -> Fingerprint:
    heart = [("service", fact.service), *_kinds(fact)]
    return _made("status", (*heart, ("operation", operation_template(fact.operation))), heart)


def _kinds(fact: ExceptionFact) -> list[tuple[str, str]]:
    """What kind of failure it is, as far as it is said."""
    named = [
        ("type", clean_type(fact.type)),
        ("class", fact.error_class if fact.error_class not in ("none", "unknown") else ""),
        ("http_status", str(fact.http_status) if fact.http_status >= 400 else ""),
        ("rpc_status", str(fact.rpc_status) if fact.rpc_status > 0 else ""),
    ]
    return [pair for pair in named if pair[1]]


def _made(tier: str, fine: Parts, coarse: Parts) -> Fingerprint:
    parts = tuple((name, value[:PART_MAX]) for name, value in fine)
    return Fingerprint(VERSION, _hash("fine", parts), _hash("coarse", coarse), tier, parts)


def _hash(level: str, parts: Parts) -> str:
    """16 hex digits. Lengths stand before texts: ("ab", "c") and ("a", "bc") are not the same."""
    state = blake2b(digest_size=8)
    for text in (VERSION, level, *(text for name, value in parts for text in (name, value[:PART_MAX]))):
        raw = text.encode("utf-8", "replace")
        state.update(len(raw).to_bytes(4, "little"))
        state.update(raw)
    return state.hexdigest()


def fact_at_origin(answer: Answer, facts: Sequence[ExceptionFact]) -> ExceptionFact | None:
    """Find the fact a trace is about: at the origin span of its first root cause, else the innermost.

    Of several at one span, what carries a stack says most; of those the first in time began it. A failure of the other
    side that left nothing but a status stands behind an exception of the caller about it.
    """
    if not facts:
        return None
    for cause in answer.root_causes[:1]:
        spans = {span.span_id for span in cause.origin_spans}
        here = [fact for fact in facts if spans & {fact.span_id, *fact.span_ids}]
        if here:
            return _best(here)
    named = [fact for fact in facts if fact.sources != ("status",)]
    return (named or facts)[0]


def _best(facts: Iterable[ExceptionFact]) -> ExceptionFact:
    return min(facts, key=lambda fact: (fact.sources == ("status",), fact.stack is None, fact.time_ns))
