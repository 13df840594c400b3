"""What hostile text did to a page: ran, asked, was complained about, or became part of it."""

from __future__ import annotations

import re

from tests.support.browser import Seen
from tests.support.hostile_house import House


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


_OURS = _names(
    """
    html head meta title style body main header footer section h1 h2 h3 p span strong code pre br a ul ol li
    dl dt dd div table thead tbody tr th td details summary svg g rect line path text tspan
    """
)
_ATTRIBUTES = _names(
    """
    lang charset http-equiv content name class id href open xmlns viewBox role font-family font-size
    font-weight font-style fill stroke stroke-width stroke-dasharray text-anchor paint-order rx x x1 x2 y y1
    y2 width height d xml:space
    """
)
OURS_MARKDOWN = _names(
    """
    html head title body h1 h2 h3 p ul ol li strong em code pre br table thead tbody tr th td blockquote
    details summary
    """
)
OF_THE_BROWSER = frozenset(["html", "head", "meta", "body", "pre", "div"])  # what Chromium wraps text and JSON in
_CLASS = re.compile(r"[a-z0-9_ -]*")
UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")


def faults(house: House, seen: Seen) -> list[str]:
    """What a payload did, in words; empty: nothing."""
    found = [f"dialog: {one}" for one in seen.dialogs] + [f"asked for {one}" for one in seen.requests]
    found += [f"complaint: {one}" for one in seen.complaints]
    found += [f"leaked: {one!r}" for one in house.asked]
    house.asked.clear()
    return found


def faults_of_report(house: House, seen: Seen) -> list[str]:
    """And what of it became part of the page."""
    found = faults(house, seen)
    for name, attributes in seen.elements:
        if name not in _OURS:
            found.append(f"element {name}")
        found += [f"attribute {key} of {name}" for key in attributes if key not in _ATTRIBUTES]
        if not re.fullmatch(r"#E\d+", attributes.get("href", "#E1")):
            found.append(f"link to {attributes['href'][:80]}")
        if not re.fullmatch(r"E\d+", attributes.get("id", "E1")):
            found.append(f"id {attributes['id'][:80]}")
        if not _CLASS.fullmatch(attributes.get("class", "")):
            found.append(f"class {attributes['class'][:80]}")
    counts = {name: sum(one == name for one, _ in seen.elements) for name in ("style", "meta", "body")}
    if counts != {"style": 1, "meta": 5, "body": 1}:
        found.append(f"counts {counts}")
    if hidden := sorted({f"U+{ord(one):04X}" for one in UNSEEN.findall(seen.text + seen.title)}):
        found.append(f"letters that are not seen: {hidden}")
    return found
