"""What people say about grouping: put together, take apart, name, or leave out.

In: rules (from the configuration), facts. Out: the fingerprint of each fact, and, before rules are applied, what they
would change. The first rule that matches a fact decides. Patterns are globs (`*`, `?`, `[...]`) over whole values, in
the case they are written.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from analyzer.errors.fingerprint import custom, extended, fingerprint_of
from analyzer.errors.frames import application_frames
from analyzer.errors.model import ExceptionFact, Fingerprint

RULES_MAX = 200  # each is asked about every fact until one matches
PATTERN_MAX = 200
VALUE_MAX = 1024  # characters of a value that are looked at
SHOWN_MAX = 50  # groups a replay names of each kind
SplitBy = Literal["operation", "message", "version", "environment", "host", "http_status", "type"]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


Pattern = Field("", max_length=PATTERN_MAX)


class Match(_Part):
    """Which facts a rule is about; all that is given must match."""

    service: str = Pattern
    operation: str = Pattern
    type: str = Pattern
    message: str = Pattern
    frame: str = Field("", max_length=PATTERN_MAX, description="any application frame, as module:function")
    environment: str = Pattern
    version: str = Pattern
    group: str = Field("", max_length=32, description="fine or coarse fingerprint without rules, 16 hex digits")
    attributes: dict[str, str] = Field({}, description="attribute -> pattern")

    @model_validator(mode="after")
    def _says_something(self) -> Match:
        if self == Match.model_construct():
            raise ValueError("match is empty and would take every error; give one of " + ", ".join(Match.model_fields))
        return self

    def fits(self, fact: ExceptionFact) -> bool:
        """Whether a fact is meant."""
        stack = fact.stack
        pairs = [
            (self.service, fact.service),
            (self.operation, fact.operation),
            (self.message, fact.message),
            (self.environment, fact.environment),
            (self.version, fact.version),
        ]
        attributes = dict(fact.attributes)
        pairs += [(pattern, attributes.get(key, "")) for key, pattern in self.attributes.items()]
        if not all(_fits(pattern, value) for pattern, value in pairs if pattern):
            return False
        types = {fact.type} | ({thrown.type for thrown in stack.chain} if stack is not None else set())
        if self.type and not any(_fits(self.type, kind) for kind in types):
            return False
        frames = application_frames(stack) if self.frame and stack is not None else ()
        if self.frame and not any(_fits(self.frame, name) for name in frames):
            return False
        if self.group:
            found = fingerprint_of(fact)
            return self.group.lower() in (found.fine, found.coarse)
        return True


class Rule(_Part):
    """One rule.

    merge        all that match are one group, called `name`
    split        groups of what matches are taken further apart, by `by`
    ignore       what matches is in no group
    fingerprint  what matches has this fingerprint; {service}, {operation}, {type}, {environment} and {version} in
                 it are filled in
    """

    name: str = Field(min_length=1, max_length=100)
    match: Match
    action: Literal["merge", "split", "ignore", "fingerprint"]
    by: list[SplitBy] = Field([], description="split: what tells the groups apart")
    fingerprint: str = Field("", max_length=300, description="fingerprint: its text")

    @model_validator(mode="after")
    def _is_whole(self) -> Rule:
        if (self.action == "split") != bool(self.by):
            raise ValueError(f"action is {self.action} and by is {self.by}; split needs by, no other action has it")
        if (self.action == "fingerprint") != bool(self.fingerprint):
            raise ValueError(f"action is {self.action}; fingerprint needs its text, no other action has one")
        if self.fingerprint:
            _filled(self.fingerprint, {})
        return self

    def apply(self, fact: ExceptionFact) -> Fingerprint | None:
        """Give the fingerprint of a fact that matches; None: it is in no group."""
        if self.action == "ignore":
            return None
        if self.action == "merge":
            return custom(f"rule {self.name}")
        if self.action == "fingerprint":
            return custom(_filled(self.fingerprint, _values(fact)))
        values = _values(fact)
        return extended(fingerprint_of(fact), [(f"by {key}", values[key]) for key in self.by])


def _fits(pattern: str, value: str) -> bool:
    return fnmatchcase(value[:VALUE_MAX], pattern)


def _values(fact: ExceptionFact) -> dict[str, str]:
    return {
        "service": fact.service,
        "operation": fact.operation,
        "type": fact.type,
        "message": fact.message,
        "version": fact.version,
        "environment": fact.environment,
        "host": fact.host,
        "http_status": str(fact.http_status),
    }


_FILLED = ("service", "operation", "type", "environment", "version")


def _filled(text: str, values: dict[str, str]) -> str:
    """Fill in {service} and the like; plain replacement, so that no format can reach anything else.

    Raises
    ------
    ValueError
        Something in braces is none of them.
    """
    out, rest = "", text
    while "{" in rest:
        before, _, rest = rest.partition("{")
        name, closed, rest = rest.partition("}")
        if name not in _FILLED or not closed:
            raise ValueError(f"{{{name[:40]}}} cannot be filled in; expected one of {', '.join(_FILLED)}")
        out += before + values.get(name, "")[:VALUE_MAX]
    return out + rest


@dataclass(frozen=True, slots=True)
class Grouping:
    """Rules, as `Analyzer` takes them: a fact -> its fingerprint, or None."""

    rules: Sequence[Rule] = ()

    def __call__(self, fact: ExceptionFact) -> Fingerprint | None:
        rule = self.rule_for(fact)
        return fingerprint_of(fact) if rule is None else rule.apply(fact)

    def rule_for(self, fact: ExceptionFact) -> Rule | None:
        """Find the rule that decides about a fact."""
        return next((rule for rule in self.rules if rule.match.fits(fact)), None)


@dataclass(frozen=True, slots=True)
class Replay:
    """What rules would change.

    merged : new group -> the groups it would take in
    split : old group -> the groups it would become
    ignored : old group -> how many of its facts would be in no group
    moved_facts : facts that would have another group
    used : rule -> facts it decided about; a rule that is not here matched nothing
    left_out : changes that are not named here, over `SHOWN_MAX` of a kind
    """

    facts: int
    moved_facts: int
    merged: dict[str, tuple[str, ...]] = field(default_factory=dict)
    split: dict[str, tuple[str, ...]] = field(default_factory=dict)
    ignored: dict[str, int] = field(default_factory=dict)
    used: dict[str, int] = field(default_factory=dict)
    left_out: int = 0


def replay(rules: Sequence[Rule], facts: Iterable[ExceptionFact], before: Sequence[Rule] = ()) -> Replay:
    """Say what rules would change, on facts that were seen; nothing is applied.

    Parameters
    ----------
    rules : the rules that are thought of
    facts : exceptions of the past
    before : the rules that hold now
    """
    old, new = Grouping(before), Grouping(rules)
    count = moved = 0
    into: dict[str, dict[str, None]] = {}
    outof: dict[str, dict[str, None]] = {}
    ignored: Counter[str] = Counter()
    used: Counter[str] = Counter()
    for fact in facts:
        count += 1
        rule = new.rule_for(fact)
        if rule is not None:
            used[rule.name] += 1
        was = old(fact)
        now = rule.apply(fact) if rule is not None else fingerprint_of(fact)
        if was is None:
            moved += now is not None
            continue
        if now is None:
            moved += 1
            ignored[was.fine] += 1
            continue
        moved += was.fine != now.fine
        into.setdefault(now.fine, {})[was.fine] = None
        outof.setdefault(was.fine, {})[now.fine] = None
    merged = {group: tuple(parts) for group, parts in into.items() if len(parts) > 1}
    split = {group: tuple(parts) for group, parts in outof.items() if len(parts) > 1}
    left_out = sum(max(0, len(kind) - SHOWN_MAX) for kind in (merged, split, ignored))
    return Replay(
        facts=count,
        moved_facts=moved,
        merged=dict(list(merged.items())[:SHOWN_MAX]),
        split=dict(list(split.items())[:SHOWN_MAX]),
        ignored=dict(ignored.most_common(SHOWN_MAX)),
        used=dict(used),
        left_out=left_out,
    )
