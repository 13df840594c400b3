"""Which of two releases is the newer one. In: two version texts. Out: yes, no, or cannot be told."""

from __future__ import annotations

import re

from analyzer.digits import is_number

_PARTS_MAX = 16
_NUMBERS = re.compile(r"v?(\d{1,18}(?:\.\d{1,18}){0,7})(?:[-.~_]?([0-9A-Za-z][\w.-]{0,100})?)?", re.ASCII)


def is_older(version: str, than: str) -> bool | None:
    """Whether a release came before another: by its numbers; a pre-release before its release.

    None when they are no numbers (commit hashes, names): then only who saw them when can tell.

    Examples
    --------
    >>> is_older("v2.3.1", "2.10.0"), is_older("2.3.1-rc.1", "2.3.1"), is_older("9f3c1e", "a01b2c")
    (True, True, None)
    """
    ours, theirs = _key(version), _key(than)
    if ours is None or theirs is None:
        return None
    return ours < theirs


def _key(version: str) -> tuple[tuple[int, ...], int, tuple[tuple[int, int, str], ...]] | None:
    found = _NUMBERS.fullmatch(version.split("+", 1)[0])  # build metadata orders nothing
    if found is None or (found[2] is None and "." not in found[1] and len(found[1]) > 14):
        return None
    numbers = tuple(int(part) for part in found[1].split("."))
    while len(numbers) > 1 and not numbers[-1]:
        numbers = numbers[:-1]
    rest = found[2] or ""
    if not rest:
        return numbers, 1, ()
    if "." not in found[1]:
        return None  # 9f3c1e: a hash that begins with digits
    parts = re.split(r"[.-]", rest)[:_PARTS_MAX]
    keys = tuple((0, int(part), "") if is_number(part, 100) else (1, 0, part) for part in parts)
    return numbers, 0, keys
