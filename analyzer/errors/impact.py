"""Who is hit: how many users, sessions and tenants, of how many, and how much that weighs.

In: names from telemetry (`user.id`, `session.id`, a tenant), as they come. Out: counts with their error, a share of
those that were active, new and returning ones, a score. No name is kept: only the longest run of zeros of the hashes
of 2048 groups (HyperLogLog, 2 KiB each), so that a million users take as much room as ten and none can be read back.

Truth of the counts: a set (tests/support/naive/distinct.py).
"""

from __future__ import annotations

import math
from base64 import b85decode, b85encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

import numpy as np
import numpy.typing as npt

PRECISION = 11  # bits that choose the register: 2048 registers of one byte, standard error 1.04 / sqrt(2048) = 2.3 %
REGISTERS = 1 << PRECISION
_HASH_BITS = 64
_TAIL_BITS = _HASH_BITS - PRECISION
STANDARD_ERROR = 1.04 / math.sqrt(REGISTERS)
# The first key that a span has is the one that counts. Old and new names of the conventions, and common custom ones.
USER_KEYS = ("user.id", "enduser.id", "user.hash", "customer.id", "usr.id")
SESSION_KEYS = ("session.id", "user.session_id", "browser.session.id", "rum.session.id")
TENANT_KEYS = ("tenant.id", "app.tenant", "tenant", "organization.id", "account.id")
KINDS: Mapping[str, tuple[str, ...]] = {"users": USER_KEYS, "sessions": SESSION_KEYS, "tenants": TENANT_KEYS}
ENTITIES_MAX = 512  # of a book: 3 sketches of 2 KiB each, 3 MiB


class Distinct:
    """Counts different names. Owner: one thread.

    Notes
    -----
    Flajolet, Fusy, Gandouet & Meunier, "HyperLogLog", 2007, with a 64-bit hash; the estimator is Ertl's ("New
    cardinality estimation algorithms for HyperLogLog sketches", 2017), which needs no table of corrections and no
    switch between small and large counts.
    """

    def __init__(self, registers: npt.NDArray[np.uint8] | None = None) -> None:
        self.registers = np.zeros(REGISTERS, np.uint8) if registers is None else registers

    def add(self, name: str) -> None:
        self._put(hash_of(name))

    def _put(self, value: int) -> None:
        register, tail = value >> _TAIL_BITS, value & ((1 << _TAIL_BITS) - 1)
        rank = _TAIL_BITS - tail.bit_length() + 1
        if rank > self.registers[register]:
            self.registers[register] = rank

    def join(self, other: Distinct) -> Distinct:
        """Count the names of both, each once."""
        return Distinct(np.maximum(self.registers, other.registers))

    def count(self) -> int:
        """Estimate how many different names were added; within 5 % in nineteen of twenty cases."""
        zeros = np.bincount(self.registers, minlength=_TAIL_BITS + 2)
        m = float(REGISTERS)
        z = m * _tau(1.0 - zeros[_TAIL_BITS + 1] / m)
        for k in range(_TAIL_BITS, 0, -1):
            z = 0.5 * (z + float(zeros[k]))
        z += m * _sigma(float(zeros[0]) / m)
        return 0 if math.isinf(z) else round(m * m / (2.0 * math.log(2.0)) / z)

    def dump(self) -> bytes:
        return self.registers.tobytes()

    @staticmethod
    def load(raw: bytes) -> Distinct:
        """Read what `dump` wrote.

        Raises
        ------
        ValueError
            The bytes are no sketch of this precision.
        """
        found = np.frombuffer(raw, np.uint8).copy()
        if len(found) != REGISTERS or (len(found) and found.max() > _TAIL_BITS + 1):
            raise ValueError(f"{len(raw)} bytes are no sketch; expected {REGISTERS} registers of 0 to {_TAIL_BITS + 1}")
        return Distinct(found)


def hash_of(name: str) -> int:
    """64 well-mixed bits. Without a key, so that sketches of several processes can be joined."""
    digest = blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big")


def _sigma(x: float) -> float:
    if x == 1.0:
        return math.inf
    y, z = 1.0, x
    while True:
        x *= x
        before = z
        z += x * y
        y += y
        if z == before:
            return z


def _tau(x: float) -> float:
    if x in (0.0, 1.0):
        return 0.0
    y, z = 1.0, 1.0 - x
    while True:
        x = math.sqrt(x)
        before = z
        y *= 0.5
        z -= (1.0 - x) ** 2 * y
        if z == before:
            return z / 3.0


@dataclass(frozen=True, slots=True)
class Reach:
    """How many of one kind (users, sessions, tenants) are hit.

    known : somebody of that kind was named at all; when not, 0 means "not said", not "nobody"
    share : of those that were active; nan when that is not known
    new : hit in this window and not before;  returning : the others
    """

    known: bool
    hit: int
    active: int
    share: float
    new: int
    returning: int


@dataclass(frozen=True, slots=True)
class Impact:
    """Whom an entity (a group of errors, a service, an incident) hits, and how much that weighs, 0 to 100.

    requests : failed + degraded + those of synthetic checks and bots
    """

    entity: str
    requests: int
    failed: int
    degraded: int
    users: Reach
    sessions: Reach
    tenants: Reach
    score: float
    sentence: str

    @property
    def synthetic(self) -> int:
        return self.requests - self.failed - self.degraded


@dataclass(slots=True)
class _Ledger:
    """Counts of one entity."""

    requests: int = 0
    failed: int = 0
    degraded: int = 0
    hit: dict[str, Distinct] = field(default_factory=dict)
    before: dict[str, Distinct] = field(default_factory=dict)


class ImpactBook:
    """Who was hit by what, in one window. Owner: one thread. At most `ENTITIES_MAX` entities; more are counted.

    Every request is noted once for the system (`note`), a bad one also for each entity it belongs to (`blame`).
    """

    def __init__(self) -> None:
        self._active: dict[str, Distinct] = {}
        self._entities: dict[str, _Ledger] = {}
        self.left_out = 0  # bad requests of entities that had no room

    def note(self, attributes: Mapping[str, str]) -> None:
        """Take a request, good or bad, of whoever its attributes name."""
        for kind, name in named(attributes):
            self._active.setdefault(kind, Distinct()).add(name)

    def blame(self, entity: str, attributes: Mapping[str, str], *, failed: bool, synthetic: bool = False) -> None:
        """Take a bad request (failed, else degraded) as one of the entity's; a synthetic one hits nobody."""
        ledger = self._entities.get(entity)
        if ledger is None:
            if len(self._entities) >= ENTITIES_MAX:
                self.left_out += 1
                return
            ledger = self._entities[entity] = _Ledger()
        ledger.requests += 1
        if synthetic:
            return
        if failed:
            ledger.failed += 1
        else:
            ledger.degraded += 1
        for kind, name in named(attributes):
            ledger.hit.setdefault(kind, Distinct()).add(name)

    def turn(self) -> None:
        """Begin the next window: who was hit so far is returning from now on."""
        self._active = {}
        crowded = len(self._entities) > ENTITIES_MAX // 2
        for entity, ledger in list(self._entities.items()):
            if crowded and not ledger.requests:  # what is long over leaves, so that there is room for what begins
                del self._entities[entity]
                continue
            before = {
                kind: ledger.before[kind].join(hit) if kind in ledger.before else hit
                for kind, hit in ledger.hit.items()
            }
            self._entities[entity] = _Ledger(before=ledger.before | before)

    def __contains__(self, entity: str) -> bool:
        return entity in self._entities

    def requests(self) -> dict[str, int]:
        """Bad requests of this window, of every entity that has any."""
        return {entity: ledger.requests for entity, ledger in self._entities.items() if ledger.requests}

    def impact(self, entity: str, weight: float = 1.0) -> Impact:
        """Say whom an entity hits.

        Parameters
        ----------
        entity : str
            As it was given to `blame`; one that was never blamed hits nobody.
        weight : float
            Of the business: 2 doubles what a user counts.
        """
        ledger = self._entities.get(entity, _Ledger())
        users, sessions, tenants = (self._reach(ledger, kind) for kind in KINDS)
        score = impact_score(ledger.failed, ledger.degraded, users, sessions, weight)
        sentence = _sentence(ledger, users, sessions)
        return Impact(
            entity, ledger.requests, ledger.failed, ledger.degraded, users, sessions, tenants, score, sentence
        )

    def _reach(self, ledger: _Ledger, kind: str) -> Reach:
        active = self._active.get(kind)
        if active is None and kind not in ledger.hit:
            return Reach(False, 0, 0, math.nan, 0, 0)
        hit, before = ledger.hit.get(kind, Distinct()), ledger.before.get(kind, Distinct())
        count, old = hit.count(), before.count()
        # |new| = |hit or before| - |before|; both are estimates, so it is kept within what can be.
        new = min(count, max(0, hit.join(before).count() - old)) if old else count
        many = max(active.count(), count) if active is not None else 0  # nobody noted requests: no share can be told
        known = active is not None or count > 0
        return Reach(known, count, many, count / many if many else math.nan, new, count - new)

    def save(self) -> dict[str, object]:
        """Return everything but who is active, as plain values."""
        return {
            entity: {
                "requests": [ledger.requests, ledger.failed, ledger.degraded],
                "hit": {kind: b85encode(one.dump()).decode("ascii") for kind, one in ledger.hit.items()},
                "before": {kind: b85encode(one.dump()).decode("ascii") for kind, one in ledger.before.items()},
            }
            for entity, ledger in self._entities.items()
        }

    @staticmethod
    def load(saved: Mapping[str, Any]) -> ImpactBook:
        """Read what `save` returned.

        Raises
        ------
        ValueError, KeyError, TypeError, AttributeError
            It is not what `save` returns.
        """
        book = ImpactBook()
        for entity, one in list(saved.items())[:ENTITIES_MAX]:
            requests, failed, degraded = (int(number) for number in one["requests"])
            hit, before = (
                {kind: Distinct.load(b85decode(text)) for kind, text in one[name].items() if kind in KINDS}
                for name in ("hit", "before")
            )
            book._entities[entity] = _Ledger(requests, failed, degraded, hit, before)
        return book


def named(attributes: Mapping[str, str]) -> Iterable[tuple[str, str]]:
    """Yield (kind, name) of whoever the attributes name; one name a kind."""
    for kind, keys in KINDS.items():
        name = next((attributes[key] for key in keys if attributes.get(key)), "")
        if name:
            yield kind, name


def impact_score(failed: int, degraded: int, users: Reach, sessions: Reach, weight: float = 1.0) -> float:
    """Weigh an impact, 0 to 100.

    Who is hit counts where it is known (users, else sessions), else the requests. A degraded request counts half.
    Logarithmic, because ten times as many is one step worse, not ten: 1 user is 7, 10 are 24, 100 are 47, 1,000
    are 70, 20,000 and more 100. When a large share of the active ones is hit, the score is at least that share.

    Examples
    --------
    >>> nobody = Reach(False, 0, 0, math.nan, 0, 0)
    >>> round(impact_score(100, 0, nobody, nobody))
    47
    """
    requests = failed + 0.5 * degraded
    if requests <= 0.0:
        return 0.0
    badness = requests / (failed + degraded)
    who = users if users.known and users.hit else sessions
    people = who.hit * badness if who.known and who.hit else requests
    logs = 100.0 * math.log10(1.0 + weight * people) / math.log10(1.0 + 20_000)
    share = who.share if who.known and who.hit and not math.isnan(who.share) else 0.0
    # Of three active users two are 67 %, and still three users: a share needs some to be a share of.
    sure = share * min(1.0, math.log10(1.0 + who.active) / 3.0)
    return round(min(100.0, max(logs, 100.0 * sure * badness)), 1)


def _sentence(ledger: _Ledger, users: Reach, sessions: Reach) -> str:
    words = f"{ledger.failed} requests failed"
    if ledger.degraded:
        words += f" and {ledger.degraded} were slow"
    if users.known:
        share = "" if math.isnan(users.share) else f"{users.share:.0%} of the active ones; "
        words += f", of about {users.hit} users ({share}{users.new} new)"
    elif sessions.known:
        share = "" if math.isnan(sessions.share) else f" ({sessions.share:.0%} of the active ones)"
        words += f", in about {sessions.hit} sessions{share}"
    if not users.known:
        words += "; no user attribute (user.id or enduser.id) is sent, so users cannot be counted"
    return words + "."
