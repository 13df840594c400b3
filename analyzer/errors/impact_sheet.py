"""Whom the errors of today hit, per group and per service: counted while traces are explained, told once a minute.

In: explained failing traces with what their facts say of users, sessions and tenants, and the time. Out: an
`ImpactSheet`. No name is kept (`analyzer.errors.impact`). Pure. Owner: one thread.

A window is a day (UTC): who was hit on an earlier day is returning. Traces that were not explained are not counted,
because nobody read whom they hit; and the requests that went well are not either, so no share is told.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pydantic import Field

from analyzer.errors.impact import KINDS, Impact, ImpactBook, Reach
from analyzer.errors.model import ExceptionFact
from analyzer.findings import Nanoseconds, Word
from analyzer.words import shown

DAY_NS = 86_400_000_000_000
SHOWN_MAX = 100  # groups, and services, of a sheet: those with most requests; some 0.5 KB and 0.2 ms each
STATE_VERSION = 1
STATE_BYTES_MAX = 64 * 2**20  # unpacked; 1,024 entities with six sketches of 2 KiB each are 17 MiB as text
NO_USERS = "no user attribute was seen (user.id, enduser.id, user.hash), so users cannot be counted"
_KEYS = frozenset(key for keys in KINDS.values() for key in keys)


class ReachWord(Word):
    """How many of one kind were hit today. known : one of that kind was named at all; else 0 means "not said"."""

    known: bool
    hit: int
    new: int = Field(description="not hit on an earlier day")
    returning: int


class ImpactWord(Word):
    """Whom one group, or one service, hits."""

    entity: str = Field(description="id of the group, or name of the service")
    service: str
    requests: int = Field(description="explained failing traces: failed + handled + synthetic")
    failed: int = Field(description="the request failed for its caller")
    handled: int = Field(description="it was retried or worked around; weighs half")
    synthetic: int = Field(0, description="a synthetic check or a bot asked; weighs nothing, hits nobody")
    users: ReachWord
    sessions: ReachWord
    tenants: ReachWord
    score: float = Field(ge=0, le=100, description="of users, else sessions, else requests: 1 is 7, 100 are 47")
    sentence: str


class ImpactSheet(Word):
    """Everything there is to say, at one time. left_out, unshown : requests, entities for which there was no room."""

    from_ns: Nanoseconds = 0
    to_ns: Nanoseconds = 0
    groups: list[ImpactWord] = Field([])
    services: list[ImpactWord] = Field([])
    left_out: int = 0
    unshown: int = 0


@dataclass(frozen=True, slots=True)
class Hit:
    """One group that a trace counts in.

    service : where it began;  services : others that failed because of it
    visible : the request failed for its caller
    """

    group_id: str
    service: str
    services: Sequence[str]
    visible: bool


def who_of(facts: Iterable[ExceptionFact]) -> dict[str, str]:
    """Attributes of a trace's facts that name a user, a session or a tenant; of each the first value."""
    found: dict[str, str] = {}
    for fact in facts:
        for name, value in fact.attributes:
            if value and name in _KEYS:
                found.setdefault(name, value)
    return found


class ImpactDesk:
    """Two books, one of groups and one of services. Owner: one thread."""

    def __init__(self) -> None:
        self._books = {"groups": ImpactBook(), "services": ImpactBook()}
        self._told: dict[str, dict[str, ImpactWord]] = {"groups": {}, "services": {}}
        self._service_of: dict[str, str] = {}  # of groups in the book
        self._day = 0
        self.changed = False  # since `sheet`
        self.unsaved = False  # since `save`

    @property
    def left_out(self) -> int:
        return sum(book.left_out for book in self._books.values())

    def add(self, hits: Sequence[Hit], who: Mapping[str, str], now_ns: int, *, synthetic: bool = False) -> None:
        """Count one trace: once in each of its groups, and once in each service.

        synthetic : a check or a bot asked: it is counted apart, and who it names is nobody
        """
        self.turn(now_ns)
        services: dict[str, bool] = {}
        for hit in hits:
            self._blame("groups", hit.group_id, who, failed=hit.visible, synthetic=synthetic)
            if hit.group_id in self._books["groups"]:
                self._service_of[hit.group_id] = hit.service
            for service in (hit.service, *hit.services):
                services[service] = services.get(service, False) or hit.visible
        for service, failed in services.items():
            self._blame("services", service, who, failed=failed, synthetic=synthetic)

    def _blame(self, kind: str, entity: str, who: Mapping[str, str], *, failed: bool, synthetic: bool) -> None:
        self._books[kind].blame(entity, who, failed=failed, synthetic=synthetic)
        self._told[kind].pop(entity, None)
        self.changed = self.unsaved = True

    def turn(self, now_ns: int) -> None:
        """Begin another day when it is one."""
        day = now_ns // DAY_NS
        if day == self._day:
            return
        if self._day:
            for book in self._books.values():
                book.turn()
            self.changed = self.unsaved = True
        self._day, self._told = day, {"groups": {}, "services": {}}
        groups = self._books["groups"]
        self._service_of = {group: service for group, service in self._service_of.items() if group in groups}

    def sheet(self, now_ns: int) -> ImpactSheet:
        """Say whom everything hits, the highest score first."""
        self.turn(now_ns)
        self.changed = False
        unshown, found = 0, {}
        for kind, book in self._books.items():
            hit = book.requests()
            busiest = sorted(hit, key=lambda entity: (-hit[entity], entity))[:SHOWN_MAX]
            unshown += len(hit) - len(busiest)
            words = [self._word(kind, entity) for entity in busiest]
            found[kind] = sorted(words, key=lambda word: (-word.score, -word.requests, word.entity))
        return ImpactSheet(
            from_ns=now_ns - now_ns % DAY_NS,
            to_ns=now_ns,
            groups=found["groups"],
            services=found["services"],
            left_out=self.left_out,
            unshown=unshown,
        )

    def _word(self, kind: str, entity: str) -> ImpactWord:
        known = self._told[kind]
        if entity not in known:
            service = self._service_of.get(entity, "") if kind == "groups" else entity
            known[entity] = _word_of(self._books[kind].impact(entity), service)
        return known[entity]

    # -- over a restart ----------------------------------------------------------------------

    def save(self) -> bytes:
        self.unsaved = False
        books = {kind: book.save() for kind, book in self._books.items()}
        saved = {"version": STATE_VERSION, "day": self._day, "books": books, "service_of": self._service_of}
        return zlib.compress(json.dumps(saved).encode(), 1)

    def load(self, blob: bytes) -> None:
        """Take what `save` wrote.

        Raises
        ------
        ValueError
            It is not what `save` writes; nothing is taken.
        """
        if not blob:
            return
        try:
            raw = zlib.decompressobj().decompress(blob, STATE_BYTES_MAX)
            saved = json.loads(raw)
            if saved["version"] != STATE_VERSION:
                raise ValueError(f"version {saved['version']!r}")
            books = {kind: ImpactBook.load(saved["books"][kind]) for kind in self._books}
            service_of = {str(group): str(service) for group, service in saved["service_of"].items()}
            self._books, self._service_of, self._day = books, service_of, int(saved["day"])
        except (ValueError, KeyError, TypeError, AttributeError, zlib.error) as error:
            raise ValueError(
                f"the saved impact cannot be used ({error}); expected version {STATE_VERSION}: remove it"
            ) from error


def _word_of(impact: Impact, service: str) -> ImpactWord:
    return ImpactWord(
        entity=impact.entity,
        service=service,
        requests=impact.requests,
        failed=impact.failed,
        handled=impact.degraded,
        synthetic=impact.synthetic,
        users=_reach(impact.users),
        sessions=_reach(impact.sessions),
        tenants=_reach(impact.tenants),
        score=impact.score,
        sentence=_sentence(impact),
    )


def _reach(reach: Reach) -> ReachWord:
    return ReachWord(known=reach.known, hit=reach.hit, new=reach.new, returning=reach.returning)


def _sentence(impact: Impact) -> str:
    words = f"{shown(impact.entity)}: {impact.requests:,} explained failing traces today"
    if impact.synthetic == impact.requests:
        return f"{words}, all from synthetic checks or bots: no user is known to be hit."
    words += f", {impact.synthetic:,} of them from synthetic checks or bots" if impact.synthetic else ""
    words += f", {impact.failed:,} failed"
    words += f" for their caller and {impact.degraded:,} were worked around" if impact.degraded else " for their caller"
    for name, reach in (("users", impact.users), ("sessions", impact.sessions), ("tenants", impact.tenants)):
        if reach.known:
            words += f"; about {reach.hit:,} {name} ({reach.new:,} new, {reach.returning:,} returning)"
        elif name == "users":
            words += f"; {NO_USERS}"
    return words + "."
