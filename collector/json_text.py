"""JSON that people look at: the same values, but no letter that steers a terminal or turns a line round."""

from __future__ import annotations

import re

# Those stand inside strings only, so an escape says the same.
_UNSEEN = re.compile(
    "[\x7f-\x9f\u00ad\u034f\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e0fff]"
)


def steady_json(text: str) -> str:
    """Write what cannot be seen as an escape such as `\\u202e`; JSON itself asks that only of the first 32."""
    return _UNSEEN.sub(_escape, text) if not text.isprintable() else text


def _escape(found: re.Match[str]) -> str:
    units = found[0].encode("utf-16-be").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))
