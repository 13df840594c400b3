"""How many different names: a set."""

from __future__ import annotations


class Distinct:
    def __init__(self) -> None:
        self.names: set[str] = set()

    def add(self, name: str) -> None:
        self.names.add(name)

    def count(self) -> int:
        return len(self.names)
