"""Whether `int` reads a text. In: text from anywhere. Out: yes or no."""

from __future__ import annotations

DIGITS_MAX = 64  # no id, size or time has more; int() refuses four thousand


def is_number(text: str, digits_max: int = DIGITS_MAX) -> bool:
    """Whether a text is a whole number without a sign, short enough to be read.

    `str.isdigit` alone says yes to "²", which `int` refuses, and to digits of other scripts.

    Examples
    --------
    >>> is_number("4317"), is_number("²"), is_number("-1"), is_number("")
    (True, False, False, False)
    """
    return text.isascii() and text.isdigit() and len(text) <= digits_max
