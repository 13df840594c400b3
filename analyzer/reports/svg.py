"""Little words of SVG: numbers, escaped text, text cut to a width. No styles of its own; drawings use classes.

Colours are presentation attributes, so that a drawing is right without any style sheet; the report's style sheet
overrides them by class for dark screens.
"""

from __future__ import annotations

import unicodedata
from html import escape

# Average advance of a sans-serif letter, as a share of the font size: widths are estimated, never measured.
_ADVANCE = 0.56
_FORBIDDEN = ("Cc", "Cf", "Cs", "Co", "Zl", "Zp")


def text_of(text: str) -> str:
    """Text for XML: escaped, and nothing that cannot be seen or that turns the line round."""
    return escape("".join("\ufffd" if unicodedata.category(c) in _FORBIDDEN else c for c in text), quote=True)


def fitted(text: str, width: float, size: float) -> str:
    """Text cut to about `width` pixels at a font size, with an ellipsis."""
    most = max(3, int(width / (size * _ADVANCE)))
    wide = sum(1 for letter in text[:most] if unicodedata.east_asian_width(letter) in ("W", "F"))
    most = max(3, most - wide // 2)
    return text if len(text) <= most else text[: most - 1] + "\u2026"


def number(value: float) -> str:
    """A coordinate with at most one decimal."""
    return f"{value:.1f}".removesuffix(".0")


def element(name: str, inner: str = "", /, **attributes: str | float) -> str:
    """One element; `_` in attribute names becomes `-`, `class_` is class. Text attributes are escaped here."""
    words = []
    for key, value in attributes.items():
        shown = number(value) if isinstance(value, (int, float)) else text_of(value)
        words.append(f'{"class" if key == "class_" else key.replace("_", "-")}="{shown}"')
    start = f"<{name} {' '.join(words)}" if words else f"<{name}"
    return f"{start}>{inner}</{name}>" if inner else f"{start}/>"


def label(x: float, y: float, text: str, **attributes: str | float) -> str:
    """A line of text; escaped."""
    return element("text", text_of(text) or " ", x=x, y=y, **attributes)
