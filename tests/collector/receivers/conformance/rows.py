"""Which rows of the list (ecosystem.md, section 1) have a test."""

from __future__ import annotations

from collections.abc import Callable

ROWS: dict[int, list[str]] = {}


def row(number: int) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Note which row of the list a test stands for."""

    def note(test: Callable[..., None]) -> Callable[..., None]:
        ROWS.setdefault(number, []).append(test.__name__)
        return test

    return note
