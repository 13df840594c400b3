"""Three axes of a group of errors, each with its reason: severity, type, observability.

In: a group, what calls its service took, how many of its operation's calls fail. Out: the group with `Judgement`s. The
thresholds are few, named and may be overruled by people (`Overrule`). What one trace alone shows is judged by
`analyzer.judgement`; here many have been seen.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from analyzer.errors.exposure import DIMENSIONS, Places, ServiceCalls
from analyzer.errors.group_words import ErrorGroup
from analyzer.errors.skew import load_correlation, skewed_to
from analyzer.findings import Judgement

CALLS_MIN = 20  # calls before a share means anything
DOWN_SHARE = 0.95  # of an operation's calls that fail: it is down
MAJOR_SHARE = 0.1  # of an operation's calls that fail: many users meet it
USERS_MANY = 100
ERRORS_FEW = 5  # fewer are an edge case so far
VISIBLE_SHARE = 0.05  # of its traces that failed for their caller; below it, it is worked around
DETERMINISTIC_SHARE = 0.9

Severity = Literal["critical", "high", "medium", "low"]
Kind = Literal["runtime", "logic", "integration", "performance", "configuration", "security", "business"]
Observability = Literal["deterministic", "intermittent", "environmental", "load_dependent"]


@dataclass(frozen=True, slots=True)
class Context:
    """What is known around a group.

    places : where its errors were; None: nothing is known
    calls : of the service where it began
    failed_share : of recent calls of its operation; None when too few were seen
    call_count : calls that share rests on
    """

    places: Places | None = None
    calls: ServiceCalls = field(default_factory=ServiceCalls)
    failed_share: float | None = None
    call_count: int = 0


class Overrule(BaseModel):
    """What people say of some groups, by globs over whole values; the first that fits counts."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: str = Field(min_length=1, max_length=100)
    service: str = Field("*", max_length=200)
    operation: str = Field("*", max_length=200)
    type: str = Field("*", max_length=200)
    message: str = Field("*", max_length=200)
    severity: Severity | None = None
    kind: Kind | None = None
    observability: Observability | None = None

    def fits(self, group: ErrorGroup) -> bool:
        pairs = [(self.service, group.service), (self.operation, group.operation)]
        pairs += [(self.type, group.type), (self.message, group.message)]
        return all(fnmatchcase(value, pattern) for pattern, value in pairs)


# Words of type and message -> kind, with the reason; the first row found wins. Whole words, in any case.
_KINDS: tuple[tuple[re.Pattern[str], Kind, str], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), kind, reason)  # type: ignore[misc]
    for pattern, kind, reason in (
        (
            r"union\s+select|' or '?1'?\s*=\s*'?1|<script\b|\.\./\.\./|\$\{jndi:",
            "security",
            "the message carries what an injection looks like",
        ),
        (
            r"(Access|Permission)Denied|Unauthori[sz]ed|Forbidden|"
            r"Authenti?cation\w*(Error|Exception|Failed)|invalid (token|signature|credentials)|Csrf|"
            r"certificate (verify|has expired)|SSLHandshake",
            "security",
            "authentication, authorisation or trust was refused",
        ),
        (
            r"Validation(Error|Exception)|ConstraintViolation|insufficient funds|card (was )?declined|"
            r"out of stock|already exists|quota of the plan",
            "business",
            "a rule of the business said no; no system failed",
        ),
        (
            r"environment variable|env(ironment)? var|missing (required )?(config|setting|property|key)|"
            r"no such (property|setting)|Configuration(Error|Exception)|ImproperlyConfigured|"
            r"could not resolve placeholder|invalid (config|setting)",
            "configuration",
            "a setting is missing or cannot be used",
        ),
        (
            r"NoSuchMethodError|NoClassDefFound|ClassNotFound|AbstractMethodError|"
            r"UnsupportedClassVersion|ModuleNotFoundError|ImportError|Cannot find module|"
            r"version mismatch|incompatible version|MissingMethodException|TypeLoadException",
            "configuration",
            "parts of different versions were put together",
        ),
        (
            r"OutOfMemory|out of memory|heap (space|out)|MemoryError|GC overhead|too many open files|"
            r"(pool|queue) (is )?(exhausted|full)|no space left|ResourceExhausted|RejectedExecution|"
            r"ENOSPC|EMFILE",
            "performance",
            "a bounded resource was used up",
        ),
        (
            r"timeout|timed out|deadline exceeded|connection (refused|reset)|ECONNREFUSED|ECONNRESET|"
            r"UnknownHost|getaddrinfo|no such host|bad gateway|service unavailable|broken pipe|upstream",
            "integration",
            "the other side did not answer, or not in time",
        ),
        (
            r"AssertionError|IllegalState|InvalidOperation|NotImplemented|UnsupportedOperation|"
            r"invariant|invalid state|unexpected state|state transition",
            "logic",
            "the code met a state it says cannot be; little is certain about logic from outside",
        ),
        (
            r"NullPointer|NullReference|NoneType|undefined is not|cannot read propert|IndexError|"
            r"IndexOutOf|KeyError|TypeError|ClassCast|segfault|SIGSEGV|SIGABRT|panic|"
            r"ArithmeticException|ZeroDivision|StackOverflow|ConcurrentModification",
            "runtime",
            "the code failed by itself",
        ),
    )
)
_CLASSES: dict[str, tuple[Kind, str]] = {
    "timeout": ("integration", "a call was given up after waiting"),
    "cancelled": ("integration", "a call was cancelled from outside"),
    "unavailable": ("integration", "the other side could not be reached"),
    "throttled": ("integration", "the other side limits the rate of calls"),
    "exhausted": ("performance", "a bounded resource was used up"),
    "auth": ("security", "authentication or authorisation was refused"),
    "client": ("logic", "the caller asked for something the callee does not accept or have"),
    "internal": ("runtime", "the code failed by itself"),
    "data": ("runtime", "data or its constraints were violated"),
    "business": ("business", "a business rule said no; no system failed"),
}
_LOST_DATA = re.compile(
    r"data ?loss|data corruption|corrupt(ed)? (data|page|index|block)|checksum mismatch", re.IGNORECASE
)
_TEXT_MAX = 400  # characters of type and message that are looked at; what matters is said first
_ASKED_MAX = 8_192  # texts whose words are remembered: a group is judged whenever it changed, its words never do


def judged(group: ErrorGroup, context: Context, overrules: Sequence[Overrule] = ()) -> ErrorGroup:
    """Write the three axes into a group."""
    said = next((one for one in overrules if one.fits(group)), None)
    kind = _overruled(said, "kind") or kind_of(group)
    return group.model_copy(
        update={
            "kind": kind,
            "observability": _overruled(said, "observability") or observability_of(group, context),
            "severity": _overruled(said, "severity") or severity_of(group, context, kind.value),
        }
    )


def _overruled(said: Overrule | None, axis: str) -> Judgement | None:
    value = getattr(said, axis) if said is not None else None
    return Judgement(value=value, reason=f"the rule {said.name} says so") if said is not None and value else None


def kind_of(group: ErrorGroup) -> Judgement:
    """What kind of problem it is: codes of business first, then words of type and message, then its class."""
    if group.error_class == "business" or _part(group, "http_status") in ("402", "422"):
        return Judgement(value="business", reason=_CLASSES["business"][1])
    said = _kind_said(_text(group))
    if said is not None:
        return said
    if group.error_class in _CLASSES:
        value, reason = _CLASSES[group.error_class]
        return Judgement(value=value, reason=reason)
    if group.tier == "stack":
        return Judgement(value="runtime", reason="an exception was thrown; nothing says more")
    return Judgement(value="unknown", reason="no code, type or message tells the kind of the failure")


def severity_of(group: ErrorGroup, context: Context, kind: str) -> Judgement:
    """How bad it is, from who met it and how often."""
    share, calls = context.failed_share, context.call_count
    known = share is not None and calls >= CALLS_MIN
    percent = f"{100 * share:.0f} % of {calls} recent calls of the operation fail" if share is not None else ""
    explained = group.count - group.inferred_count - group.logged_count
    asked = explained - group.synthetic_count  # a check that fails is nobody who met it
    visible = group.visible_count / asked if asked > 0 else 0.0
    seen = f"{group.visible_count} of {asked} requests failed for their caller"
    met = "worked around"
    if group.synthetic_count:
        more = f"{group.synthetic_count} of {explained} came from synthetic checks or bots"
        seen, met = (f"{seen}; {more}", met) if asked > 0 else (more, "no user is known to have met it")
    if kind == "business":
        return Judgement(value="low", reason="a refusal as designed; no system failed")
    if _speaks_of_lost_data(_text(group)) or _part(group, "rpc_status") == "15":
        return Judgement(value="critical", reason="it speaks of lost or damaged data")
    if kind == "security" and "injection" in kind_of(group).reason:
        return Judgement(value="critical", reason="the message carries what an injection looks like")
    if group.logged_count and explained <= 0:
        value = "low" if group.count < ERRORS_FEW else "medium"
        return Judgement(value=value, reason=f"only logged, {group.count} times: no trace says who met it")
    if visible <= VISIBLE_SHARE:
        if known and share is not None and share >= MAJOR_SHARE:
            return Judgement(value="medium", reason=f"{met}, but {percent}")
        return Judgement(value="low", reason=f"{met}: {seen}")
    if known and share is not None and share >= DOWN_SHARE:
        return Judgement(value="critical", reason=f"{percent}, and {seen}")
    if known and share is not None and share >= MAJOR_SHARE:
        return Judgement(value="high", reason=f"{percent}, and {seen}")
    if group.users >= USERS_MANY:
        return Judgement(value="high", reason=f"{group.users} users met it, and {seen}")
    if group.count < ERRORS_FEW:
        return Judgement(value="low", reason=f"seen {group.count} times so far")
    return Judgement(value="medium", reason=f"{seen}; few of all calls")


def observability_of(group: ErrorGroup, context: Context) -> Judgement:
    """When it happens: in one place, under load, always, or now and then.

    Place comes before share: an error that always happens in one version is best told by the version.
    """
    places = context.places
    for dimension in DIMENSIONS if places is not None else ():
        assert places is not None
        found = skewed_to(places.errors[dimension], places.calls(context.calls)[dimension], places.total)
        if found is not None:
            reason = (
                f"{100 * found.error_share:.0f} % of {found.errors} errors, but {100 * found.call_share:.0f} % of the "
                f"service's calls, are in {dimension} {_shown(found.name)} (chance {found.p:.1g})"
            )
            return Judgement(value="environmental", reason=reason)
    errors = {bucket.start: bucket.count for bucket in group.minutes}
    load = load_correlation(errors, context.calls.minutes)
    if load is not None:
        reason = (
            f"the share of calls that fail rises with their number (rank correlation {load.rho:.2f} over "
            f"{load.minutes} minutes, chance {load.p:.1g})"
        )
        return Judgement(value="load_dependent", reason=reason)
    if context.failed_share is None or context.call_count < CALLS_MIN:
        return Judgement(
            value="unknown", reason=f"only {context.call_count} calls of the operation seen; {CALLS_MIN} are needed"
        )
    percent = f"{100 * context.failed_share:.0f} % of {context.call_count} recent calls of the operation failed"
    always = context.failed_share >= DETERMINISTIC_SHARE
    return Judgement(value="deterministic" if always else "intermittent", reason=percent)


def _text(group: ErrorGroup) -> str:
    return f"{group.type} {group.message}"[:_TEXT_MAX]


@lru_cache(maxsize=_ASKED_MAX)
def _kind_said(text: str) -> Judgement | None:
    """Ask the words: most of a millisecond, so never twice."""
    for pattern, kind, reason in _KINDS:
        if pattern.search(text):
            return Judgement(value=kind, reason=reason)
    return None


@lru_cache(maxsize=_ASKED_MAX)
def _speaks_of_lost_data(text: str) -> bool:
    return _LOST_DATA.search(text) is not None


def _part(group: ErrorGroup, name: str) -> str:
    return next((part.value for part in group.parts if part.name == name), "")


def _shown(text: str) -> str:
    return "".join(letter if letter.isprintable() else " " for letter in text[:100])
