"""Small bounded counters of one group: per minute and hour, per name, distinct users.

In: times, names, user ids. Out: the sums. Every one has a bound; what finds no room is counted by its owner.
"""

from __future__ import annotations

import math
from base64 import b85decode, b85encode
from collections.abc import Iterable
from hashlib import blake2b
from typing import Protocol

from analyzer.errors.group_words import Bucket, SeenAs

NAMES_MAX = 32  # of one list: services, operations, versions, environments, hosts
NAME_MAX = 256  # characters
_REGISTERS = 1024
_ALPHA = 0.7213 / (1 + 1.079 / _REGISTERS)


class Series:
    """Counts of the last `size` buckets of time. What is older has left, or comes too late to be shown."""

    def __init__(self, size: int, buckets: Iterable[Bucket] = ()) -> None:
        self._size = size
        self._counts = {bucket.start: bucket.count for bucket in buckets}

    def add(self, bucket: int, count: int = 1) -> None:
        newest = max(self._counts, default=bucket)
        if bucket <= newest - self._size:
            return
        self._counts[bucket] = self._counts.get(bucket, 0) + count
        if len(self._counts) > self._size or bucket > newest:
            oldest = max(bucket, newest) - self._size
            self._counts = {at: count for at, count in self._counts.items() if at > oldest}

    def between(self, begin: int, end: int) -> int:
        """Count what came in buckets `begin` to before `end`."""
        return sum(self._counts.get(bucket, 0) for bucket in range(begin, end))

    def buckets(self) -> list[Bucket]:
        return [Bucket(start=at, count=count) for at, count in sorted(self._counts.items())]


class Names:
    """Names with counts and times, the ones seen last."""

    def __init__(self, seen: Iterable[SeenAs] = ()) -> None:
        self._seen = {one.name: [one.count, one.first_seen_ns, one.last_seen_ns] for one in seen}

    def add(self, name: str, at_ns: int) -> bool:
        """Count a name; False when another had to leave for it."""
        if not name:
            return True
        name = name[:NAME_MAX]
        found = self._seen.get(name)
        if found is not None:
            found[0] += 1
            found[1], found[2] = min(found[1], at_ns), max(found[2], at_ns)
            return True
        self._seen[name] = [1, at_ns, at_ns]
        if len(self._seen) <= NAMES_MAX:
            return True
        del self._seen[min((one for one in self._seen if one != name), key=lambda one: self._seen[one][2])]
        return False

    def first_seen_ns(self, name: str) -> int | None:
        found = self._seen.get(name[:NAME_MAX])
        return found[1] if found else None

    def words(self) -> list[SeenAs]:
        """Most often first."""
        ordered = sorted(self._seen.items(), key=lambda pair: (-pair[1][0], pair[0]))
        return [
            SeenAs(name=name, count=count, first_seen_ns=first, last_seen_ns=last)
            for name, (count, first, last) in ordered
        ]


class Users(Protocol):
    """Counts distinct users of one group; another way of counting may stand in."""

    def add(self, user_id: str) -> None: ...

    def count(self) -> int: ...

    def save(self) -> str: ...

    def load(self, saved: str) -> None:
        """Take what `save` wrote.

        Raises
        ------
        ValueError
            It is not what `save` writes.
        """


class UserSketch:
    """Distinct users in 1 KiB, made when the first one is seen; within some 3 % beyond a thousand.

    Notes
    -----
    HyperLogLog (Flajolet and others 2007) with 1024 registers over 64-bit hashes; linear counting while registers are
    empty. Ids are hashed, so nobody can be read out of it.
    """

    def __init__(self) -> None:
        self._registers: bytearray | None = None

    def add(self, user_id: str) -> None:
        if self._registers is None:
            self._registers = bytearray(_REGISTERS)
        word = int.from_bytes(blake2b(user_id.encode("utf-8", "replace"), digest_size=8).digest(), "little")
        place, rest = word % _REGISTERS, word // _REGISTERS
        rank = 55 - rest.bit_length()  # of 54 bits: leading zeros, and one
        if rank > self._registers[place]:
            self._registers[place] = rank

    def count(self) -> int:
        if self._registers is None:
            return 0
        estimate = _ALPHA * _REGISTERS**2 / sum(2.0**-rank for rank in self._registers)
        empty = self._registers.count(0)
        if estimate <= 2.5 * _REGISTERS and empty:
            estimate = _REGISTERS * math.log(_REGISTERS / empty)
        return round(estimate)

    def save(self) -> str:
        return b85encode(bytes(self._registers)).decode("ascii") if self._registers is not None else ""

    def load(self, saved: str) -> None:
        raw = b85decode(saved) if saved else b""
        if len(raw) not in (0, _REGISTERS):
            raise ValueError(f"a saved count of users has {len(raw)} bytes; expected {_REGISTERS}")
        self._registers = bytearray(raw) if raw else None
