"""Which groups one explained trace counts in.

In: its answer and its exceptions. Out: the group of its origin, first, and those of what was handled or began
elsewhere. What only passed the error on counts in no group of its own: the 500 at the edge and what it came from are
one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from analyzer.errors.fingerprint import fact_at_origin, fingerprint_of
from analyzer.errors.frame_variables import first_of, sentence
from analyzer.errors.model import ExceptionFact, Fingerprint
from analyzer.errors.sightings import USER_KEYS
from analyzer.findings import Answer, Evidence, TraceGroup

GROUPS_MAX = 8  # of one trace
_OWN = ("origin", "recovered", "handled")
_HIT = ("propagated", "transformed", "victim")

# A fact -> its fingerprint; None: it belongs to no group.
Group: TypeAlias = Callable[[ExceptionFact], Fingerprint | None]


@dataclass(frozen=True, slots=True)
class GroupedFact:
    """One exception of a trace and its group.

    services : others that failed because of it
    user_ids : who was hit
    visible : the request failed for its caller because of it
    """

    fact: ExceptionFact
    fingerprint: Fingerprint
    services: tuple[str, ...] = ()
    user_ids: tuple[str, ...] = ()
    visible: bool = False


@dataclass(frozen=True, slots=True)
class Explained:
    """One trace in words, its exceptions, and the groups it counts in, its own first.

    failed_share : of recent calls of the origin's operation; None when too few were seen
    call_count : calls that rests on
    """

    answer: Answer
    facts: tuple[ExceptionFact, ...] = ()
    groups: tuple[GroupedFact, ...] = ()
    failed_share: float | None = None
    call_count: int = 0


def grouped(answer: Answer, facts: Sequence[ExceptionFact], group: Group = fingerprint_of) -> Explained:
    """Tell the groups of a trace, and write its own into the answer, with the variables where it began."""
    found: list[GroupedFact] = []
    users = user_ids(facts)
    origin = fact_at_origin(answer, facts) if answer.verdict in ("error", "mixed") else None
    own = group(origin) if origin is not None else None
    if origin is not None and own is not None:
        hit = dict.fromkeys(role.service for role in answer.roles if role.role in _HIT)
        found.append(GroupedFact(origin, own, tuple(hit), users, answer.user_visible))
    roles = {role.span_id: role.role for role in answer.roles}
    for fact in facts:
        if fact is origin or fact.sources == ("status",) or len(found) >= GROUPS_MAX:
            continue
        if roles.get(fact.span_id, "handled") not in _OWN:
            continue
        if origin is not None and set(fact.span_ids) & set(origin.span_ids):
            continue  # beside the origin: what it was turned into before it left the span
        other = group(fact)
        if other is not None and all(other.fine != known.fingerprint.fine for known in found):
            found.append(GroupedFact(fact, other, (), users))
    if own is not None:
        named = TraceGroup(id=own.fine, fine=own.fine, coarse=own.coarse, tier=own.tier, version=own.version)
        answer = answer.model_copy(update={"group": named})
    return Explained(_with_variables(answer, origin), tuple(facts), tuple(found))


def _with_variables(answer: Answer, origin: ExceptionFact | None) -> Answer:
    """What stood in the frame where it began is evidence of the first cause."""
    found = first_of(origin) if origin is not None else None
    if origin is None or found is None or not answer.root_causes:
        return answer
    said = Evidence(claim=sentence(found), span_ids=[origin.span_id] if origin.span_id else [])
    first, *others = answer.root_causes
    told = first.model_copy(update={"evidence": [*first.evidence, said]})
    return answer.model_copy(update={"root_causes": [told, *others]})


def user_ids(facts: Sequence[ExceptionFact]) -> tuple[str, ...]:
    """Who made the request: users if any are named, else sessions."""
    for key in USER_KEYS:
        values = (value for fact in facts for name, value in fact.attributes if name == key)
        found = tuple(dict.fromkeys(values))
        if found:
            return found
    return ()
