"""The plain twin of `collector.wire.json_budget`: parse, then count what was made."""

from __future__ import annotations

import json
from typing import Any


def count_json(payload: bytes) -> tuple[int, int, int]:
    """Objects; opening brackets and commas together; deepest nesting. For JSON only."""
    return _count(json.loads(payload, object_pairs_hook=_Pairs), 1)


class _Pairs(list[tuple[str, Any]]):
    """An object as it stands in the text, equal keys and all."""


def _count(value: Any, depth: int) -> tuple[int, int, int]:
    if not isinstance(value, list):
        return 0, 0, depth - 1
    members = [member for _, member in value] if isinstance(value, _Pairs) else value
    below = [_count(member, depth + 1) for member in members]
    objects = int(isinstance(value, _Pairs)) + sum(found[0] for found in below)
    values = 1 + max(0, len(members) - 1) + sum(found[1] for found in below)
    return objects, values, max([depth, *(found[2] for found in below)])
