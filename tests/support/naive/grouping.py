"""Equal keys numbered alike: a list of those met. Indices by number: `sorted`, which is stable. Blocks: a set."""

from __future__ import annotations

from collections.abc import Sequence


def numbers_of(keys: Sequence[int], known: list[int]) -> list[int]:
    """Number of each key by first appearance; `known` grows."""
    found = []
    for key in keys:
        if key not in known:
            known.append(key)
        found.append(known.index(key))
    return found


def order_of(numbers: Sequence[int]) -> list[int]:
    """Indices by number, equals as they came."""
    return sorted(range(len(numbers)), key=lambda i: numbers[i])


def blocks_of(blocks: Sequence[int], members: Sequence[int], count: int) -> list[int]:
    """In how many blocks each member occurs."""
    pairs = set(zip(blocks, members, strict=True))
    return [sum(member == one for _, member in pairs) for one in range(count)]
