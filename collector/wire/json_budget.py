"""How many values a JSON text would make, counted before a single one is made.

In: the bytes. Out: counts. A text of `{},{},` makes forty times its size in objects, so the parser
may only see what was counted here. Never judges whether the text is JSON.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, types

_QUOTE, _BACKSLASH, _COMMA = ord('"'), ord("\\"), ord(",")
_OPEN_OBJECT, _OPEN_ARRAY = ord("{"), ord("[")
_CLOSE_OBJECT, _CLOSE_ARRAY = ord("}"), ord("]")

_READ_ONLY_BYTES = types.Array(types.uint8, 1, "C", readonly=True)


def _count(raw: Any) -> tuple[int, int, int]:
    objects = values = depth = deepest = 0
    in_string = False
    i = 0
    while i < raw.size:
        byte = raw[i]
        if in_string:
            if byte == _BACKSLASH:
                i += 1
            elif byte == _QUOTE:
                in_string = False
        elif byte == _QUOTE:
            in_string = True
        elif byte in (_OPEN_OBJECT, _OPEN_ARRAY):
            objects += byte == _OPEN_OBJECT
            values += 1
            depth += 1
            deepest = max(deepest, depth)
        elif byte in (_CLOSE_OBJECT, _CLOSE_ARRAY):
            depth -= 1
        elif byte == _COMMA:
            values += 1
        i += 1
    return objects, values, deepest


_SIGNATURE = types.UniTuple(types.int64, 3)(_READ_ONLY_BYTES)  # type: ignore[no-untyped-call]
_count_kernel = njit(_SIGNATURE, cache=True, nogil=True)(_count)


def count_json(payload: bytes) -> tuple[int, int, int]:
    """Count what a parser would make of a JSON text.

    Exact for JSON; for anything else the parser will refuse the text anyway.

    Parameters
    ----------
    payload : the text, UTF-8

    Returns
    -------
    tuple[int, int, int]
        Objects; opening brackets and commas together (within a factor of two the number of values);
        the deepest nesting of brackets.

    Notes
    -----
    One forward loop without recursion, outside the GIL. Truth: tests/support/naive/json_budget.py.
    """
    objects, values, deepest = _count_kernel(np.frombuffer(payload, np.uint8))
    return int(objects), int(values), int(deepest)
